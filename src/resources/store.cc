#include "resources/store.h"

namespace penstock::resources::store {

Result<std::vector<Resource>> find(sql::Tx& tx, const std::string& project, std::string_view kind,
                                   std::string_view name, std::int64_t version) {
  static const std::string text =
      "SELECT " + columns<Resource>() +
      " FROM resources WHERE project = $1 AND kind = $2 AND name = $3 AND ($4 = 0 OR version = $4) "
      "ORDER BY version DESC LIMIT 1";
  return sql::select<Resource>(tx, text, {project, std::string(kind), std::string(name), version});
}

Result<std::vector<Resource>> newest(sql::Tx& tx, const std::string& project,
                                     std::string_view kind) {
  static const std::string text =
      "SELECT " + columns<Resource>() +
      " FROM resources AS r WHERE project = $1 AND ($2 = '' OR kind = $2) AND version = (SELECT "
      "max(version) FROM resources AS o WHERE o.project = r.project AND o.kind = r.kind AND "
      "o.name = r.name) ORDER BY kind, name";
  return sql::select<Resource>(tx, text, {project, std::string(kind)});
}

Result<std::vector<Resource>> newest_of(
    sql::Tx& tx, const std::string& project,
    const std::vector<std::pair<std::string, std::string>>& names) {
  std::string wanted;
  sql::Row row{project};
  for (const auto& [kind, name] : names) {
    row.insert(row.end(), {kind, name});
    wanted += (wanted.empty() ? "($" : ", ($") + std::to_string(row.size() - 1) + ", $" +
              std::to_string(row.size()) + ")";
  }
  return sql::select<Resource>(
      tx,
      "SELECT " + columns<Resource>() +
          " FROM resources AS r WHERE project = $1 AND (kind, name) IN (VALUES " + wanted +
          ") AND version = (SELECT max(version) FROM resources AS o WHERE o.project = r.project "
          "AND o.kind = r.kind AND o.name = r.name)",
      row);
}

Result<std::string> fingerprint(sql::Tx& tx, const std::string& project, std::string_view kind) {
  std::string out;
  for (const sql::Row& row :
       TRY(tx.run("SELECT name, version, digest FROM resources AS r WHERE project = $1 AND kind = "
                  "$2 AND version = (SELECT max(version) FROM resources AS o WHERE o.project = "
                  "r.project AND o.kind = r.kind AND o.name = r.name) ORDER BY name",
                  {project, std::string(kind)})))
    out += std::get<std::string>(row.at(0)) + "@" +
           std::to_string(std::get<std::int64_t>(row.at(1))) + " " +
           std::get<std::string>(row.at(2)) + "\n";
  return out;
}

Result<std::vector<std::string>> projects_with(sql::Tx& tx, std::string_view kind) {
  const auto rows =
      TRY(tx.run("SELECT DISTINCT project FROM resources WHERE kind = $1 ORDER BY project",
                 {std::string(kind)}));
  std::vector<std::string> projects;
  for (const sql::Row& row : rows) sql::from_sql(row.at(0), projects.emplace_back());
  return projects;
}

}  // namespace penstock::resources::store
