#include "api/mlflow/chart_routes.h"

#include <algorithm>

#include "api/mlflow/metric_json.h"
#include "api/mlflow/protocol.h"
#include "tracking/service.h"

namespace penstock::api {
namespace {

using mlflow::Arguments;
using Object = Result<json::object>;

json::object points_of(const std::vector<tracking::RunPoints>& runs) {
  json::array metrics;
  for (const tracking::RunPoints& run : runs)
    for (const tracking::Metric& point : run.points) {
      json::object one = mlflow::metric_json(point);
      one["run_id"] = run.run;
      metrics.push_back(std::move(one));
    }
  return {{"metrics", std::move(metrics)}};
}

Result<std::vector<std::string>> runs_of(const Arguments& in, std::string_view name) {
  auto runs = TRY(in.texts(name));
  if (!runs.empty() && runs.size() <= 100) return runs;
  return Error{Code::invalid_argument, std::string(name) +
                                           " must name from 1 to 100 runs, and names " +
                                           std::to_string(runs.size())};
}

}  // namespace

std::vector<Route> mlflow_chart_routes(tracking::Service& service) {
  std::vector<Route> routes;
  using enum Permission;
  mlflow::add(routes, "GET", "metrics/get-history-bulk", "Show the points of several runs", read,
              [&](const Call& call, const Arguments& in) -> Object {
                auto runs = TRY(runs_of(in, "run_id"));
                std::sort(runs.begin(), runs.end());
                return points_of(TRY(service.histories(
                    call, runs, TRY(in.text("metric_key")),
                    std::clamp<std::int64_t>(TRY(in.whole_or("max_results", 25'000)), 0, 25'000))));
              });
  mlflow::add(routes, "GET", "metrics/get-history-bulk-interval",
              "Show an even sample of the points of several runs", read,
              [&](const Call& call, const Arguments& in) -> Object {
                auto runs_asked = TRY(runs_of(in, "run_ids"));
                auto key = TRY(in.text("metric_key"));
                const auto first_step = TRY(in.whole("start_step"));
                const auto last_step = TRY(in.whole("end_step"));
                const auto limit = TRY(in.whole_or("max_results", 2'500));
                return points_of(TRY(service.samples(call, {.runs = std::move(runs_asked),
                                                            .key = std::move(key),
                                                            .first_step = first_step,
                                                            .last_step = last_step,
                                                            .limit = limit})));
              });
  mlflow::add(
      routes, "POST", "experiments/search-datasets", "List datasets that runs read", read,
      [&](const Call& call, const Arguments& in) -> Object {
        std::vector<std::int64_t> experiments;
        for (const std::string& id : TRY(in.texts("experiment_ids"))) {
          const Arguments one(json::object{{"experiment_ids", id}});
          experiments.push_back(TRY(one.whole_or("experiment_ids", 0)));
        }
        json::array out;
        for (const tracking::DatasetSummary& one : TRY(service.datasets(call, experiments))) {
          json::object said{{"experiment_id", std::to_string(one.experiment)},
                            {"name", one.name},
                            {"digest", one.digest}};
          if (!one.context.empty()) said["context"] = one.context;
          out.push_back(std::move(said));
        }
        return json::object{{"dataset_summaries", std::move(out)}};
      });
  mlflow::add(routes, "POST", "runs/log-model", "Record a model in a tag of its run", write,
              [&](const Call& call, const Arguments& in) -> Object {
                boost::system::error_code fault;
                const json::value model = json::parse(TRY(in.text("model_json")), fault);
                if (fault || !model.is_object())
                  return Error{Code::invalid_argument,
                               "Malformed model info: model_json must be a "
                               "JSON object"};
                TRY(service.add_model_record(call, TRY(in.text("run_id")), model));
                return json::object{};
              });
  return routes;
}

}  // namespace penstock::api
