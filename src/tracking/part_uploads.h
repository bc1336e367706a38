// Files that come in parts, in any order, some of them twice, as MLflow's multipart uploads do.
#pragma once

#include "tracking/artifacts.h"

namespace penstock::tracking {

struct UploadedPart {
  std::int64_t number = 0;  // from 1 on
  std::string etag;         // as PartUpload::commit gave it
};

// One part on its way; destroyed without commit(), it leaves nothing.
class PartUpload {
 public:
  PartUpload(std::unique_ptr<blob::Writer> writer, std::string prefix)
      : writer_(std::move(writer)), prefix_(std::move(prefix)) {}
  Result<void> write(std::string_view bytes);
  Result<std::string> commit();  // its etag: the SHA-256 of its bytes

 private:
  const std::unique_ptr<blob::Writer> writer_;
  const std::string prefix_;
  Sha256Stream hash_;
};

// An upload belongs to the project and path that it was begun for; to others it is not_found. Parts
// are kept in `staging`, a local directory, until they are joined.
class PartUploads {
 public:
  static constexpr std::int64_t parts_max = 10'000;

  PartUploads(Artifacts& artifacts, blob::Objects& staging, const Clock& clock)
      : artifacts_(artifacts), staging_(staging), clock_(clock) {}

  Result<std::string> create(const Call& call, const std::string& path);  // its id
  Result<std::unique_ptr<PartUpload>> begin(const Call& call, const std::string& id,
                                            const std::string& path, std::int64_t number);
  // Joins the parts to the file at `path`: all of them or nothing. Their numbers must rise.
  Result<void> complete(const Call& call, const std::string& id, const std::string& path,
                        const std::vector<UploadedPart>& parts);
  Result<void> abort(const Call& call, const std::string& id, const std::string& path);
  // Forgets uploads that were begun before and never completed; how many.
  Result<std::int64_t> clear(Timestamp before);

 private:
  Result<void> check(const Call& call, const std::string& id, const std::string& path);

  Artifacts& artifacts_;
  blob::Objects& staging_;
  const Clock& clock_;
};

}  // namespace penstock::tracking
