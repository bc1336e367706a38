#include "catalog/store.h"

namespace penstock::catalog {

Result<std::vector<std::string>> targets_of_kind(sql::Tx& tx, const std::string& project,
                                                 const std::string& kind) {
  const auto rows =
      TRY(tx.run("SELECT DISTINCT to_urn FROM lineage_edges WHERE project = $1 AND "
                 "substr(to_urn, 1, length(CAST($2 AS TEXT))) = $2 ORDER BY to_urn",
                 {project, kind + ":"}));
  std::vector<std::string> urns;
  for (const sql::Row& row : rows) sql::from_sql(row.at(0), urns.emplace_back());
  return urns;
}

namespace store {

Result<std::vector<Dataset>> datasets(sql::Tx& tx, const std::string& project,
                                      const std::string& name, std::int64_t limit) {
  static const std::string text = "SELECT " + columns<Dataset>() +
                                  " FROM datasets WHERE project = $1 AND ($2 = '' OR name = $2) "
                                  "ORDER BY name, version DESC LIMIT $3";
  return sql::select<Dataset>(tx, text, {project, name, limit});
}

Result<std::vector<Dataset>> dataset(sql::Tx& tx, const std::string& project,
                                     const std::string& name, std::int64_t version) {
  static const std::string text = "SELECT " + columns<Dataset>() +
                                  " FROM datasets WHERE project = $1 AND name = $2 AND ($3 = 0 OR "
                                  "version = $3) ORDER BY version DESC LIMIT 1";
  return sql::select<Dataset>(tx, text, {project, name, version});
}

Result<std::vector<Dataset>> dataset_of_inputs(sql::Tx& tx, const std::string& project,
                                               const std::string& name, const std::string& digest) {
  static const std::string text = "SELECT " + columns<Dataset>() +
                                  " FROM datasets WHERE project = $1 AND name = $2 AND "
                                  "inputs_digest = $3 ORDER BY version DESC LIMIT 1";
  return sql::select<Dataset>(tx, text, {project, name, digest});
}

Result<std::vector<Dataset>> dataset_of_digest(sql::Tx& tx, const std::string& project,
                                               const std::string& name, const std::string& digest) {
  static const std::string text = "SELECT " + columns<Dataset>() +
                                  " FROM datasets WHERE project = $1 AND name = $2 AND digest = $3";
  return sql::select<Dataset>(tx, text, {project, name, digest});
}

Result<std::vector<Dataset>> dataset_at(sql::Tx& tx, const std::string& project,
                                        const std::string& uri) {
  static const std::string text =
      "SELECT " + columns<Dataset>() +
      " FROM datasets WHERE project = $1 AND uri = $2 ORDER BY created_at DESC LIMIT 1";
  return sql::select<Dataset>(tx, text, {project, uri});
}

Result<std::vector<SourceChange>> changes(sql::Tx& tx, const std::string& project,
                                          const std::string& source, Timestamp since,
                                          std::int64_t limit) {
  static const std::string text = "SELECT " + columns<SourceChange>() +
                                  " FROM source_changes WHERE project = $1 AND source = $2 AND at "
                                  ">= $3 ORDER BY version DESC, what LIMIT $4";
  return sql::select<SourceChange>(tx, text, {project, source, sql::to_sql(since), limit});
}

Result<std::vector<std::string>> upstream(sql::Tx& tx, const std::string& project,
                                          const std::string& start) {
  const auto rows = TRY(
      tx.run("WITH RECURSIVE above (urn) AS (SELECT CAST($2 AS TEXT) UNION SELECT e.to_urn FROM "
             "above AS a JOIN lineage_edges AS e ON e.project = $1 AND e.from_urn = a.urn) "
             "SELECT urn FROM above LIMIT $3",
             {project, start, static_cast<std::int64_t>(upstream_max)}));
  std::vector<std::string> urns;
  for (const sql::Row& row : rows) sql::from_sql(row.at(0), urns.emplace_back());
  return urns;
}

}  // namespace store
}  // namespace penstock::catalog
