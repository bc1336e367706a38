// What lies in the data directory beside the stores: its lock, and secrets that nobody else may
// read.
#pragma once

#include <string>

#include "base/result.h"

namespace penstock::app {

// One server a data directory: two would each think that they alone write.
class DirectoryLock {
 public:
  ~DirectoryLock();
  Result<void> take(const std::string& directory);

 private:
  int file_ = -1;
};

Result<void> make_directory(const std::string& path);
// Which server this directory is of, the same in all its lives: made when it is first asked for.
Result<std::string> server_id(const std::string& directory);
// One line that only this user may read, durable when it returns.
Result<void> keep_secret(const std::string& path, const std::string& secret);

}  // namespace penstock::app
