#include "adapters/localfs/durable.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::localfs {
namespace {

constexpr int max_depth = 64;

Result<void> sync(const std::string& path) {
  const Descriptor opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened || fsync(opened.number()) != 0) return fault(path);
  return {};
}

Descriptor create(const std::string& path) {
  return Descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
}

Result<void> copy_file(int from, const std::string& from_path, const std::string& to) {
  const Descriptor out = create(to);
  if (!out) return fault(to);
  std::array<char, 1 << 16> buffer;
  for (;;) {
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fault(from_path);
    if (got == 0) break;
    TRY(write_all(out.number(), {buffer.data(), static_cast<std::size_t>(got)}, to));
  }
  if (fsync(out.number()) != 0) return fault(to);
  return {};
}

Result<void> copy_tree(const std::string& from, const std::string& to, int depth) {
  if (depth > max_depth)
    return Error{Code::invalid_argument, from + " is nested too deeply to copy"};
  // Below the top no link is followed: it could lead anywhere on this disk. O_NONBLOCK keeps a pipe
  // from holding us up before we see that it is one.
  const int follow = depth == 0 ? 0 : O_NOFOLLOW;
  const Descriptor opened(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | follow));
  if (!opened && errno == ELOOP)
    return Error{Code::invalid_argument,
                 from + " is a link: only files and directories are copied"};
  struct stat status {};
  if (!opened || fstat(opened.number(), &status) != 0) return fault(from);
  if (S_ISREG(status.st_mode)) return copy_file(opened.number(), from, to);
  if (!S_ISDIR(status.st_mode))
    return Error{Code::invalid_argument, from + " is neither a file nor a directory"};
  if (mkdir(to.c_str(), 0755) != 0) return fault(to);
  std::error_code failed;
  for (std::filesystem::directory_iterator entry(from, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    TRY(copy_tree(from + "/" + name, to + "/" + name, depth + 1));
  }
  if (failed) {
    errno = failed.value();
    return fault(from);
  }
  return sync(to);
}

}  // namespace

Error fault(const std::string& path) {
  const int number = errno;
  const std::string text = path + ": " + std::generic_category().message(number);
  switch (number) {
    case ENOENT:
    case ENOTDIR: return {Code::not_found, text};
    case EEXIST:
    case ENOTEMPTY: return {Code::already_exists, text};
    case EACCES:
    case EPERM: return {Code::permission_denied, text};
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE: return {Code::resource_exhausted, text};
    case ENAMETOOLONG: return {Code::invalid_argument, text};
    default: return {Code::unavailable, text};
  }
}

Result<void> write_all(int to, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(to, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fault(path);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> copy(const std::string& from, const std::string& to) { return copy_tree(from, to, 0); }

Result<void> make_parents(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  if (mkdir(parent.c_str(), 0755) == 0) return sync_parent(parent);
  if (errno == ENOENT && parent != "/") {
    TRY(make_parents(parent));
    if (mkdir(parent.c_str(), 0755) == 0) return sync_parent(parent);
  }
  struct stat status {};
  if (errno == EEXIST && stat(parent.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return {};
    return Error{Code::failed_precondition, parent + " is a file, so nothing can stand below it"};
  }
  if (errno == ENOTDIR) return Error{Code::failed_precondition, path + " would stand below a file"};
  return fault(parent);
}

Result<void> sync_parent(const std::string& path) {
  return sync(std::filesystem::path(path).parent_path());
}

Result<void> move(const std::string& from, const std::string& to, bool replace) {
  if (!replace) {
    if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0)
      return fault(to);
  } else if (rename(from.c_str(), to.c_str()) != 0) {
    // rename() does not replace a directory that holds something, nor one thing by another kind.
    if (errno != ENOTEMPTY && errno != EEXIST && errno != EISDIR && errno != ENOTDIR)
      return fault(to);
    if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0)
      return fault(to);
  }
  return sync_parent(to);
}

}  // namespace penstock::localfs
