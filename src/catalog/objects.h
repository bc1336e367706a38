// Objects of S3, copied to the local disk, where DuckDB reads them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "catalog/source.h"
#include "ports/blob.h"

namespace penstock::catalog {

// The bucket as the connection of that name sees it. failed_precondition where the bucket or the
// connection is not there, permission_denied where the keys are not taken.
using OpenBucket = std::function<Result<std::shared_ptr<blob::Objects>>(
    const std::string& connection, const std::string& bucket)>;

// Runs `work` on so many threads at once, and returns when all are done.
using Together = std::function<void(std::size_t threads, const std::function<void()>& work)>;

// A file that rows of a source are in.
struct SourceFile {
  std::string path;  // absolute
  std::string name;  // below the source's path; "." for the path itself
  std::uintmax_t size = 0;
  std::int64_t changed = 0;  // nanoseconds
  std::string digest;        // SHA-256, hex; empty where it is not known yet
};

struct ObjectPlace {
  std::string bucket;
  std::string prefix;       // or the key of one object; empty: the whole bucket
  bool may_be_one = false;  // it does not end in "/"
};
bool is_object_path(const std::string& path);  // s3://...
// "s3://lake/trips/"; invalid_argument with the field `path`.
Result<ObjectPlace> object_place(const std::string& path);

// Whether a file below a source's path belongs to it, by how its name ends.
bool belongs(const std::string& name, Format format);
inline constexpr std::size_t files_max = 10'000;  // of one source

// Of each object one copy, known by what the store says of it (size, time, ETag) and kept for as
// long as that stays so. A copy is of one state of its object, and never changes: what was read
// from it is what its digest says, whatever happens in the bucket meanwhile. For many threads.
class ObjectCopies {
 public:
  struct Options {
    OpenBucket open;
    std::string folder;
    std::int64_t bytes_max = 0;  // of one source
    Together together = {};      // none: one object after the other
  };
  ObjectCopies(const Clock& clock, Options options) : clock_(clock), options_(std::move(options)) {}

  // Every object of the source as it stood at most `age_max` ago, sorted by name. not_found where
  // there is none, resource_exhausted beyond files_max or bytes_max, unavailable where objects are
  // replaced faster than they are read.
  Result<std::vector<SourceFile>> all(const Source& source, Micros age_max);
  // Objects from all over the source, enough to see what columns it has; no more than a minute old.
  // A fault is given again for ten seconds.
  Result<std::vector<SourceFile>> some(const Source& source);
  // The keys below the source's path, whatever their format.
  Result<std::vector<std::string>> keys(const Source& source);

 private:
  struct Place;
  struct Kept;
  std::shared_ptr<Place> place_of(const Source& source);
  Result<void> list(Place& place, const Source& source);
  Result<std::vector<blob::Entry>> entries(const Place& place, const Source& source) const;
  Result<std::vector<SourceFile>> copy(Place& place, const Source& source, bool whole);
  Result<bool> fetch_all(Place& place, const std::vector<blob::Entry>& wanted);
  Result<std::optional<Kept>> fetch(Place& place, const blob::Entry& entry);
  void drop_replaced(Place& place, const std::vector<SourceFile>& files);

  const Clock& clock_;
  const Options options_;
  std::mutex turn_;
  std::map<std::string, std::shared_ptr<Place>> places_;
};

}  // namespace penstock::catalog
