// Content-addressed files of models and other outputs: artifacts/<digest>/<files>.
#pragma once

#include "base/described.h"
#include "ports/blob.h"

namespace penstock::registry {

struct Artifact {
  std::string digest;  // SHA-256 over its files' paths and digests, 64 hex digits
  std::string uri;     // "penstock://artifacts/<digest>"
  std::vector<std::string> files;
};
BOOST_DESCRIBE_STRUCT(Artifact, (), (digest, uri, files))

inline constexpr std::string_view artifact_scheme = "penstock://artifacts/";

class Artifacts {
 public:
  explicit Artifacts(blob::Store& blobs) : blobs_(blobs) {}

  // One file of an upload that is not visible yet. Names are [A-Za-z0-9._-] and "/" between.
  Result<void> stage(const std::string& upload, const std::string& path, std::string_view bytes);
  // Makes the staged files one artifact; the same files again are the same artifact.
  Result<Artifact> commit(const std::string& upload);
  // A directory (or one file) of this machine, as a pipeline step leaves it.
  Result<Artifact> add_local(const std::string& upload, const std::string& local_path);

  // The local path of one of its files. not_found where the artifact or the file is not here;
  // data_loss where the bytes do not have the digest any more.
  Result<std::string> file(const std::string& uri, const std::string& path);
  Result<bool> exists(const std::string& uri);
  // Its folder, or its file where it has only one; verified as `file` does.
  Result<std::string> local_path(const std::string& uri);
  // Reads every file again and compares.
  Result<void> verify(const std::string& uri);

 private:
  Result<Artifact> publish(const std::string& staged);
  Result<Artifact> digest_of(const std::string& prefix);
  blob::Store& blobs_;
};

}  // namespace penstock::registry
