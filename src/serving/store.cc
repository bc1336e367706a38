#include "serving/store.h"

namespace penstock::serving::store {

Result<std::vector<StoredTarget>> targets(sql::Tx& tx, const std::string& project,
                                          const std::string& route) {
  static const std::string text = "SELECT " + columns<StoredTarget>() +
                                  " FROM route_targets WHERE project = $1 AND route = $2 ORDER BY "
                                  "model, version";
  return sql::select<StoredTarget>(tx, text, {project, route});
}

Result<std::vector<StoredTarget>> all_targets(sql::Tx& tx) {
  static const std::string text = "SELECT " + columns<StoredTarget>() +
                                  " FROM route_targets ORDER BY project, route, model, version";
  return sql::select<StoredTarget>(tx, text, {});
}

Result<std::vector<std::string>> projects(sql::Tx& tx) {
  std::vector<std::string> out;
  const auto rows = TRY(tx.run("SELECT DISTINCT project FROM route_targets ORDER BY project", {}));
  for (const sql::Row& row : rows) out.push_back(std::get<std::string>(row.at(0)));
  return out;
}

Result<void> remove_targets(sql::Tx& tx, const std::string& project, const std::string& route) {
  TRY(tx.run("DELETE FROM route_targets WHERE project = $1 AND route = $2", {project, route}));
  return {};
}

Result<std::vector<BatchOutput>> outputs(sql::Tx& tx, const std::string& project,
                                         const std::string& output) {
  static const std::string text =
      "SELECT " + columns<BatchOutput>() +
      " FROM batch_outputs WHERE project = $1 AND output = $2 ORDER BY day, made_at";
  return sql::select<BatchOutput>(tx, text, {project, output});
}

Result<bool> add_output(sql::Tx& tx, const BatchOutput& output) {
  const auto rows = TRY(tx.run(
      "SELECT 1 FROM batch_outputs WHERE project = $1 AND output = $2 AND day = $3 AND model "
      "= $4 AND version = $5 AND input_digest = $6",
      {output.project, output.output, output.day, output.model, output.version,
       output.input_digest}));
  if (!rows.empty()) return false;
  TRY(sql::insert(tx, "batch_outputs", output));
  return true;
}

}  // namespace penstock::serving::store
