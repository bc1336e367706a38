#include "app/directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "base/id.h"

namespace penstock::app {

namespace fs = std::filesystem;

namespace {

// Who holds the lock, as it wrote there; empty where that is not to be read.
std::string holder_of(int file) {
  std::array<char, 32> text{};
  const ssize_t size = ::pread(file, text.data(), text.size(), 0);
  std::string pid;
  for (ssize_t i = 0; i < size && text[static_cast<std::size_t>(i)] >= '0' &&
                      text[static_cast<std::size_t>(i)] <= '9';
       ++i)
    pid += text[static_cast<std::size_t>(i)];
  return pid;
}

}  // namespace

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
  if (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
    const std::string pid = holder_of(file_);
    return Error{Code::unavailable, "another penstock" + (pid.empty() ? "" : " (pid " + pid + ")") +
                                        " uses " + directory +
                                        "; stop it, or give another directory with --data"};
  }
  // For whoever comes next. It holds no lock, so what could not be written is only not told.
  const std::string line = std::to_string(::getpid()) + "\n";
  if (::ftruncate(file_, 0) == 0)
    static_cast<void>(::pwrite(file_, line.data(), line.size(), 0) == 0);
  return {};
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

Result<std::string> server_id(const std::string& directory) {
  const std::string path = directory + "/server_id";
  std::string id;
  if (std::ifstream(path) >> id && is_ulid(id)) return id;
  id = new_ulid(SystemClock().now());
  TRY(keep_secret(path, id));
  return id;
}

}  // namespace penstock::app
