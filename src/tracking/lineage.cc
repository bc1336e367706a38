#include "tracking/lineage.h"

#include "catalog/service.h"
#include "tracking/store.h"

namespace penstock::tracking {
namespace {

Result<std::optional<Run>> find_run(sql::Tx& tx, const Call& call, const std::string& id) {
  auto found = TRY(store::run(tx, call.project, id));
  if (found.empty()) return std::optional<Run>();
  return std::optional(std::move(found.front()));
}

std::string time_text(std::int64_t ms) { return to_rfc3339(Timestamp(Micros(ms * 1'000))); }

}  // namespace

Result<std::optional<std::string>> catalog_dataset(sql::Tx& tx, const Call& call,
                                                   const DatasetInput& input) {
  const std::string name = urn_name(input.name);
  if (input.digest.size() >= 8)
    for (const catalog::Dataset& one : TRY(catalog::datasets_named(tx, call.project, name)))
      if (one.digest.starts_with(input.digest)) return std::optional(one.urn());
  const auto newest = TRY(catalog::find_dataset(tx, call.project, name));
  return newest ? std::optional(newest->urn()) : std::nullopt;
}

Result<std::string> dataset_urn(sql::Tx& tx, const Call& call, const DatasetInput& input) {
  if (const auto known = TRY(catalog_dataset(tx, call, input))) return *known;
  return "dataset:" + urn_name(input.name) + "@" + urn_name(input.digest);
}

Result<std::optional<std::string>> run_urn(sql::Tx& tx, const Call& call, const std::string& id) {
  if (!TRY(find_run(tx, call, id))) return std::optional<std::string>();
  return std::optional("run:" + id);
}

Result<std::optional<std::string>> evaluated_run(sql::Tx& tx, const Call& call,
                                                 const std::string& text) {
  if (!text.starts_with("run:")) return std::optional<std::string>();
  const auto run = TRY(find_run(tx, call, text.substr(4)));
  if (!run) return std::optional<std::string>();
  const auto measured =
      TRY(tx.run("SELECT 1 FROM latest_metrics WHERE run = $1 AND NOT is_nan AND key NOT LIKE "
                 "'train%' LIMIT 1",
                 {run->number}));
  return measured.empty() ? std::optional<std::string>() : std::optional(text);
}

Result<json::object> describe_run(sql::Tx& tx, const Call& call, const Urn& urn) {
  auto run = TRY(find_run(tx, call, urn.name));
  if (!run) return json::object{};
  const RunDetail kept = std::move(TRY(store::details(tx, {*run})).front());
  json::object metrics;
  for (const Metric& one : kept.metrics)
    if (!one.is_nan && metrics.size() < 20) metrics[one.key] = one.value;
  json::object out{
      {"owner", run->user_id},
      {"summary", "MLflow run " + run->name + ", " + std::string(name_of(run->status)) + ", " +
                      time_text(run->start_time)},
      {"experiment", "experiment:" + std::to_string(run->experiment)}};
  if (!metrics.empty()) out["metrics"] = std::move(metrics);
  for (const Pair& tag : kept.tags)
    if (tag.key == "mlflow.source.git.commit") out["git_commit"] = tag.value;
  return out;
}

Result<json::object> describe_logged_model(sql::Tx& tx, const Call& call, const Urn& urn) {
  const auto found = TRY(sql::select<LoggedModel>(
      tx, "SELECT " + columns<LoggedModel>() + " FROM logged_models WHERE project = $1 AND id = $2",
      {call.project, urn.name}));
  if (found.empty()) return json::object{};
  const LoggedModel& model = found.front();
  return json::object{{"summary", "logged model " + model.name + ", " +
                                      std::string(name_of(model.status)) + ", " +
                                      time_text(model.created_at)}};
}

}  // namespace penstock::tracking
