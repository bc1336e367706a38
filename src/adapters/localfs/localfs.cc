#include "adapters/localfs/localfs.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <arrow/filesystem/localfs.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/localfs/durable.h"

namespace penstock::localfs {
namespace {

// How much is written before the kernel is told to bring it to the disk: what waits for the end
// waits for all of it.
constexpr std::int64_t write_behind = 8 << 20;
constexpr std::string_view reserved = ".tmp";

Error fault(const arrow::Status& status) {
  return {status.IsOutOfMemory() ? Code::resource_exhausted : Code::unavailable, status.message()};
}

#define TRY_ARROW(...)                                           \
  __extension__({                                                \
    auto arrow_result = (__VA_ARGS__);                           \
    if (!arrow_result.ok()) return fault(arrow_result.status()); \
    std::move(arrow_result).ValueUnsafe();                       \
  })

// Where things are until they are whole: one directory for each process, locked while it lives, so
// that the next one can clear away what a killed one left.
class Staging {
 public:
  static Result<std::unique_ptr<Staging>> open(const std::string& root) {
    const std::string above = root + "/" + std::string(reserved);
    TRY(make_parents(above + "/x"));
    clear(above);
    // Between making ours and locking it, another process may take it for an abandoned one.
    for (int attempt = 0; attempt < 10; ++attempt) {
      std::string own = above + "/XXXXXX";
      if (!mkdtemp(own.data())) return localfs::fault(own);
      Descriptor lock = locked(own);
      std::error_code gone;
      if (lock && std::filesystem::exists(own, gone))
        return std::make_unique<Staging>(std::move(own), std::move(lock));
    }
    return Error{Code::unavailable, above + " is cleared as fast as we fill it"};
  }
  Staging(std::string path, Descriptor lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  Staging(const Staging&) = delete;
  ~Staging() {
    std::error_code kept;
    std::filesystem::remove_all(path_, kept);
  }

  std::string name() { return path_ + "/" + std::to_string(next_++); }

 private:
  static Descriptor locked(const std::string& path) {
    Descriptor opened(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (opened && flock(opened.number(), LOCK_EX | LOCK_NB) != 0) return Descriptor(-1);
    return opened;
  }

  static void clear(const std::string& above) {
    std::error_code ignored, kept;
    for (std::filesystem::directory_iterator entry(above, ignored), end; !ignored && entry != end;
         entry.increment(ignored))
      if (const Descriptor abandoned = locked(entry->path()))
        std::filesystem::remove_all(entry->path(), kept);
  }

  const std::string path_;
  const Descriptor lock_;
  std::atomic<std::uint64_t> next_ = 0;
};

// Something in the staging directory; what is left of it goes with this.
class Staged {
 public:
  explicit Staged(std::string name) : path(std::move(name)) {}
  ~Staged() {
    std::error_code kept;
    std::filesystem::remove_all(path, kept);
  }
  Staged(const Staged&) = delete;
  const std::string path;
};

class Writer final : public blob::Writer {
 public:
  using Place = std::function<Result<void>(const std::string& staged, std::string_view path)>;
  Writer(std::string name, Place place) : staged_(std::move(name)), place_(std::move(place)) {}

  Result<void> open() {
    file_ = Descriptor(::open(staged_.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!file_) return localfs::fault(staged_.path);
    return {};
  }

  Result<void> write(std::string_view bytes) override {
    TRY(write_all(file_.number(), bytes, staged_.path));
    written_ += static_cast<std::int64_t>(bytes.size());
    if (written_ - begun_ < write_behind) return {};
    // Only a hint, so its fault is none: commit() finds out whether the bytes are there.
    ::sync_file_range(file_.number(), begun_, written_ - begun_, SYNC_FILE_RANGE_WRITE);
    begun_ = written_;
    return {};
  }

  Result<void> commit(std::string_view path) override {
    TRY(blob::check_path(path));
    if (::fsync(file_.number()) != 0) return localfs::fault(staged_.path);
    return place_(staged_.path, path);
  }

 private:
  const Staged staged_;
  const Place place_;
  Descriptor file_{-1};
  std::int64_t written_ = 0, begun_ = 0;
};

class Reader final : public blob::Reader {
 public:
  Reader(Descriptor file, std::string path, const struct stat& status)
      : file_(std::move(file)),
        path_(std::move(path)),
        size_(status.st_size),
        modified_(std::chrono::seconds(status.st_mtim.tv_sec) +
                  std::chrono::floor<Micros>(std::chrono::nanoseconds(status.st_mtim.tv_nsec))) {
    for (const std::int64_t part :
         {std::int64_t(status.st_ino), std::int64_t(status.st_ctim.tv_sec),
          std::int64_t(status.st_ctim.tv_nsec), std::int64_t(status.st_size)})
      state_ += std::to_string(part) + " ";
  }
  std::int64_t size() const override { return size_; }
  const std::string& state() const override { return state_; }
  Timestamp modified() const override { return modified_; }
  Result<std::size_t> read(std::int64_t offset, char* to, std::size_t most) override {
    std::size_t had = 0;
    while (had < most) {
      const ssize_t got =
          ::pread(file_.number(), to + had, most - had, offset + static_cast<std::int64_t>(had));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return localfs::fault(path_);
      if (got == 0) break;
      had += static_cast<std::size_t>(got);
    }
    return had;
  }

 private:
  const Descriptor file_;
  const std::string path_;
  const std::int64_t size_;
  const Timestamp modified_;
  std::string state_;
};

class Store final : public blob::Store {
 public:
  Store(std::string root, std::unique_ptr<Staging> staging)
      : root_(std::move(root)),
        staging_(std::move(staging)),
        files_(root_, std::make_shared<arrow::fs::LocalFileSystem>()) {}

  Result<std::unique_ptr<blob::Writer>> create() override {
    auto writer = std::make_unique<Writer>(
        staging_->name(), [this](const std::string& staged, std::string_view path) {
          return place(staged, path, true);
        });
    TRY(writer->open());
    return std::unique_ptr<blob::Writer>(std::move(writer));
  }

  Result<std::unique_ptr<blob::Reader>> open(std::string_view path) override {
    TRY(blob::check_path(path));
    // O_NONBLOCK: a pipe that somebody put there must not hold us up.
    Descriptor file(::open(full(path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file && (errno == ENOENT || errno == ENOTDIR))
      return Error{Code::not_found, "there is no file " + std::string(path)};
    struct stat status {};
    if (!file || ::fstat(file.number(), &status) != 0) return localfs::fault(full(path));
    if (!S_ISREG(status.st_mode))
      return Error{Code::invalid_argument, std::string(path) + " is not a file"};
    ::posix_fadvise(file.number(), 0, 0, POSIX_FADV_SEQUENTIAL);
    return std::unique_ptr<blob::Reader>(
        std::make_unique<Reader>(std::move(file), full(path), status));
  }

  Result<void> put_local(std::string_view path, const std::string& local_path) override {
    TRY(blob::check_path(path));
    const Staged staged(staging_->name());
    TRY(copy(local_path, staged.path));
    return place(staged.path, path, true);
  }

  Result<bool> exists(std::string_view path) override {
    TRY(blob::check_path(path));
    return TRY_ARROW(files_.GetFileInfo(std::string(path))).type() != arrow::fs::FileType::NotFound;
  }

  Result<std::vector<blob::Entry>> list(std::string_view prefix, std::size_t most) override {
    if (!prefix.empty()) TRY(blob::check_path(prefix));
    arrow::fs::FileSelector below;
    below.base_dir = std::string(prefix);
    below.recursive = true;
    below.allow_not_found = true;
    std::vector<blob::Entry> out;
    const auto base = TRY_ARROW(files_.GetFileInfo(below.base_dir));
    if (base.type() == arrow::fs::FileType::File) return out;
    for (const arrow::fs::FileInfo& info : TRY_ARROW(files_.GetFileInfo(below)))
      if (info.type() == arrow::fs::FileType::File && !info.path().starts_with(reserved))
        out.push_back(
            {info.path(), info.size(), std::chrono::time_point_cast<Micros>(info.mtime())});
    if (out.size() > most) return blob::too_many(prefix, most);
    std::ranges::sort(out, {}, &blob::Entry::path);
    return out;
  }

  Result<void> remove(std::string_view path) override {
    TRY(blob::check_path(path));
    // It leaves its place in one step; that its parts go one by one is nobody's business then.
    const Staged staged(staging_->name());
    const auto moved = move(full(path), staged.path, false);
    if (!moved && moved.error().code == Code::not_found) return {};
    if (!moved) return moved;
    return sync_parent(full(path));
  }

  Result<void> publish(std::string_view from, std::string_view final_path) override {
    TRY(blob::check_path(from));
    TRY(blob::check_path(final_path));
    if (!TRY(exists(from)))
      return Error{Code::not_found, "there is nothing at " + std::string(from)};
    TRY(place(full(from), final_path, false));
    return sync_parent(full(from));
  }

  std::string uri(std::string_view path) const override {
    if (const auto fine = blob::check_path(path); !fine)
      throw std::invalid_argument(fine.error().message);
    return full(path);
  }

 private:
  std::string full(std::string_view path) const { return root_ + "/" + std::string(path); }

  Result<void> place(const std::string& from, std::string_view path, bool replace) {
    TRY(make_parents(full(path)));
    const auto moved = move(from, full(path), replace);
    if (!moved && moved.error().code == Code::already_exists)
      return Error{Code::already_exists, "something stands at " + std::string(path) + " already"};
    return moved;
  }

  const std::string root_;
  const std::unique_ptr<Staging> staging_;
  arrow::fs::SubTreeFileSystem files_;
};

}  // namespace

Result<std::unique_ptr<blob::Store>> open(const std::string& root) {
  std::error_code failed;
  const std::string whole = std::filesystem::absolute(root, failed).lexically_normal();
  if (failed || root.empty())
    return Error{Code::invalid_argument, "\"" + root + "\" is no directory"};
  auto staging = Staging::open(whole);
  if (!staging)
    return Error{Code::unavailable, "cannot keep files there: " + staging.error().message};
  return std::unique_ptr<blob::Store>(std::make_unique<Store>(whole, std::move(staging).take()));
}

}  // namespace penstock::localfs
