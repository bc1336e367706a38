// Files that people log: a path for each project, its bytes kept once under their SHA-256.
#pragma once

#include "ports/blob.h"
#include "ports/sql.h"

namespace penstock::tracking {

struct ArtifactFile {
  std::string path;    // relative to the project, "/" between parts
  std::string digest;  // SHA-256, hex
  std::int64_t size = 0;
};
BOOST_DESCRIBE_STRUCT(ArtifactFile, (), (path, digest, size))

struct ArtifactEntry {
  std::string name;  // the last part of its path
  bool is_dir = false;
  std::int64_t size = 0;
};

// Paths have no empty part, "." or ".."; anything else is invalid_argument.
class Artifacts {
 public:
  Artifacts(sql::Database& db, blob::Store& blobs, const Clock& clock)
      : db_(db), blobs_(blobs), clock_(clock) {}

  // Whole or not at all, durable when it returns; replaces what stood at `path`.
  Result<void> put(const Call& call, const std::string& path, std::string_view bytes);
  // data_loss where the bytes do not have their digest any more.
  Result<std::string> get(const Call& call, const std::string& path);
  // What is directly below a folder, by name; nothing where there is no such folder.
  Result<std::vector<ArtifactEntry>> list(const Call& call, const std::string& folder);
  // A file or a folder with all that is in it; absent is fine. Bytes stay: others may have them.
  Result<void> remove(const Call& call, const std::string& path);

 private:
  sql::Database& db_;
  blob::Store& blobs_;
  const Clock& clock_;
};

}  // namespace penstock::tracking
