#include "registry/store.h"

#include "base/urn.h"

namespace penstock::registry::store {

Result<std::vector<ModelVersion>> find(sql::Tx& tx, const std::string& project,
                                       const std::string& model, std::int64_t version) {
  static const std::string text =
      "SELECT " + columns<ModelVersion>() +
      " FROM model_versions WHERE project = $1 AND model = $2 AND version = $3";
  return sql::select<ModelVersion>(tx, text, {project, model, version});
}

Result<std::vector<ModelVersion>> list(sql::Tx& tx, const std::string& project,
                                       const std::string& model, std::int64_t limit) {
  static const std::string text = "SELECT " + columns<ModelVersion>() +
                                  " FROM model_versions WHERE project = $1 AND ($2 = '' OR model = "
                                  "$2) ORDER BY model, version LIMIT $3";
  return sql::select<ModelVersion>(tx, text, {project, model, limit});
}

Result<void> put_names(sql::Tx& tx, const ModelVersion& version) {
  const std::int64_t at = version.created_at.time_since_epoch().count() / 1'000;
  const auto named = tx.run(
      "INSERT INTO registered_models (project, name, description, created_at, updated_at, model) "
      "VALUES ($1, $2, '', $3, $3, $4) ON CONFLICT (project, model) DO UPDATE SET updated_at = "
      "excluded.updated_at",
      {version.project, plain_name(version.model), at, version.model});
  if (!named && named.error().code == Code::already_exists)
    return Error{Code::already_exists,
                 "a model that was renamed is called " + plain_name(version.model) +
                     " now; register under another name",
                 {{"model_id", "is the present name of another model"}}};
  TRY(named);
  TRY(
      tx.run("INSERT INTO version_notes (project, model, version, source, run, logged_model, "
             "user_id, description, hidden, created_at, updated_at, name) SELECT $1, $2, $3, $4, "
             "$5, '', $6, $7, FALSE, $8, $8, name FROM registered_models WHERE project = $1 AND "
             "model = $2",
             {version.project, version.model, version.version, version.record.artifact_uri,
              version.record.run.value_or(""), version.created_by,
              version.record.description.value_or(""), at}));
  return {};
}

Result<std::int64_t> newest(sql::Tx& tx, const std::string& project, const std::string& model) {
  const auto rows = TRY(tx.run(
      "SELECT coalesce(max(version), 0) FROM model_versions WHERE project = $1 AND model = $2",
      {project, model}));
  return std::get<std::int64_t>(rows.at(0).at(0));
}

Result<void> set_status(sql::Tx& tx, const ModelVersion& version, Status status, Timestamp at) {
  TRY(tx.run(
      "UPDATE model_versions SET status = $4, updated_at = $5 WHERE project = $1 AND model "
      "= $2 AND version = $3",
      {version.project, version.model, version.version, sql::to_sql(status), sql::to_sql(at)}));
  return {};
}

}  // namespace penstock::registry::store
