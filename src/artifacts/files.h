// Files under the SHA-256 of their bytes: the same bytes are kept once, whoever brings them, and
// what is read is compared with its digest.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "artifacts/manifest.h"
#include "base/described.h"
#include "base/digest.h"
#include "ports/blob.h"
#include "ports/sql.h"

namespace penstock::artifacts {

struct File {
  std::string digest;  // SHA-256, 64 hex digits
  std::int64_t size = 0;
};
BOOST_DESCRIBE_STRUCT(File, (), (digest, size))

struct StoredFile {
  std::string digest;
  std::int64_t size = 0;
  Timestamp stored_at;
  Timestamp used_at;  // when somebody last brought these bytes
};
BOOST_DESCRIBE_STRUCT(StoredFile, (), (digest, size, stored_at, used_at))

class Files;

// A file on its way, for one thread at a time. Destroyed without commit(), it leaves nothing.
class Upload {
 public:
  Upload(Files& files, std::unique_ptr<blob::Writer> writer)
      : files_(files), writer_(std::move(writer)) {}
  // resource_exhausted where there is no room, or the file gets larger than any may be.
  Result<void> write(std::string_view bytes);
  // Durable when it returns. The last call.
  Result<File> commit();

 private:
  Files& files_;
  std::unique_ptr<blob::Writer> writer_;
  Sha256Stream hash_;
  std::int64_t size_ = 0;
};

// A file, or a range of one, from its first byte to its last.
class Download {
 public:
  Download(Files& files, File file, std::unique_ptr<blob::Reader> reader, std::int64_t offset,
           std::int64_t size);
  std::int64_t size() const { return size_; }
  // The next bytes, fewer than `most` only at the end. The last bytes of a whole file come only
  // when all of them had the right digest; data_loss otherwise.
  Result<std::size_t> read(char* to, std::size_t most);

 private:
  Files& files_;
  const File file_;
  const std::unique_ptr<blob::Reader> reader_;
  const std::int64_t offset_, size_;
  std::int64_t at_ = 0;
  const bool is_whole_;
  Sha256Stream hash_;
};

class Files {
 public:
  Files(sql::Database& db, blob::Objects& objects, const Clock& clock,
        std::int64_t size_max = std::int64_t{100} << 30)
      : db_(db), objects_(objects), clock_(clock), size_max_(size_max) {}

  Result<std::unique_ptr<Upload>> upload();
  Result<File> put(std::string_view bytes);  // small ones
  // The list of an artifact's files. It holds them as long as it is stored itself.
  // failed_precondition where one of them was collected meanwhile.
  Result<File> put(const Manifest& manifest);

  // `length` bytes from `offset` on; -1: all that follow. not_found where no such file is stored.
  // A range is given only of a file that was verified and has not been written since, so the first
  // one may take as long as reading all of it.
  Result<std::unique_ptr<Download>> open(const std::string& digest, std::int64_t offset = 0,
                                         std::int64_t length = -1);
  Result<std::string> get(const std::string& digest);  // verified; at most 1 GB
  Result<bool> exists(const std::string& digest);
  Result<std::int64_t> size(const std::string& digest);
  // See blob::Objects.
  std::optional<std::string> presigned(const std::string& digest, std::chrono::seconds time) const;

  // ---- for the collection of what nobody needs ----
  // Whether something refers to the file of this digest, in the transaction that may remove it.
  // Each component that keeps digests adds one, by a name that errors show. Not after the start.
  using Holder = std::function<Result<bool>(sql::Tx&, const std::string& digest)>;
  void held_by(std::string name, Holder holder) {
    holders_.emplace_back(std::move(name), std::move(holder));
  }
  // Files that nobody has brought since `before`, by digest, after `after`; at most `limit`.
  Result<std::vector<StoredFile>> unused(Timestamp before, const std::string& after, int limit);
  // Who holds a file: the first name, or none. Artifacts among `gone` hold nothing.
  Result<std::optional<std::string>> holder(sql::Tx& tx, const std::string& digest,
                                            const std::set<std::string>& gone = {});
  // Removes a file that nobody holds and nobody has brought since `before`; false where one of that
  // is not so. An upload of the same bytes at the same time keeps them: give `before` an hour, as
  // those who bring a file refer to it only afterwards.
  Result<bool> remove(const std::string& digest, Timestamp before);

  // Digests whose bytes were found to be others since the last call, so that somebody can be told.
  std::set<std::string> take_damaged();

 private:
  friend class Upload;
  friend class Download;
  Result<File> keep(blob::Writer& writer, const File& file);
  Result<void> verify(const std::string& digest, blob::Reader& reader);
  Error damaged(const std::string& digest);
  std::mutex& turn(const std::string& digest);

  sql::Database& db_;
  blob::Objects& objects_;
  const Clock& clock_;
  const std::int64_t size_max_;
  std::vector<std::pair<std::string, Holder>> holders_;
  // Who stores, removes or verifies a file is alone with it.
  std::array<std::mutex, 64> turns_;
  std::mutex known_turn_;
  std::map<std::string, std::string> verified_;  // state by digest, as of its last verification
  std::set<std::string> damaged_;
};

// Where the file of a digest is in the store.
std::string blob_path(const std::string& digest);
bool is_digest(std::string_view text);

}  // namespace penstock::artifacts
