#include "api/mlflow/tracking_routes.h"

#include <cmath>
#include <limits>

#include "api/mlflow/metric_json.h"
#include "api/mlflow/pair.h"
#include "api/mlflow/protocol.h"
#include "tracking/service.h"

namespace penstock::api {
namespace {

using mlflow::Arguments;
using mlflow::experiment_of;
using Object = Result<json::object>;

constexpr const char* server_version = "3.17.2";  // the MLflow whose protocol this is

// Old clients say run_uuid.
Result<std::string> run_of(const Arguments& in) {
  return in.has("run_id")     ? in.text("run_id")
         : in.has("run_uuid") ? in.text("run_uuid")
                              : in.text("run_id");
}

Result<std::vector<tracking::Pair>> pairs_of(const Arguments& in, std::string_view name) {
  std::vector<tracking::Pair> out;
  for (const Arguments& one : TRY(in.objects(name))) out.push_back(TRY(mlflow::pair_of(one)));
  return out;
}

Result<tracking::Metric> metric_of(const Arguments& in) {
  constexpr double largest = std::numeric_limits<double>::max();
  auto key = TRY(in.text("key"));
  const auto step = TRY(in.whole_or("step", 0)), at = TRY(in.whole_or("timestamp", 0));
  const double value = TRY(in.real("value"));
  tracking::Metric metric{.key = std::move(key), .step = step, .at = at, .value = value};
  metric.is_nan = std::isnan(metric.value);
  if (metric.is_nan) metric.value = 0;
  if (std::isinf(metric.value)) metric.value = metric.value > 0 ? largest : -largest;
  return metric;
}

// A point, and again among those of its model where it names one.
Result<void> add_metric(const Arguments& in, tracking::Batch& batch) {
  batch.metrics.push_back(TRY(metric_of(in)));
  const std::string model = TRY(in.text_or("model_id", ""));
  if (model.empty()) return {};
  auto name = TRY(in.text_or("dataset_name", ""));
  auto digest = TRY(in.text_or("dataset_digest", ""));
  batch.model_metrics.push_back({.model = model,
                                 .point = batch.metrics.back(),
                                 .dataset = {std::move(name), std::move(digest)}});
  return {};
}

Result<std::vector<tracking::DatasetInput>> datasets_of(const Arguments& in) {
  std::vector<tracking::DatasetInput> out;
  for (const Arguments& one : TRY(in.objects("datasets"))) {
    const Arguments set = TRY(one.object("dataset"));
    const auto tags = TRY(pairs_of(one, "tags"));
    auto name = TRY(set.text("name"));
    auto digest = TRY(set.text("digest"));
    auto source_type = TRY(set.text_or("source_type", ""));
    auto source = TRY(set.text_or("source", ""));
    auto schema_text = TRY(set.text_or("schema", ""));
    auto profile = TRY(set.text_or("profile", ""));
    tracking::DatasetInput input{.name = std::move(name),
                                 .digest = std::move(digest),
                                 .source_type = std::move(source_type),
                                 .source = std::move(source),
                                 .schema_text = std::move(schema_text),
                                 .profile = std::move(profile),
                                 .tags = json::serialize(encode(tags))};
    for (const tracking::Pair& tag : tags)
      if (tag.key == "mlflow.data.context") input.context = tag.value;
    out.push_back(std::move(input));
  }
  return out;
}

Result<std::vector<tracking::ModelUse>> uses_of(const Arguments& in, bool is_output) {
  std::vector<tracking::ModelUse> out;
  for (const Arguments& one : TRY(in.objects("models"))) {
    auto model = TRY(one.text("model_id"));
    const auto step = TRY(one.whole_or("step", 0));
    out.push_back({std::move(model), is_output, step});
  }
  return out;
}

Result<tracking::View> view_of(const Arguments& in, std::string_view field) {
  const std::string view = TRY(in.text_or(field, "ACTIVE_ONLY"));
  if (view == "ACTIVE_ONLY") return tracking::View::active;
  if (view == "DELETED_ONLY") return tracking::View::deleted;
  if (view == "ALL") return tracking::View::all;
  return Error{Code::invalid_argument, "Invalid value '" + view + "' for parameter '" +
                                           std::string(field) +
                                           "': it must be ACTIVE_ONLY, DELETED_ONLY or ALL"};
}

Result<tracking::Search> search_of(const Arguments& in, std::string_view view) {
  auto view_asked = TRY(view_of(in, view));
  auto filter = TRY(in.text_or("filter", ""));
  auto order_by = TRY(in.texts("order_by"));
  const auto limit = TRY(in.whole_or("max_results", 1'000));
  auto page_token = TRY(in.text_or("page_token", ""));
  return tracking::Search{.view = std::move(view_asked),
                          .filter = std::move(filter),
                          .order_by = std::move(order_by),
                          .limit = limit,
                          .page_token = std::move(page_token)};
}

const char* stage_of(tracking::Lifecycle lifecycle) {
  return lifecycle == tracking::Lifecycle::active ? "active" : "deleted";
}

json::object said(const tracking::ExperimentDetail& detail) {
  const tracking::Experiment& one = detail.experiment;
  return {{"experiment_id", std::to_string(one.id)},
          {"name", one.name},
          {"artifact_location", one.artifact_location},
          {"lifecycle_stage", stage_of(one.lifecycle)},
          {"creation_time", one.created_at},
          {"last_update_time", one.updated_at},
          {"tags", encode(detail.tags)}};
}

json::object said(const tracking::Run& run) {
  json::object out{{"run_uuid", run.id},
                   {"run_id", run.id},
                   {"run_name", run.name},
                   {"experiment_id", std::to_string(run.experiment)},
                   {"user_id", run.user_id},
                   {"status", name_of(run.status)},
                   {"start_time", run.start_time},
                   {"artifact_uri", run.artifact_uri},
                   {"lifecycle_stage", stage_of(run.lifecycle)}};
  if (run.end_time) out["end_time"] = *run.end_time;
  return out;
}

json::object said(const tracking::Metric& metric) { return mlflow::metric_json(metric); }

json::array said(const std::vector<tracking::Metric>& metrics) {
  json::array out;
  for (const tracking::Metric& metric : metrics) out.push_back(said(metric));
  return out;
}

json::object said(const tracking::RunDetail& detail) {
  json::array datasets;
  for (const tracking::DatasetInput& one : detail.datasets)
    datasets.push_back(json::object{{"tags", json::parse(one.tags)},
                                    {"dataset", json::object{{"name", one.name},
                                                             {"digest", one.digest},
                                                             {"source_type", one.source_type},
                                                             {"source", one.source},
                                                             {"schema", one.schema_text},
                                                             {"profile", one.profile}}}});
  json::array read, written;
  for (const tracking::ModelUse& use : detail.models)
    if (use.is_output)
      written.push_back(json::object{{"model_id", use.model}, {"step", use.step}});
    else
      read.push_back(json::object{{"model_id", use.model}});
  return {{"info", said(detail.run)},
          {"data", json::object{{"metrics", said(detail.metrics)},
                                {"params", encode(detail.params)},
                                {"tags", encode(detail.tags)}}},
          {"inputs", json::object{{"dataset_inputs", std::move(datasets)},
                                  {"model_inputs", std::move(read)}}},
          {"outputs", json::object{{"model_outputs", std::move(written)}}}};
}

template <class T>
json::object page(const char* name, const tracking::Found<T>& found) {
  json::array items;
  for (const T& one : found.items) items.push_back(said(one));
  json::object out{{name, std::move(items)}};
  if (!found.next_page_token.empty()) out["next_page_token"] = found.next_page_token;
  return out;
}

void add_experiments(std::vector<Route>& routes, tracking::Service& service) {
  using enum Permission;
  const auto add = [&](const char* method, const std::string& name, const char* summary,
                       Permission permission, mlflow::Handler handler) {
    mlflow::add(routes, method, "experiments/" + name, summary, permission, std::move(handler));
  };
  add("POST", "create", "Create an experiment", write,
      [&](const Call& call, const Arguments& in) -> Object {
        const auto made = TRY(service.create_experiment(call, TRY(in.text("name")),
                                                        TRY(in.text_or("artifact_location", "")),
                                                        TRY(pairs_of(in, "tags"))));
        return json::object{{"experiment_id", std::to_string(made.id)}};
      });
  add("GET", "get", "Show an experiment", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{
            {"experiment", said(TRY(service.experiment(call, TRY(experiment_of(in)))))}};
      });
  add("GET", "get-by-name", "Show an experiment by its name", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"experiment", said(TRY(service.experiment_by_name(
                                               call, TRY(in.text("experiment_name")))))}};
      });
  add("POST", "update", "Rename an experiment", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(service.rename_experiment(call, TRY(experiment_of(in)), TRY(in.text("new_name"))));
        return json::object{};
      });
  for (const auto& [name, to] : {std::pair("delete", tracking::Lifecycle::deleted),
                                 std::pair("restore", tracking::Lifecycle::active)})
    add("POST", name, "Delete or restore an experiment with its runs", write,
        [&service, to = to](const Call& call, const Arguments& in) -> Object {
          TRY(service.move_experiment(call, TRY(experiment_of(in)), to));
          return json::object{};
        });
  add("POST", "set-experiment-tag", "Set a tag of an experiment", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(service.set_experiment_tag(call, TRY(experiment_of(in)), TRY(mlflow::pair_of(in))));
        return json::object{};
      });
  add("POST", "delete-experiment-tag", "Delete a tag of an experiment", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(service.remove_experiment_tag(call, TRY(experiment_of(in)), TRY(in.text("key"))));
        return json::object{};
      });
  for (const char* method : {"GET", "POST"})
    add(method, "search", "Search experiments", read,
        [&](const Call& call, const Arguments& in) -> Object {
          return page("experiments",
                      TRY(service.search_experiments(call, TRY(search_of(in, "view_type")))));
        });
}

void add_runs(std::vector<Route>& routes, tracking::Service& service) {
  using enum Permission;
  const auto add = [&](const char* method, const std::string& name, const char* summary,
                       Permission permission, mlflow::Handler handler) {
    mlflow::add(routes, method, name, summary, permission, std::move(handler));
  };
  add("POST", "runs/create", "Start a run", write,
      [&](const Call& call, const Arguments& in) -> Object {
        const auto experiment = TRY(in.whole_or("experiment_id", 0));
        auto name_asked = TRY(in.text_or("run_name", ""));
        auto user_id = TRY(in.text_or("user_id", ""));
        const auto start_time = TRY(in.whole("start_time"));
        auto tags = TRY(pairs_of(in, "tags"));
        const auto run = TRY(service.create_run(call, {.experiment = experiment,
                                                       .name = std::move(name_asked),
                                                       .user_id = std::move(user_id),
                                                       .start_time = start_time,
                                                       .tags = std::move(tags)}));
        return json::object{{"run", said(run)}};
      });
  add("GET", "runs/get", "Show a run", read, [&](const Call& call, const Arguments& in) -> Object {
    return json::object{{"run", said(TRY(service.run(call, TRY(run_of(in)))))}};
  });
  add("POST", "runs/update", "End a run, or rename it", write,
      [&](const Call& call, const Arguments& in) -> Object {
        auto id = TRY(run_of(in));
        auto name = TRY(in.text_or("run_name", ""));
        const auto end_time = TRY(in.whole("end_time"));
        tracking::UpdateRun input{
            .id = std::move(id), .name = std::move(name), .end_time = end_time};
        if (const std::string status = TRY(in.text_or("status", "")); !status.empty()) {
          tracking::Status read{};
          if (!Kind<tracking::Status>::hear(status, read))
            return Error{Code::invalid_argument,
                         "Invalid value '" + status +
                             "' for parameter 'status': it must be RUNNING, SCHEDULED, FINISHED, "
                             "FAILED or KILLED"};
          input.status = read;
        }
        return json::object{{"run_info", said(TRY(service.update_run(call, input)))}};
      });
  for (const auto& [name, to] : {std::pair("runs/delete", tracking::Lifecycle::deleted),
                                 std::pair("runs/restore", tracking::Lifecycle::active)})
    add("POST", name, "Delete or restore a run", write,
        [&service, to = to](const Call& call, const Arguments& in) -> Object {
          TRY(service.move_run(call, TRY(run_of(in)), to));
          return json::object{};
        });
  add("POST", "runs/search", "Search runs", read,
      [&](const Call& call, const Arguments& in) -> Object {
        tracking::Search search = TRY(search_of(in, "run_view_type"));
        for (const std::string& id : TRY(in.texts("experiment_ids"))) {
          const Arguments one(json::object{{"experiment_ids", id}});
          search.experiments.push_back(TRY(one.whole_or("experiment_ids", 0)));
        }
        return page("runs", TRY(service.search_runs(call, search)));
      });
}

void add_logging(std::vector<Route>& routes, tracking::Service& service) {
  using enum Permission;
  const auto add = [&](const char* name, const char* summary,
                       std::function<Result<tracking::Batch>(const Arguments&)> batch_of) {
    mlflow::add(routes, "POST", name, summary, write,
                [&service, batch_of = std::move(batch_of)](const Call& call,
                                                           const Arguments& in) -> Object {
                  TRY(service.log(call, TRY(run_of(in)), TRY(batch_of(in))));
                  return json::object{};
                });
  };
  using Batch = tracking::Batch;
  add("runs/log-metric", "Log a point of a metric", [](const Arguments& in) -> Result<Batch> {
    Batch batch;
    TRY(add_metric(in, batch));
    return batch;
  });
  add("runs/log-parameter", "Log a parameter", [](const Arguments& in) -> Result<Batch> {
    return Batch{.params = {TRY(mlflow::pair_of(in))}};
  });
  add("runs/set-tag", "Set a tag of a run", [](const Arguments& in) -> Result<Batch> {
    return Batch{.tags = {TRY(mlflow::pair_of(in))}};
  });
  add("runs/log-batch", "Log metrics, parameters and tags",
      [](const Arguments& in) -> Result<Batch> {
        auto params = TRY(pairs_of(in, "params"));
        auto tags = TRY(pairs_of(in, "tags"));
        Batch batch{.params = std::move(params), .tags = std::move(tags)};
        for (const Arguments& one : TRY(in.objects("metrics"))) TRY(add_metric(one, batch));
        return batch;
      });
  mlflow::add(routes, "POST", "runs/delete-tag", "Delete a tag of a run", write,
              [&](const Call& call, const Arguments& in) -> Object {
                TRY(service.remove_tag(call, TRY(run_of(in)), TRY(in.text("key"))));
                return json::object{};
              });
  mlflow::add(routes, "POST", "runs/log-inputs", "Say which datasets a run read", write,
              [&](const Call& call, const Arguments& in) -> Object {
                TRY(service.log_datasets(call, TRY(run_of(in)), TRY(datasets_of(in))));
                TRY(service.log_models(call, TRY(run_of(in)), TRY(uses_of(in, false))));
                return json::object{};
              });
  mlflow::add(routes, "POST", "runs/outputs", "Say which models a run wrote", write,
              [&](const Call& call, const Arguments& in) -> Object {
                TRY(service.log_models(call, TRY(run_of(in)), TRY(uses_of(in, true))));
                return json::object{};
              });
  mlflow::add(routes, "GET", "metrics/get-history", "Show every point of a metric", read,
              [&](const Call& call, const Arguments& in) -> Object {
                return page("metrics",
                            TRY(service.history(call, TRY(run_of(in)), TRY(in.text("metric_key")),
                                                TRY(in.whole_or("max_results", 25'000)),
                                                TRY(in.text_or("page_token", "")))));
              });
}

void add_server(std::vector<Route>& routes) {
  for (const auto& [path, text] :
       {std::pair("/health", "OK"), std::pair("/version", server_version)})
    routes.push_back({.method = "GET",
                      .path = path,
                      .summary = "As MLflow's server says it",
                      .permission = Permission::open,
                      .handle =
                          [text = text](const Call&, const Request&) {
                            return Response{.body = text,
                                            .content_type = "text/plain; charset=utf-8"};
                          },
                      .on_loop = true});
  mlflow::add(
      routes, "GET", "server-info", "What this server can do, for MLflow's client",
      Permission::open,
      [](const Call&, const Arguments&) -> Object {
        return json::object{{"store_type", "SqlStore"}, {"workspaces_enabled", false}};
      },
      "3.0");
}

}  // namespace

std::vector<Route> mlflow_tracking_routes(tracking::Service& tracking) {
  std::vector<Route> routes;
  add_server(routes);
  add_experiments(routes, tracking);
  add_runs(routes, tracking);
  add_logging(routes, tracking);
  return routes;
}

}  // namespace penstock::api
