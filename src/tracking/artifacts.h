// Files that people log: a path for each project, its bytes kept once under their SHA-256.
#pragma once

#include "artifacts/files.h"

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
  Artifacts(sql::Database& db, artifacts::Files& files, const Clock& clock);

  // What begin() gives is written, then committed to the same path: whole or not at all, durable
  // when it returns; replaces what stood at `path`.
  Result<std::unique_ptr<artifacts::Upload>> begin(const std::string& path);
  Result<void> commit(const Call& call, const std::string& path, artifacts::Upload& upload);
  // Small ones in one call.
  Result<void> put(const Call& call, const std::string& path, std::string_view bytes);
  Result<std::string> get(const Call& call, const std::string& path);
  // Where the bytes are: read them from Files. not_found where there is no such file.
  Result<ArtifactFile> find(const Call& call, const std::string& path);
  // What is directly below a folder, by name; nothing where there is no such folder.
  Result<std::vector<ArtifactEntry>> list(const Call& call, const std::string& folder);
  // Every file below a folder, by path; nothing where there is no such folder.
  Result<std::vector<ArtifactFile>> files(const Call& call, const std::string& folder);
  // A file or a folder with all that is in it; absent is fine. Bytes stay: others may have them.
  Result<void> remove(const Call& call, const std::string& path);

 private:
  sql::Database& db_;
  artifacts::Files& files_;
  const Clock& clock_;
};

}  // namespace penstock::tracking
