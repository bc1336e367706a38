#include "tracking/logged_models.h"

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "catalog/lineage.h"
#include "tracking/search.h"
#include "tracking/store.h"

namespace penstock::tracking {
namespace {

Result<LoggedModel> find(sql::Tx& tx, const Call& call, const std::string& id) {
  auto found = TRY(sql::select<LoggedModel>(
      tx, "SELECT " + columns<LoggedModel>() + " FROM logged_models WHERE project = $1 AND id = $2",
      {call.project, id}));
  if (found.empty()) return Error{Code::not_found, "Logged model with ID '" + id + "' not found"};
  return std::move(found.front());
}

Result<std::vector<ModelMetric>> metrics_of(sql::Tx& tx, const LoggedModel& model) {
  const auto rows = TRY(
      tx.run("SELECT key, step, at, value, is_nan, run, dataset_name, dataset_digest FROM (SELECT "
             "* FROM logged_model_metrics WHERE model = $1 ORDER BY at DESC, step DESC LIMIT "
             "10000) AS newest ORDER BY key, at, step, run",
             {model.number}));
  std::vector<ModelMetric> out;
  out.reserve(rows.size());
  for (const sql::Row& row : rows) {
    ModelMetric one{.model = model.id, .point = sql::read_row<Metric>(row)};
    sql::from_sql(row.at(5), one.run);
    sql::from_sql(row.at(6), one.dataset.name);
    sql::from_sql(row.at(7), one.dataset.digest);
    out.push_back(std::move(one));
  }
  return out;
}

Result<LoggedModelDetail> detail(sql::Tx& tx, LoggedModel model) {
  const std::int64_t number = model.number;
  const auto pairs = [&](const std::string& table) {
    return sql::select<Pair>(
        tx, "SELECT key, value FROM " + table + " WHERE model = $1 ORDER BY key", {number});
  };
  auto params = TRY(pairs("logged_model_params"));
  auto tags = TRY(pairs("logged_model_tags"));
  auto metrics = TRY(metrics_of(tx, model));
  LoggedModelDetail out{
      .params = std::move(params), .tags = std::move(tags), .metrics = std::move(metrics)};
  out.model = std::move(model);
  return out;
}

Result<void> put(sql::Tx& tx, const std::string& table, std::int64_t model, const Pair& pair) {
  TRY(tx.run("INSERT INTO " + table +
                 " (model, key, value) VALUES ($1, $2, $3) ON CONFLICT (model, key) DO UPDATE SET "
                 "value = excluded.value",
             {model, pair.key, pair.value}));
  return {};
}

std::string urn_of(const LoggedModel& model) { return "logged_model:" + model.id; }

}  // namespace

Result<LoggedModelDetail> LoggedModels::create(const Call& call, const CreateLoggedModel& input) {
  TRY(check(Batch{.params = input.params, .tags = input.tags}));
  return db_.write(call, [&](sql::Tx& tx) -> Result<LoggedModelDetail> {
    const auto experiment = TRY(store::experiment(tx, call.project, input.experiment));
    if (experiment.empty() || experiment.front().lifecycle != Lifecycle::active)
      return Error{Code::not_found,
                   "No active Experiment with id=" + std::to_string(input.experiment) + " exists"};
    const auto last = TRY(tx.run("SELECT coalesce(max(number), 0) FROM logged_models", {}));
    LoggedModel model{.number = std::get<std::int64_t>(last.at(0).at(0)) + 1,
                      .project = call.project,
                      .id = "m-" + sha256_hex(new_ulid(clock_.now())).substr(0, 32),
                      .experiment = input.experiment,
                      .name = input.name,
                      .model_type = input.model_type,
                      .source_run = input.source_run,
                      .created_at = now(),
                      .updated_at = now()};
    if (model.name.empty()) model.name = "model-" + model.id.substr(2, 8);
    model.artifact_uri =
        experiment.front().artifact_location + "/models/" + model.id + "/artifacts";
    TRY(sql::insert(tx, "logged_models", model));
    for (const Pair& param : input.params) TRY(put(tx, "logged_model_params", model.number, param));
    for (const Pair& tag : input.tags) TRY(put(tx, "logged_model_tags", model.number, tag));
    if (!model.source_run.empty())
      TRY(catalog::add_edge(tx, call, clock_.now(), urn_of(model), "run:" + model.source_run,
                            "written_by"));
    TRY(audit::record(
        tx, call, clock_.now(),
        {"tracking.logged_model.created", urn_of(model), {{"source_run", model.source_run}}}));
    return detail(tx, std::move(model));
  });
}

Result<LoggedModelDetail> LoggedModels::get(const Call& call, const std::string& id) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<LoggedModelDetail> {
    return detail(tx, TRY(find(tx, call, id)));
  });
}

Result<LoggedModelDetail> LoggedModels::finish(const Call& call, const std::string& id,
                                               ModelStatus status) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<LoggedModelDetail> {
    LoggedModel model = TRY(find(tx, call, id));
    model.status = status;
    model.updated_at = now();
    TRY(tx.run("UPDATE logged_models SET status = $2, updated_at = $3 WHERE number = $1",
               {model.number, sql::to_sql(status), model.updated_at}));
    TRY(audit::record(
        tx, call, clock_.now(),
        {"tracking.logged_model.finished", urn_of(model), {{"status", name_of(status)}}}));
    return detail(tx, std::move(model));
  });
}

Result<void> LoggedModels::remove(const Call& call, const std::string& id) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const LoggedModel model = TRY(find(tx, call, id));
    for (const char* table : {"logged_model_params", "logged_model_tags", "logged_model_metrics"})
      TRY(tx.run("DELETE FROM " + std::string(table) + " WHERE model = $1", {model.number}));
    TRY(tx.run("DELETE FROM logged_models WHERE number = $1", {model.number}));
    return audit::record(tx, call, clock_.now(),
                         {"tracking.logged_model.deleted", urn_of(model), {{"name", model.name}}});
  });
}

Result<void> LoggedModels::add_params(const Call& call, const std::string& id,
                                      const std::vector<Pair>& params) {
  TRY(check(Batch{.params = params}));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const LoggedModel model = TRY(find(tx, call, id));
    for (const Pair& param : params) TRY(put(tx, "logged_model_params", model.number, param));
    return {};
  });
}

Result<LoggedModelDetail> LoggedModels::set_tags(const Call& call, const std::string& id,
                                                 const std::vector<Pair>& tags) {
  TRY(check(Batch{.tags = tags}));
  return db_.write(call, [&](sql::Tx& tx) -> Result<LoggedModelDetail> {
    LoggedModel model = TRY(find(tx, call, id));
    for (const Pair& tag : tags) TRY(put(tx, "logged_model_tags", model.number, tag));
    return detail(tx, std::move(model));
  });
}

Result<void> LoggedModels::remove_tag(const Call& call, const std::string& id,
                                      const std::string& key) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const LoggedModel model = TRY(find(tx, call, id));
    const auto gone =
        TRY(tx.run("DELETE FROM logged_model_tags WHERE model = $1 AND key = $2 RETURNING key",
                   {model.number, key}));
    if (gone.empty())
      return Error{Code::not_found, "No tag with key " + key + " on logged model " + id};
    return {};
  });
}

Result<Found<LoggedModelDetail>> LoggedModels::search(const Call& call, const Search& search) {
  TRY(check_limit(search.limit));
  for (std::size_t i = 0; i < search.datasets.size(); ++i)
    if (search.datasets[i].name.empty())
      return Error{Code::invalid_argument,
                   "Invalid value for parameter 'datasets[" + std::to_string(i) +
                       "]': `dataset_name` in the `datasets` clause must be specified."};
  Compiled compiled = TRY(compile(Subject::logged_model, search.filter, search.order_by,
                                  {search.datasets, search.order_datasets}));
  if (search.experiments.empty()) return Found<LoggedModelDetail>{};
  Listing listing{.columns = columns_in<LoggedModel>("t"),
                  .from = compiled.from("logged_models t"),
                  .order = compiled.order,
                  .parameters = compiled.parameters,
                  .limit = search.limit,
                  .page_token = search.page_token};
  const auto mark = [&](Scalar value) {
    listing.parameters.push_back(std::move(value));
    return "$" + std::to_string(listing.parameters.size());
  };
  listing.where = "t.project = " + mark(call.project) + " AND t.experiment IN (";
  for (std::size_t i = 0; i < search.experiments.size(); ++i)
    listing.where += (i ? ", " : "") + mark(search.experiments[i]);
  listing.where += ")" + compiled.where();
  listing.order.push_back({"t.created_at", true});
  listing.order.push_back({"t.number", true});
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<LoggedModelDetail>> {
    auto found = TRY(page_of<LoggedModel>(tx, listing));
    Found<LoggedModelDetail> out{.next_page_token = std::move(found.next_page_token)};
    for (LoggedModel& model : found.items) out.items.push_back(TRY(detail(tx, std::move(model))));
    return out;
  });
}

}  // namespace penstock::tracking
