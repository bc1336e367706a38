#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace penstock::net {

// gzip or zlib ("deflate") data; resource_exhausted where it would grow beyond `max` bytes.
Result<std::string> inflated(std::string_view data, std::size_t max);
std::string gzipped(std::string_view data);

}  // namespace penstock::net
