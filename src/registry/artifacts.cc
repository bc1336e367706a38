#include "registry/artifacts.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

namespace penstock::registry {
namespace {

namespace fs = std::filesystem;
using artifacts::Manifest;

constexpr std::size_t buffer_size = 1 << 20, files_max = 100'000;
constexpr std::size_t contents_kept_max = 1'000;  // artifacts

std::string staged_path(const std::string& upload) { return "staged/" + upload; }

Result<std::string> digest_in(const std::string& uri) {
  const std::string digest =
      uri.starts_with(artifact_scheme) ? uri.substr(artifact_scheme.size()) : "";
  if (artifacts::is_digest(digest)) return digest;
  return Error{Code::not_found, "artifact " + uri + " is not stored here"};
}

Error not_here(const std::string& uri, const Error& error) {
  if (error.code != Code::not_found) return error;
  return {Code::not_found, "artifact " + uri + " is not stored here"};
}

Result<std::string> stored(artifacts::Files& files, const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{Code::unavailable, path.string() + " cannot be read"};
  const auto upload = TRY(files.upload());
  std::string buffer(buffer_size, '\0');
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    TRY(upload->write({buffer.data(), static_cast<std::size_t>(file.gcount())}));
  }
  if (!file.eof()) return Error{Code::unavailable, path.string() + " cannot be read"};
  return TRY(upload->commit()).digest;
}

}  // namespace

Artifacts::Artifacts(artifacts::Files& files, artifacts::Checkouts& checkouts,
                     blob::Objects& staging)
    : files_(files), checkouts_(checkouts), staging_(staging) {
  // Records are text that nobody can join on; there are few of them, and this is rarely asked.
  files_.held_by("a model version", [](sql::Tx& tx, const std::string& digest) -> Result<bool> {
    return !TRY(tx.run("SELECT 1 FROM model_versions WHERE record LIKE $1 LIMIT 1",
                       {"%" + std::string(artifact_scheme) + digest + "%"}))
                .empty();
  });
}

Result<std::unique_ptr<artifacts::Upload>> Artifacts::begin(const std::string& upload,
                                                            const std::string& path) {
  TRY(blob::check_path(staged_path(upload) + "/" + path));
  return files_.upload();
}

Result<void> Artifacts::stage(const std::string& upload, const std::string& path,
                              artifacts::Upload& file) {
  return staging_.put(staged_path(upload) + "/" + path, TRY(file.commit()).digest);
}

Result<Artifact> Artifacts::commit(const std::string& upload) {
  Manifest manifest;
  const std::string staged = staged_path(upload);
  for (const blob::Entry& entry : TRY(staging_.list(staged)))
    manifest.parts.push_back({entry.path.substr(staged.size() + 1), TRY(staging_.get(entry.path))});
  if (manifest.parts.empty())
    return Error{Code::failed_precondition, "the upload has no files; put some before its commit"};
  auto artifact = TRY(publish(std::move(manifest)));
  TRY(staging_.remove(staged));
  return artifact;
}

Result<Artifact> Artifacts::add_local(const std::string& local_path) {
  Manifest manifest;
  std::error_code fault;
  const fs::path top(local_path);
  if (fs::is_regular_file(top, fault)) {
    manifest.parts.push_back({top.filename(), TRY(stored(files_, top))});
    return publish(std::move(manifest));
  }
  for (fs::recursive_directory_iterator entry(top, fault), end; !fault && entry != end;
       entry.increment(fault)) {
    if (manifest.parts.size() >= files_max)
      return Error{Code::invalid_argument,
                   local_path + " has over " + std::to_string(files_max) + " files"};
    // A link could lead anywhere on this disk, a pipe would hold us up.
    if (entry->is_symlink(fault) || (!entry->is_regular_file(fault) && !entry->is_directory(fault)))
      return Error{Code::invalid_argument, entry->path().string() +
                                               " is neither a file nor a directory; only those are "
                                               "kept"};
    if (entry->is_directory(fault)) continue;
    manifest.parts.push_back({entry->path().lexically_relative(top), ""});
    TRY(blob::check_path(manifest.parts.back().name));
    manifest.parts.back().digest = TRY(stored(files_, entry->path()));
  }
  if (fault) return Error{Code::not_found, local_path + ": " + fault.message()};
  if (manifest.parts.empty()) return Error{Code::failed_precondition, local_path + " has no files"};
  return publish(std::move(manifest));
}

Result<Artifact> Artifacts::adopt(const std::vector<ArtifactFile>& files) {
  Manifest manifest;
  for (const ArtifactFile& file : files) {
    TRY(blob::check_path(file.path));
    manifest.parts.push_back({file.path, file.digest});
  }
  return publish(std::move(manifest));
}

// The manifest is written last: an artifact is there as a whole or not at all.
Result<Artifact> Artifacts::publish(Manifest manifest) {
  std::ranges::sort(manifest.parts, {}, &artifacts::Part::name);
  Artifact artifact{.digest = TRY(files_.put(manifest)).digest};
  artifact.uri = std::string(artifact_scheme) + artifact.digest;
  for (artifacts::Part& part : manifest.parts) artifact.files.push_back(std::move(part.name));
  return artifact;
}

Result<bool> Artifacts::exists(const std::string& uri) {
  const auto digest = digest_in(uri);
  if (!digest) return false;
  return files_.exists(*digest);
}

Result<std::string> Artifacts::file(const std::string& uri, const std::string& path) {
  const auto folder = checkouts_.folder(TRY(digest_in(uri)));
  if (!folder) return not_here(uri, folder.error());
  std::string place = *folder + "/" + path;
  std::error_code fault;
  if (blob::check_path(path) && fs::is_regular_file(place, fault)) return place;
  return Error{Code::not_found, "artifact " + uri + " has no file " + path};
}

Result<std::string> Artifacts::bytes(const std::string& uri, const std::string& path) {
  for (const ArtifactFile& file : TRY(contents(uri)))
    if (file.path == path) return files_.get(file.digest);
  return Error{Code::not_found, "artifact " + uri + " has no file " + path};
}

Result<std::vector<ArtifactFile>> Artifacts::contents(const std::string& uri) {
  const std::string digest = TRY(digest_in(uri));
  {
    const std::lock_guard hold(contents_turn_);
    const auto known = contents_.find(digest);
    if (known != contents_.end()) return known->second;
  }
  const auto manifest = checkouts_.manifest(digest);
  if (!manifest) return not_here(uri, manifest.error());
  std::vector<ArtifactFile> files;
  for (const artifacts::Part& part : manifest->parts)
    files.push_back({part.name, part.digest, TRY(files_.size(part.digest))});
  const std::lock_guard hold(contents_turn_);
  if (contents_.size() >= contents_kept_max) contents_.clear();
  return contents_[digest] = std::move(files);
}

Result<Packages> Artifacts::packages(const std::string& uri) {
  constexpr std::int64_t size_max = 1 << 20;
  for (const ArtifactFile& file : TRY(contents(uri))) {
    if (file.path != "requirements.txt") continue;
    if (file.size > size_max)
      return Error{Code::failed_precondition, "requirements.txt of " + uri + " is over 1 MB"};
    return Packages{TRY(files_.get(file.digest))};
  }
  return Packages{};
}

Result<std::string> Artifacts::local_path(const std::string& uri) {
  const std::string digest = TRY(digest_in(uri));
  const auto folder = checkouts_.folder(digest);
  if (!folder) return not_here(uri, folder.error());
  const Manifest manifest = TRY(checkouts_.manifest(digest));
  return manifest.parts.size() == 1 ? *folder + "/" + manifest.parts.front().name : *folder;
}

Result<std::int64_t> Artifacts::clear_uploads(Timestamp before) {
  std::set<std::string> old, young;
  for (const blob::Entry& entry : TRY(staging_.list("staged"))) {
    const std::string upload = entry.path.substr(0, entry.path.find('/', sizeof("staged/") - 1));
    (entry.modified < before ? old : young).insert(upload);
  }
  std::int64_t cleared = 0;
  for (const std::string& upload : old)
    if (!young.contains(upload)) {
      TRY(staging_.remove(upload));
      ++cleared;
    }
  return cleared;
}

}  // namespace penstock::registry
