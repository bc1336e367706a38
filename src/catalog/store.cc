#include "catalog/store.h"

namespace penstock::catalog {

Result<void> add_edge(sql::Tx& tx, const Call& call, Timestamp at, std::string_view from_urn,
                      std::string_view to_urn, std::string_view relation) {
  const Edge edge{.project = call.project,
                  .from_urn = std::string(from_urn),
                  .to_urn = std::string(to_urn),
                  .relation = std::string(relation),
                  .created_at = at};
  return sql::insert(tx, "lineage_edges", edge,
                     "ON CONFLICT (project, from_urn, to_urn, relation) DO NOTHING");
}

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
namespace {

// The walk from $2 on, as the CTE `walk (urn, depth)`. UNION and the depth end it where edges make
// a ring.
std::string walk(Direction direction) {
  const bool up = direction == Direction::upstream;
  return std::string(
             "WITH RECURSIVE walk (urn, depth) AS (SELECT CAST($2 AS TEXT), CAST(0 AS "
             "BIGINT) UNION SELECT e.") +
         (up ? "to_urn" : "from_urn") +
         ", w.depth + 1 FROM walk AS w JOIN lineage_edges AS e ON e.project = $1 AND e." +
         (up ? "from_urn" : "to_urn") + " = w.urn WHERE w.depth < $3)";
}

}  // namespace

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

Result<std::vector<Dataset>> dataset_of_digest(sql::Tx& tx, const std::string& project,
                                               const std::string& name, const std::string& digest) {
  static const std::string text = "SELECT " + columns<Dataset>() +
                                  " FROM datasets WHERE project = $1 AND name = $2 AND digest = $3";
  return sql::select<Dataset>(tx, text, {project, name, digest});
}

Result<std::vector<SourceChange>> changes(sql::Tx& tx, const std::string& project,
                                          const std::string& source, Timestamp since,
                                          std::int64_t limit) {
  static const std::string text = "SELECT " + columns<SourceChange>() +
                                  " FROM source_changes WHERE project = $1 AND source = $2 AND at "
                                  ">= $3 ORDER BY version DESC, what LIMIT $4";
  return sql::select<SourceChange>(tx, text, {project, source, sql::to_sql(since), limit});
}

Result<std::vector<Reached>> reach(sql::Tx& tx, const std::string& project,
                                   const std::string& start, Direction direction,
                                   std::int64_t depth, std::int64_t limit) {
  const auto rows =
      TRY(tx.run(walk(direction) + " SELECT urn, min(depth) FROM walk GROUP BY urn ORDER BY "
                                   "min(depth), urn LIMIT $4",
                 {project, start, depth, limit}));
  std::vector<Reached> out;
  for (const sql::Row& row : rows) {
    Reached& reached = out.emplace_back();
    sql::from_sql(row.at(0), reached.urn);
    sql::from_sql(row.at(1), reached.depth);
  }
  return out;
}

Result<std::vector<TraceEdge>> edges_above(sql::Tx& tx, const std::string& project,
                                           const std::string& start, Direction direction,
                                           std::int64_t depth) {
  return sql::select<TraceEdge>(
      tx,
      walk(direction) +
          ", above (urn) AS (SELECT urn FROM walk UNION SELECT e.to_urn FROM above AS a JOIN "
          "lineage_edges AS e ON e.project = $1 AND e.from_urn = a.urn) SELECT e.from_urn, "
          "e.to_urn, e.relation FROM above AS a JOIN lineage_edges AS e ON e.project = $1 AND "
          "e.from_urn = a.urn ORDER BY e.from_urn, e.to_urn, e.relation",
      {project, start, depth});
}

}  // namespace store
}  // namespace penstock::catalog
