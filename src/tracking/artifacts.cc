#include "tracking/artifacts.h"

#include <algorithm>

#include "audit/audit.h"

namespace penstock::tracking {
namespace {

constexpr std::size_t path_max = 1'000;

Result<void> check_path(const std::string& path) {
  const auto refuse = [&](const std::string& problem) {
    return Error{Code::invalid_argument,
                 "Invalid path: '" + path.substr(0, 200) + "' " + problem,
                 {{"path", problem}}};
  };
  if (path.size() > path_max) return refuse("has over " + std::to_string(path_max) + " bytes");
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..")
      return refuse("must be relative, without empty parts, '.' or '..'");
    at = end + 1;
  }
  return {};
}

// "/" and the character after it: what lies between is below the folder.
std::string first_below(const std::string& folder) { return folder.empty() ? "" : folder + "/"; }
std::string after_below(const std::string& folder) {
  return folder.empty() ? "\x7f" : folder + "0";
}

}  // namespace

Artifacts::Artifacts(sql::Database& db, artifacts::Files& files, const Clock& clock)
    : db_(db), files_(files), clock_(clock) {
  files_.held_by("a logged file", [](sql::Tx& tx, const std::string& digest) -> Result<bool> {
    return !TRY(tx.run("SELECT 1 FROM artifact_files WHERE digest = $1 LIMIT 1", {digest})).empty();
  });
}

Result<std::unique_ptr<artifacts::Upload>> Artifacts::begin(const std::string& path) {
  TRY(check_path(path));
  return files_.upload();
}

Result<void> Artifacts::commit(const Call& call, const std::string& path,
                               artifacts::Upload& upload) {
  TRY(check_path(path));
  const artifacts::File file = TRY(upload.commit());
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(
        tx.run("INSERT INTO artifact_files (project, path, digest, size) VALUES ($1, $2, $3, $4) "
               "ON CONFLICT (project, path) DO UPDATE SET digest = excluded.digest, size = "
               "excluded.size",
               {call.project, path, file.digest, file.size}));
    return {};
  });
}

Result<void> Artifacts::put(const Call& call, const std::string& path, std::string_view bytes) {
  const auto upload = TRY(begin(path));
  TRY(upload->write(bytes));
  return commit(call, path, *upload);
}

Result<ArtifactFile> Artifacts::find(const Call& call, const std::string& path) {
  TRY(check_path(path));
  const auto found = TRY(db_.read(call, [&](sql::Tx& tx) {
    return sql::select<ArtifactFile>(
        tx, "SELECT path, digest, size FROM artifact_files WHERE project = $1 AND path = $2",
        {call.project, path});
  }));
  if (found.empty()) return Error{Code::not_found, "No such artifact: '" + path + "'"};
  return found.front();
}

Result<std::string> Artifacts::get(const Call& call, const std::string& path) {
  return files_.get(TRY(find(call, path)).digest);
}

Result<std::vector<ArtifactFile>> Artifacts::files(const Call& call, const std::string& folder) {
  if (!folder.empty()) TRY(check_path(folder));
  return db_.read(call, [&](sql::Tx& tx) {
    return sql::select<ArtifactFile>(tx,
                                     "SELECT path, digest, size FROM artifact_files WHERE project "
                                     "= $1 AND path >= $2 AND path < $3 ORDER BY path",
                                     {call.project, first_below(folder), after_below(folder)});
  });
}

Result<std::vector<ArtifactEntry>> Artifacts::list(const Call& call, const std::string& folder) {
  std::vector<ArtifactEntry> out;
  for (const ArtifactFile& file : TRY(files(call, folder))) {
    const std::string rest = file.path.substr(first_below(folder).size());
    const std::size_t slash = rest.find('/');
    const std::string name = rest.substr(0, slash);
    if (slash != std::string::npos) {
      if (out.empty() || out.back().name != name || !out.back().is_dir)
        out.push_back({name, true, 0});
    } else {
      out.push_back({name, false, file.size});
    }
  }
  return out;
}

Result<void> Artifacts::remove(const Call& call, const std::string& path) {
  TRY(check_path(path));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const auto gone = TRY(
        tx.run("DELETE FROM artifact_files WHERE project = $1 AND (path = $2 OR (path >= $3 AND "
               "path < $4)) RETURNING path",
               {call.project, path, first_below(path), after_below(path)}));
    if (gone.empty()) return {};
    return audit::record(tx, call, clock_.now(),
                         {"tracking.artifacts.deleted",
                          "mlflow_artifact:" + path,
                          {{"files", static_cast<std::int64_t>(gone.size())}}});
  });
}

}  // namespace penstock::tracking
