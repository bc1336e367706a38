#include "adapters/localfs/localfs.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <stdexcept>
#include <arrow/buffer.h>
#include <arrow/filesystem/localfs.h>
#include <arrow/io/interfaces.h>
#include <fcntl.h>
#include <sys/file.h>

#include "adapters/localfs/durable.h"

namespace penstock::localfs {
namespace {

constexpr std::int64_t max_get = 1 << 30;
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

Result<void> check(std::string_view path) {
  const auto refused = [&](std::string_view why) {
    return Error{Code::invalid_argument, "\"" + std::string(path.substr(0, 200)) +
                                             "\" is no path of the store: " + std::string(why)};
  };
  if (path.empty() || path.size() > 1000) return refused("it needs 1 to 1000 bytes");
  if (std::ranges::any_of(path, [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return refused("it holds a control character");
  if (path.starts_with(reserved))
    return refused("names that begin with .tmp are kept for the store");
  for (std::string_view rest = path;;) {
    const std::size_t end = rest.find('/');
    const std::string_view part = rest.substr(0, end);
    if (part.empty() || part.size() > 255) return refused("each part needs 1 to 255 bytes");
    if (part == "." || part == "..") return refused("it must not hold . or ..");
    if (end == std::string_view::npos) return {};
    rest.remove_prefix(end + 1);
  }
}

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

class Store final : public blob::Store {
 public:
  Store(std::string root, std::unique_ptr<Staging> staging)
      : root_(std::move(root)),
        staging_(std::move(staging)),
        files_(root_, std::make_shared<arrow::fs::LocalFileSystem>()) {}

  Result<void> put(std::string_view path, std::string_view bytes) override {
    TRY(check(path));
    const Staged staged(staging_->name());
    TRY(write_file(staged.path, bytes));
    return place(staged.path, path, true);
  }

  Result<void> put_local(std::string_view path, const std::string& local_path) override {
    TRY(check(path));
    const Staged staged(staging_->name());
    TRY(copy(local_path, staged.path));
    return place(staged.path, path, true);
  }

  Result<std::string> get(std::string_view path) override {
    TRY(check(path));
    const auto info = TRY_ARROW(files_.GetFileInfo(std::string(path)));
    if (info.type() == arrow::fs::FileType::NotFound)
      return Error{Code::not_found, "there is no file " + std::string(path)};
    if (info.type() != arrow::fs::FileType::File)
      return Error{Code::invalid_argument, std::string(path) + " is not a file"};
    // The size of what was opened: another file may have taken this place since.
    const auto file = TRY_ARROW(files_.OpenInputFile(std::string(path)));
    const std::int64_t size = TRY_ARROW(file->GetSize());
    if (size > max_get)
      return Error{Code::resource_exhausted,
                   std::string(path) + " has more than 1 GB: read it by its URI"};
    const auto bytes = TRY_ARROW(file->ReadAt(0, size));
    return bytes->ToString();
  }

  Result<bool> exists(std::string_view path) override {
    TRY(check(path));
    return TRY_ARROW(files_.GetFileInfo(std::string(path))).type() != arrow::fs::FileType::NotFound;
  }

  Result<std::vector<blob::Entry>> list(std::string_view prefix) override {
    if (!prefix.empty()) TRY(check(prefix));
    arrow::fs::FileSelector below;
    below.base_dir = std::string(prefix);
    below.recursive = true;
    below.allow_not_found = true;
    std::vector<blob::Entry> out;
    const auto base = TRY_ARROW(files_.GetFileInfo(below.base_dir));
    if (base.type() == arrow::fs::FileType::File) return out;
    for (const arrow::fs::FileInfo& info : TRY_ARROW(files_.GetFileInfo(below)))
      if (info.type() == arrow::fs::FileType::File && !info.path().starts_with(reserved))
        out.push_back({info.path(), info.size()});
    std::ranges::sort(out, {}, &blob::Entry::path);
    return out;
  }

  Result<void> remove(std::string_view path) override {
    TRY(check(path));
    // It leaves its place in one step; that its parts go one by one is nobody's business then.
    const Staged staged(staging_->name());
    const auto moved = move(full(path), staged.path, false);
    if (!moved && moved.error().code == Code::not_found) return {};
    if (!moved) return moved;
    return sync_parent(full(path));
  }

  Result<void> publish(std::string_view from, std::string_view final_path) override {
    TRY(check(from));
    TRY(check(final_path));
    if (!TRY(exists(from)))
      return Error{Code::not_found, "there is nothing at " + std::string(from)};
    TRY(place(full(from), final_path, false));
    return sync_parent(full(from));
  }

  std::string uri(std::string_view path) const override {
    if (const auto fine = check(path); !fine) throw std::invalid_argument(fine.error().message);
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
