#include "tracking/part_uploads.h"

#include <algorithm>

#include "base/id.h"

namespace penstock::tracking {
namespace {

constexpr std::string_view top = "parts/";
constexpr std::size_t buffer_size = 1 << 20;

std::string folder_of(const std::string& id) { return std::string(top) + id; }
std::string about_of(const std::string& id) { return folder_of(id) + "/about"; }
std::string owner_of(const Call& call, const std::string& path) {
  return call.project + "\n" + path;
}
std::string prefix_of(const std::string& id, std::int64_t number) {
  return folder_of(id) + "/" + std::to_string(number) + "-";
}

}  // namespace

Result<void> PartUpload::write(std::string_view bytes) {
  hash_.update(bytes);
  return writer_->write(bytes);
}

Result<std::string> PartUpload::commit() {
  std::string etag = to_hex(hash_.finish());
  TRY(writer_->commit(prefix_ + etag));
  return etag;
}

Result<std::string> PartUploads::create(const Call& call, const std::string& path) {
  TRY(artifacts_.begin(path));  // lets go at once: it only tells whether the path is one
  std::string id = new_ulid(clock_.now());
  TRY(staging_.put(about_of(id), owner_of(call, path)));
  return id;
}

Result<void> PartUploads::check(const Call& call, const std::string& id, const std::string& path) {
  const Error unknown{Code::not_found, "No such upload: '" + id +
                                           "'; it may have been completed, "
                                           "aborted or left for too long"};
  if (id.empty() || id.find_first_not_of("0123456789ABCDEFGHJKMNPQRSTVWXYZ") != std::string::npos)
    return unknown;
  const auto about = staging_.get(about_of(id));
  if (!about && about.error().code != Code::not_found) return about.error();
  if (!about || *about != owner_of(call, path)) return unknown;
  return {};
}

Result<std::unique_ptr<PartUpload>> PartUploads::begin(const Call& call, const std::string& id,
                                                       const std::string& path,
                                                       std::int64_t number) {
  TRY(check(call, id, path));
  if (number < 1 || number > parts_max)
    return Error{Code::invalid_argument, "part_number must be 1 to " + std::to_string(parts_max)};
  return std::make_unique<PartUpload>(TRY(staging_.create()), prefix_of(id, number));
}

Result<void> PartUploads::complete(const Call& call, const std::string& id, const std::string& path,
                                   const std::vector<UploadedPart>& parts) {
  TRY(check(call, id, path));
  if (parts.empty())
    return Error{Code::invalid_argument, "Missing value for required parameter 'parts'"};
  const auto upload = TRY(artifacts_.begin(path));
  std::string buffer(buffer_size, '\0');
  std::int64_t last = 0;
  for (const UploadedPart& part : parts) {
    const auto refuse = [&](const std::string& why) {
      return Error{Code::invalid_argument,
                   "Invalid part " + std::to_string(part.number) + " of the upload: " + why};
    };
    if (part.number <= last || part.number > parts_max)
      return refuse("part numbers must rise, from 1 to " + std::to_string(parts_max));
    last = part.number;
    if (!artifacts::is_digest(part.etag)) return refuse("its etag is none that was given out");
    const auto stored = staging_.open(prefix_of(id, part.number) + part.etag);
    if (!stored) return refuse("it was never sent, or with another etag");
    for (std::int64_t at = 0; at < (*stored)->size();) {
      const std::size_t got = TRY((*stored)->read(at, buffer.data(), buffer.size()));
      if (got == 0)
        return Error{Code::data_loss, "a part of the upload is cut short; send it again"};
      TRY(upload->write({buffer.data(), got}));
      at += static_cast<std::int64_t>(got);
    }
  }
  Call joined = call;
  joined.deadline = Timestamp::max();  // joining may have taken long, and all of it was worth it
  TRY(artifacts_.commit(joined, path, *upload));
  return staging_.remove(folder_of(id));
}

Result<void> PartUploads::abort(const Call& call, const std::string& id, const std::string& path) {
  TRY(check(call, id, path));
  return staging_.remove(folder_of(id));
}

Result<std::int64_t> PartUploads::clear(Timestamp before) {
  std::int64_t cleared = 0;
  for (const blob::Entry& entry : TRY(staging_.list("parts")))
    if (entry.path.ends_with("/about") && entry.modified < before) {
      TRY(staging_.remove(entry.path.substr(0, entry.path.rfind('/'))));
      ++cleared;
    }
  return cleared;
}

}  // namespace penstock::tracking
