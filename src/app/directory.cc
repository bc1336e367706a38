#include "app/directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace penstock::app {

namespace fs = std::filesystem;

DirectoryLock::~DirectoryLock() {
  if (file_ >= 0) ::close(file_);
}

Result<void> DirectoryLock::take(const std::string& directory) {
  const std::string path = directory + "/lock";
  file_ = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (file_ < 0)
    return Error{Code::unavailable, "cannot write in " + directory +
                                        "; give another directory with --data, or its rights to "
                                        "this user"};
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return {};
  return Error{Code::unavailable, "another penstock uses " + directory +
                                      "; stop it, or give another directory with --data"};
}

Result<void> make_directory(const std::string& path) {
  std::error_code fault;
  fs::create_directories(path, fault);
  if (!fault) return {};
  return Error{Code::unavailable, "cannot make " + path + ": " + fault.message() +
                                      "; give another directory with --data"};
}

Result<void> keep_secret(const std::string& path, const std::string& secret) {
  const int file = ::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
  const std::string line = secret + "\n";
  // An older file may have wider rights than it would be made with.
  const bool written =
      file >= 0 && ::fchmod(file, 0600) == 0 &&
      ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
      ::fsync(file) == 0;
  if (file >= 0) ::close(file);
  if (written) return {};
  return Error{Code::unavailable, "cannot write " + path};
}

}  // namespace penstock::app
