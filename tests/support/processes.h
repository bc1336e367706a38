// Servers that tests start for themselves, on loopback.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace penstock::test {

std::vector<int> free_ports(std::size_t count);
bool listens(int port);
// What it says goes to the end of the file `log`.
pid_t spawn(const std::vector<std::string>& words, const std::string& log);

}  // namespace penstock::test
