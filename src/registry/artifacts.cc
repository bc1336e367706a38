#include "registry/artifacts.h"

#include "base/digest.h"

namespace penstock::registry {
namespace {

std::string staged_path(const std::string& upload) { return "staged/" + upload; }

Result<std::string> digest_in(const std::string& uri) {
  const std::string digest =
      uri.starts_with(artifact_scheme) ? uri.substr(artifact_scheme.size()) : "";
  if (digest.size() == 64 && digest.find_first_not_of("0123456789abcdef") == std::string::npos)
    return digest;
  return Error{Code::not_found, "artifact " + uri + " is not stored here"};
}

}  // namespace

Result<void> Artifacts::stage(const std::string& upload, const std::string& path,
                              std::string_view bytes) {
  return blobs_.put(staged_path(upload) + "/" + path, bytes);
}

Result<Artifact> Artifacts::add_local(const std::string& upload, const std::string& local_path) {
  TRY(blobs_.put_local(staged_path(upload), local_path));
  return publish(staged_path(upload));
}

Result<Artifact> Artifacts::commit(const std::string& upload) {
  return publish(staged_path(upload));
}

Result<Artifact> Artifacts::digest_of(const std::string& prefix) {
  Artifact artifact;
  Sha256Stream manifest;
  for (const blob::Entry& entry : TRY(blobs_.list(prefix))) {
    const std::string name = entry.path.substr(prefix.size() + 1);
    manifest.update(name + "\n" + sha256_hex(TRY(blobs_.get(entry.path))) + "\n");
    artifact.files.push_back(name);
  }
  artifact.digest = to_hex(manifest.finish());
  artifact.uri = std::string(artifact_scheme) + artifact.digest;
  return artifact;
}

Result<Artifact> Artifacts::publish(const std::string& staged) {
  Artifact artifact = TRY(digest_of(staged));
  if (artifact.files.empty())
    return Error{Code::failed_precondition, "the upload has no files; put some before its commit"};
  const auto published = blobs_.publish(staged, "artifacts/" + artifact.digest);
  if (published) return artifact;
  if (published.error().code != Code::already_exists) return published.error();
  TRY(blobs_.remove(staged));
  return artifact;
}

Result<bool> Artifacts::exists(const std::string& uri) {
  const auto digest = digest_in(uri);
  if (!digest) return false;
  return !TRY(blobs_.list("artifacts/" + *digest)).empty();
}

Result<std::string> Artifacts::file(const std::string& uri, const std::string& path) {
  const std::string digest = TRY(digest_in(uri));
  TRY(verify(uri));
  const std::string stored = "artifacts/" + digest + "/" + path;
  if (!TRY(blobs_.exists(stored)))
    return Error{Code::not_found, "artifact " + uri + " has no file " + path};
  return blobs_.uri(stored);
}

Result<std::string> Artifacts::local_path(const std::string& uri) {
  const std::string prefix = "artifacts/" + TRY(digest_in(uri));
  TRY(verify(uri));
  const auto files = TRY(blobs_.list(prefix));
  return blobs_.uri(files.size() == 1 ? files.front().path : prefix);
}

Result<void> Artifacts::verify(const std::string& uri) {
  const std::string digest = TRY(digest_in(uri));
  const Artifact found = TRY(digest_of("artifacts/" + digest));
  if (found.files.empty()) return Error{Code::not_found, "artifact " + uri + " is not stored here"};
  if (found.digest == digest) return {};
  return Error{Code::data_loss,
               "the files of artifact " + uri + " were changed: their digest is " + found.digest};
}

}  // namespace penstock::registry
