#include "adapters/s3/s3.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <arrow/buffer.h>
#include <arrow/config.h>
#include <arrow/filesystem/filesystem.h>
#include <arrow/filesystem/s3fs.h>
#include <arrow/io/interfaces.h>
#include <arrow/util/future.h>
#include <arrow/util/key_value_metadata.h>
#include <dlfcn.h>

namespace penstock::s3 {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t send_step = 8 << 20;
// Arrow sends parts in the background as fast as they are written: it is made to wait here, or a
// large file would be in memory as a whole.
constexpr std::int64_t unsent_max = 64 << 20;
constexpr std::int64_t read_ahead = 4 << 20;
constexpr std::int64_t attempts_max = 3, first_delay = 200;  // milliseconds, doubled each time

Error fault(const arrow::Status& status) {
  const std::string text = status.message();
  const auto holds = [&](std::initializer_list<std::string_view> words) {
    return std::ranges::any_of(
        words, [&](std::string_view word) { return text.find(word) != std::string::npos; });
  };
  if (status.IsOutOfMemory()) return {Code::resource_exhausted, text};
  if (holds({"NO_SUCH_BUCKET", "NoSuchBucket"}))
    return {Code::failed_precondition, "the bucket is not there; make it first: " + text};
  if (holds({"ACCESS_DENIED", "SIGNATURE_DOES_NOT_MATCH", "INVALID_ACCESS_KEY_ID",
             "InvalidAccessKeyId", "XAdminUserNotFound", "HTTP status 403",
             "HTTP response code: 403", "FORBIDDEN"}))
    return {Code::permission_denied, "the object store does not take our keys: " + text};
  if (holds({"NO_SUCH_KEY", "Path does not exist", "RESOURCE_NOT_FOUND"}))
    return {Code::not_found, text};
  if (holds({"StorageFull", "QuotaExceeded", "HTTP status 507", "No space left"}))
    return {Code::resource_exhausted, "the object store is full: " + text};
  return {Code::unavailable, "the object store does not answer as it should: " + text};
}

#define TRY_ARROW(...)                                           \
  __extension__({                                                \
    auto arrow_result = (__VA_ARGS__);                           \
    if (!arrow_result.ok()) return fault(arrow_result.status()); \
    std::move(arrow_result).ValueUnsafe();                       \
  })
#define DO_ARROW(...)                                   \
  do {                                                  \
    const arrow::Status arrow_status = (__VA_ARGS__);   \
    if (!arrow_status.ok()) return fault(arrow_status); \
  } while (false)

class FewAttempts final : public arrow::fs::S3RetryStrategy {
 public:
  bool ShouldRetry(const AWSErrorDetail& error, int64_t attempted) override {
    return error.should_retry && attempted + 1 < attempts_max;
  }
  int64_t CalculateDelayBeforeNextRetry(const AWSErrorDetail&, int64_t attempted) override {
    return first_delay << std::min<int64_t>(attempted, 4);
  }
};

// What ends Arrow's S3; none before it was loaded. arrow::fs::EnsureFinalized() knows nothing of
// it.
std::atomic<arrow::Status (*)()> finalize{nullptr};

// Arrow's S3 lies in a library beside its own, unless a distribution built it in.
Result<void> load_arrow_s3() {
  static std::mutex turn;
  static bool loaded = false;
  const std::lock_guard lock(turn);
  if (loaded) return {};
  Dl_info arrow_itself{};
  if (::dladdr(reinterpret_cast<void*>(&arrow::GetBuildInfo), &arrow_itself) == 0)
    return Error{Code::internal, "where Arrow lies is not known"};
  const std::string library = fs::path(arrow_itself.dli_fname).parent_path() /
                              ("libarrow_s3.so." + arrow::GetBuildInfo().so_version);
  std::error_code absent;
  void* where = RTLD_DEFAULT;
  if (fs::exists(library, absent)) {
    DO_ARROW(arrow::fs::LoadFileSystemFactories(library.c_str()));
    where = ::dlopen(library.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (!where) return Error{Code::internal, library + " cannot be opened again"};
  }
  finalize =
      reinterpret_cast<arrow::Status (*)()>(::dlsym(where, "_ZN5arrow2fs17EnsureS3FinalizedEv"));
  if (!finalize) return Error{Code::internal, library + " is not Arrow's S3"};
  loaded = true;
  return {};
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using OpenFile = std::unique_ptr<std::FILE, CloseFile>;

Error disk_fault(const std::string& path) {
  const int number = errno;
  return {number == ENOSPC || number == EDQUOT ? Code::resource_exhausted : Code::unavailable,
          path + ": " + std::generic_category().message(number)};
}

class Writer final : public blob::Writer {
 public:
  using Send = std::function<Result<void>(std::FILE*, std::string_view path)>;
  Writer(std::string spool, Send send) : spool_(std::move(spool)), send_(std::move(send)) {}
  ~Writer() override {
    file_.reset();
    std::error_code kept;
    fs::remove(spool_, kept);
  }

  Result<void> open() {
    file_.reset(std::fopen(spool_.c_str(), "w+bxe"));
    if (!file_) return disk_fault(spool_);
    return {};
  }
  Result<void> write(std::string_view bytes) override {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) == bytes.size()) return {};
    return disk_fault(spool_);
  }
  Result<void> commit(std::string_view path) override {
    TRY(blob::check_path(path));
    if (std::fflush(file_.get()) != 0) return disk_fault(spool_);
    std::rewind(file_.get());
    return send_(file_.get(), path);
  }

 private:
  const std::string spool_;
  const Send send_;
  OpenFile file_;
};

class Reader final : public blob::Reader {
 public:
  Reader(std::shared_ptr<arrow::io::RandomAccessFile> file, const arrow::fs::FileInfo& info,
         std::string state)
      : file_(std::move(file)),
        size_(info.size()),
        modified_(std::chrono::time_point_cast<Micros>(info.mtime())),
        state_(std::move(state)) {}
  std::int64_t size() const override { return size_; }
  const std::string& state() const override { return state_; }
  Timestamp modified() const override { return modified_; }

  // A request for each megabyte would cost more in waiting than in bytes.
  Result<std::size_t> read(std::int64_t offset, char* to, std::size_t most) override {
    const std::lock_guard lock(turn_);
    std::size_t had = 0;
    while (had < most && offset < size_) {
      if (!ahead_ || offset < ahead_at_ || offset >= ahead_at_ + ahead_->size()) {
        ahead_ = TRY_ARROW(file_->ReadAt(offset, std::min(read_ahead, size_ - offset)));
        ahead_at_ = offset;
        if (ahead_->size() == 0) break;
      }
      const std::int64_t from = offset - ahead_at_;
      const auto step = static_cast<std::size_t>(
          std::min(ahead_->size() - from, static_cast<std::int64_t>(most - had)));
      std::copy_n(ahead_->data() + from, step, to + had);
      had += step;
      offset += static_cast<std::int64_t>(step);
    }
    return had;
  }

 private:
  const std::shared_ptr<arrow::io::RandomAccessFile> file_;
  const std::int64_t size_;
  const Timestamp modified_;
  const std::string state_;
  std::mutex turn_;
  std::shared_ptr<arrow::Buffer> ahead_;
  std::int64_t ahead_at_ = 0;
};

class Store final : public blob::Objects {
 public:
  Store(Options options, std::shared_ptr<arrow::fs::FileSystem> files)
      : options_(std::move(options)), files_(std::move(files)) {}

  Result<std::unique_ptr<blob::Writer>> create() override {
    if (options_.scratch.empty())
      return Error{Code::failed_precondition,
                   "bucket " + options_.bucket + " was opened to be read"};
    auto writer = std::make_unique<Writer>(
        options_.scratch + "/" + std::to_string(next_++),
        [this](std::FILE* file, std::string_view path) { return send(file, path); });
    TRY(writer->open());
    return std::unique_ptr<blob::Writer>(std::move(writer));
  }

  Result<std::unique_ptr<blob::Reader>> open(std::string_view path) override {
    TRY(blob::check_path(path));
    const auto info = TRY_ARROW(files_->GetFileInfo(full(path)));
    if (info.type() == arrow::fs::FileType::NotFound)
      return Error{Code::not_found, "there is no file " + std::string(path)};
    if (info.type() != arrow::fs::FileType::File)
      return Error{Code::invalid_argument, std::string(path) + " is not a file"};
    // By its path: only then does Arrow ask for the ETag. Times of S3 are whole seconds.
    auto file = TRY_ARROW(files_->OpenInputFile(full(path)));
    std::string state =
        std::to_string(info.size()) + " " + std::to_string(info.mtime().time_since_epoch().count());
    const auto metadata = TRY_ARROW(file->ReadMetadata());
    if (metadata && metadata->Contains("ETag")) state += " " + metadata->Get("ETag").ValueOr("");
    return std::unique_ptr<blob::Reader>(
        std::make_unique<Reader>(std::move(file), info, std::move(state)));
  }

  Result<bool> exists(std::string_view path) override {
    TRY(blob::check_path(path));
    return TRY_ARROW(files_->GetFileInfo(full(path))).type() != arrow::fs::FileType::NotFound;
  }

  Result<std::vector<blob::Entry>> list(std::string_view prefix, std::size_t most) override {
    if (!prefix.empty()) TRY(blob::check_path(prefix));
    arrow::fs::FileSelector below;
    below.base_dir = prefix.empty() ? top() : full(prefix);
    below.recursive = true;
    below.allow_not_found = true;
    std::vector<blob::Entry> out;
    // Page by page: a bucket may hold more names than we have memory.
    const arrow::fs::FileInfoGenerator pages = files_->GetFileInfoGenerator(below);
    for (;;) {
      const arrow::fs::FileInfoVector page = TRY_ARROW(pages().result());
      if (page.empty()) break;
      for (const arrow::fs::FileInfo& info : page)
        if (info.type() == arrow::fs::FileType::File)
          out.push_back({info.path().substr(top().size() + 1), info.size(),
                         std::chrono::time_point_cast<Micros>(info.mtime())});
      if (out.size() > most) return blob::too_many(prefix, most);
    }
    std::ranges::sort(out, {}, &blob::Entry::path);
    return out;
  }

  Result<void> remove(std::string_view path) override {
    TRY(blob::check_path(path));
    const auto info = TRY_ARROW(files_->GetFileInfo(full(path)));
    if (info.type() == arrow::fs::FileType::NotFound) return {};
    if (info.type() == arrow::fs::FileType::File)
      DO_ARROW(files_->DeleteFile(full(path)));
    else
      DO_ARROW(files_->DeleteDir(full(path)));
    return {};
  }

  std::optional<std::string> presigned(std::string_view path,
                                       std::chrono::seconds time) const override {
    if (options_.access_key.empty() || !blob::check_path(path)) return {};
    const std::string key = full(path).substr(options_.bucket.size() + 1);
    return presigned_get(options_, key, SystemClock().now(), time);
  }

 private:
  std::string top() const {
    return options_.prefix.empty() ? options_.bucket : options_.bucket + "/" + options_.prefix;
  }
  std::string full(std::string_view path) const { return top() + "/" + std::string(path); }

  Result<void> send(std::FILE* file, std::string_view path) {
    const auto out = TRY_ARROW(files_->OpenOutputStream(full(path)));
    const auto sent = send_all(file, *out);
    // Closing is what makes it visible; without it nothing must stay.
    if (sent) {
      DO_ARROW(out->Close());
      return {};
    }
    static_cast<void>(out->Abort());
    return sent;
  }

  Result<void> send_all(std::FILE* file, arrow::io::OutputStream& out) {
    std::string buffer(send_step, '\0');
    std::int64_t unsent = 0;
    while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file)) {
      DO_ARROW(out.Write(buffer.data(), static_cast<std::int64_t>(got)));
      unsent += static_cast<std::int64_t>(got);
      if (unsent < unsent_max) continue;
      DO_ARROW(out.Flush());
      unsent = 0;
    }
    if (std::ferror(file) != 0) return disk_fault("the file on its way");
    return {};
  }

  const Options options_;
  const std::shared_ptr<arrow::fs::FileSystem> files_;
  std::atomic<std::uint64_t> next_{0};
};

// A scratch folder without what an earlier process left.
Result<void> clear(const std::string& folder) {
  std::error_code fault;
  fs::remove_all(folder, fault);
  if (!fault) fs::create_directories(folder, fault);
  if (!fault) return {};
  return Error{Code::unavailable, folder + ": " + fault.message()};
}

}  // namespace

Result<void> read_uri(const std::string& uri, Options& options) {
  constexpr std::string_view scheme = "s3://";
  const auto refuse = [&](const std::string& why) {
    return Error{Code::invalid_argument,
                 "\"" + uri + "\" " + why + "; write s3://BUCKET or s3://BUCKET/PREFIX"};
  };
  if (!uri.starts_with(scheme)) return refuse("is no S3 URI");
  const std::string rest = uri.substr(scheme.size());
  const std::size_t slash = rest.find('/');
  options.bucket = rest.substr(0, slash);
  options.prefix = slash == std::string::npos ? "" : rest.substr(slash + 1);
  while (options.prefix.ends_with('/')) options.prefix.pop_back();
  if (options.bucket.size() < 3 || options.bucket.size() > 63 ||
      options.bucket.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") !=
          std::string::npos)
    return refuse("names no bucket: 3 to 63 small letters, digits, . and -");
  if (!options.prefix.empty() && !blob::check_path(options.prefix))
    return refuse("has a prefix that is no path");
  return {};
}

Result<std::unique_ptr<blob::Objects>> open(const Options& options) {
  std::string query = "?region=" + options.region;
  if (!options.endpoint.empty()) {
    const std::size_t mark = options.endpoint.find("://");
    const std::string scheme = options.endpoint.substr(0, mark);
    if (mark == std::string::npos || (scheme != "http" && scheme != "https") ||
        options.endpoint.find_first_of("/?#", mark + 3) != std::string::npos)
      return Error{Code::invalid_argument, "endpoint: \"" + options.endpoint +
                                               "\" must be http://HOST:PORT or https://HOST"};
    query += "&scheme=" + scheme + "&endpoint_override=" + options.endpoint.substr(mark + 3);
  }
  if (options.access_key.empty() != options.secret_key.empty())
    return Error{Code::invalid_argument, "access_key and secret_key need each other"};
  if (!options.scratch.empty()) TRY(clear(options.scratch));
  TRY(load_arrow_s3());
  const std::shared_ptr<arrow::fs::S3RetryStrategy> few = std::make_shared<FewAttempts>();
  arrow::fs::FileSystemFactoryOptions more{{"retry_strategy", few}};
  if (!options.access_key.empty()) {
    more.emplace_back("access_key", options.access_key);
    more.emplace_back("secret_key", options.secret_key);
  }
  const std::string uri = "s3://" + options.bucket + query;
  auto files = TRY_ARROW(arrow::fs::FileSystemFromUriAndOptions(uri, more));
  auto store = std::make_unique<Store>(options, files);
  // Asks for something that need not be there: it shows whether bucket and keys are taken.
  const auto bucket = TRY_ARROW(files->GetFileInfo(options.bucket));
  if (bucket.type() == arrow::fs::FileType::NotFound) {
    // Some servers call what an unknown key asks for absent, and say why only to a listing.
    arrow::fs::FileSelector all;
    all.base_dir = options.bucket;
    const auto listed = files->GetFileInfo(all);
    const Error error = listed.ok() ? Error{} : fault(listed.status());
    if (error.code == Code::permission_denied) return error;
    return Error{Code::failed_precondition,
                 "there is no bucket " + options.bucket + "; make it, or name another"};
  }
  return std::unique_ptr<blob::Objects>(std::move(store));
}

void end() {
  if (auto* const last = finalize.exchange(nullptr)) static_cast<void>(last());
}

}  // namespace penstock::s3
