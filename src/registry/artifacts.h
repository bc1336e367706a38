// The files of models and other outputs, under one digest.
#pragma once

#include <mutex>

#include "artifacts/checkouts.h"

namespace penstock::registry {

struct Artifact {
  std::string digest;  // SHA-256 over its files' paths and digests, 64 hex digits
  std::string uri;     // "penstock://artifacts/<digest>"
  std::vector<std::string> files;
};
BOOST_DESCRIBE_STRUCT(Artifact, (), (digest, uri, files))

struct ArtifactFile {
  std::string path, digest;  // SHA-256, 64 hex digits
  std::int64_t size = 0;
};

// What an environment needs to run a version of MLflow's: its requirements.txt, empty where it has
// none.
struct Packages {
  std::string requirements;
};
BOOST_DESCRIBE_STRUCT(Packages, (), (requirements))

inline constexpr std::string_view artifact_scheme = "penstock://artifacts/";

class Artifacts {
 public:
  // `staging` keeps the names of uploads that are not committed yet; a local directory.
  Artifacts(artifacts::Files& files, artifacts::Checkouts& checkouts, blob::Objects& staging);

  // One file of an upload that is not visible yet: what begin() gives is written, then staged.
  Result<std::unique_ptr<artifacts::Upload>> begin(const std::string& upload,
                                                   const std::string& path);
  Result<void> stage(const std::string& upload, const std::string& path, artifacts::Upload& file);
  // Makes the staged files one artifact; the same files again are the same artifact.
  Result<Artifact> commit(const std::string& upload);
  // A directory (or one file) of this machine, as a pipeline step leaves it.
  Result<Artifact> add_local(const std::string& local_path);

  // The local path of one of its files. not_found where the artifact or the file is not here;
  // data_loss where the bytes do not have the digest any more.
  Result<std::string> file(const std::string& uri, const std::string& path);
  // Makes an artifact of files whose bytes are stored already: none is copied.
  Result<Artifact> adopt(const std::vector<ArtifactFile>& files);
  // The bytes of one of its files, which must be small; not_found and data_loss as above.
  Result<std::string> bytes(const std::string& uri, const std::string& path);
  // Its files, sorted by path. An artifact never changes, so their digests are kept once read;
  // whoever uses the bytes verifies them then.
  Result<std::vector<ArtifactFile>> contents(const std::string& uri);
  Result<bool> exists(const std::string& uri);
  Result<Packages> packages(const std::string& uri);
  // Its folder, or its file where it has only one; verified as `file` does.
  Result<std::string> local_path(const std::string& uri);
  // Forgets uploads that were begun before and never committed; how many.
  Result<std::int64_t> clear_uploads(Timestamp before);

 private:
  Result<Artifact> publish(artifacts::Manifest manifest);

  artifacts::Files& files_;
  artifacts::Checkouts& checkouts_;
  blob::Objects& staging_;
  std::mutex contents_turn_;
  std::map<std::string, std::vector<ArtifactFile>> contents_;  // by digest
};

}  // namespace penstock::registry
