#include "api/files.h"

#include <algorithm>
#include <charconv>

namespace penstock::api {
namespace {

// Up to here a file is verified before the answer begins, so a damaged one is an error and not a
// connection that breaks.
constexpr std::int64_t small = 1 << 20;

class FileIntake final : public Intake {
 public:
  using Finish = std::function<Response(const Call&, artifacts::Upload&)>;
  FileIntake(std::unique_ptr<artifacts::Upload> upload, Finish finish)
      : upload_(std::move(upload)), finish_(std::move(finish)) {}
  Result<void> take(std::string_view bytes) override { return upload_->write(bytes); }
  Response finish(const Call& call) override { return finish_(call, *upload_); }

 private:
  const std::unique_ptr<artifacts::Upload> upload_;
  const Finish finish_;
};

class FileSource final : public Source {
 public:
  explicit FileSource(std::unique_ptr<artifacts::Download> download)
      : download_(std::move(download)) {}
  std::int64_t size() const override { return download_->size(); }
  Result<std::size_t> read(char* to, std::size_t most) override {
    return download_->read(to, most);
  }

 private:
  const std::unique_ptr<artifacts::Download> download_;
};

std::optional<std::int64_t> number_in(std::string_view text) {
  std::int64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size() || number < 0)
    return {};
  return number;
}

}  // namespace

int file_status(const Error& error) { return error.code == Code::resource_exhausted ? 507 : 0; }

std::unique_ptr<Intake> intake_of(std::unique_ptr<artifacts::Upload> upload,
                                  std::function<Response(const Call&, artifacts::Upload&)> finish) {
  return std::make_unique<FileIntake>(std::move(upload), std::move(finish));
}

Range range_of(std::string_view header, std::int64_t size) {
  constexpr std::string_view unit = "bytes=";
  if (!header.starts_with(unit)) return {};
  header.remove_prefix(unit.size());
  const std::size_t dash = header.find('-');
  if (dash == std::string_view::npos || header.find(',') != std::string_view::npos) return {};
  const auto first = number_in(header.substr(0, dash));
  const auto last = number_in(header.substr(dash + 1));
  if (dash == 0) {  // the last so many bytes
    if (!last) return {};
    const std::int64_t length = std::min(*last, size);
    if (length == 0) return {.kind = Range::Kind::unsatisfiable};
    return {Range::Kind::part, size - length, length};
  }
  const bool is_open = dash + 1 == header.size();
  if (!first || (!last && !is_open) || (last && *last < *first)) return {};
  if (*first >= size) return {.kind = Range::Kind::unsatisfiable};
  const std::int64_t end = last ? std::min(*last, size - 1) : size - 1;
  return {Range::Kind::part, *first, end - *first + 1};
}

Result<Response> file_response(artifacts::Files& files, const Request& request,
                               const std::string& digest, const std::string& content_type) {
  const std::string tag = "\"" + digest + "\"";
  Response response{
      .content_type = content_type,
      .headers = {
          {"ETag", tag}, {"Accept-Ranges", "bytes"}, {"X-Content-Type-Options", "nosniff"}}};
  const std::string* had = request.header("if-none-match");
  if (had && (*had == tag || *had == "*")) {
    response.status = 304;
    return response;
  }
  const std::int64_t size = TRY(files.size(digest));
  const std::string* asked = request.header("range");
  const std::string* if_range = request.header("if-range");
  Range range;
  if (asked && (!if_range || *if_range == tag)) range = range_of(*asked, size);
  if (range.kind == Range::Kind::unsatisfiable) {
    response.status = 416;
    response.headers.emplace_back("Content-Range", "bytes */" + std::to_string(size));
    return response;
  }
  if (range.kind == Range::Kind::part) {
    response.status = 206;
    response.headers.emplace_back("Content-Range",
                                  "bytes " + std::to_string(range.offset) + "-" +
                                      std::to_string(range.offset + range.length - 1) + "/" +
                                      std::to_string(size));
  }
  auto download = range.kind == Range::Kind::part
                      ? TRY(files.open(digest, range.offset, range.length))
                      : TRY(files.open(digest));
  if (download->size() > small || request.method == "HEAD") {
    response.source = std::make_shared<FileSource>(std::move(download));
    return response;
  }
  response.body.resize(static_cast<std::size_t>(download->size()));
  TRY(download->read(response.body.data(), response.body.size()));
  return response;
}

}  // namespace penstock::api
