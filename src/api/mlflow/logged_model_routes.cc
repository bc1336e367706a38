#include "api/mlflow/logged_model_routes.h"

#include "api/mlflow/metric_json.h"
#include "api/mlflow/pair.h"
#include "api/mlflow/protocol.h"
#include "tracking/logged_models.h"

namespace penstock::api {
namespace {

using mlflow::Arguments;
using Object = Result<json::object>;

Result<std::vector<tracking::Pair>> pairs_of(const Arguments& in, std::string_view name) {
  std::vector<tracking::Pair> out;
  for (const Arguments& one : TRY(in.objects(name))) out.push_back(TRY(mlflow::pair_of(one)));
  return out;
}

json::object said(const tracking::LoggedModelDetail& detail) {
  const tracking::LoggedModel& model = detail.model;
  json::array metrics;
  for (const tracking::ModelMetric& one : detail.metrics) {
    json::object& said = metrics.emplace_back(mlflow::metric_json(one.point)).as_object();
    said["model_id"] = one.model;
    said["run_id"] = one.run;
    if (!one.dataset.name.empty()) said["dataset_name"] = one.dataset.name;
    if (!one.dataset.digest.empty()) said["dataset_digest"] = one.dataset.digest;
  }
  return {
      {"info", json::object{{"model_id", model.id},
                            {"experiment_id", std::to_string(model.experiment)},
                            {"name", model.name},
                            {"creation_timestamp_ms", model.created_at},
                            {"last_updated_timestamp_ms", model.updated_at},
                            {"artifact_uri", model.artifact_uri},
                            {"status", name_of(model.status)},
                            {"model_type", model.model_type},
                            {"source_run_id", model.source_run},
                            {"tags", encode(detail.tags)}}},
      {"data", json::object{{"params", encode(detail.params)}, {"metrics", std::move(metrics)}}}};
}

Result<tracking::Search> search_of(const Arguments& in) {
  auto filter = TRY(in.text_or("filter", ""));
  const auto limit = TRY(in.whole_or("max_results", 50));
  auto page_token = TRY(in.text_or("page_token", ""));
  tracking::Search search{
      .filter = std::move(filter), .limit = limit, .page_token = std::move(page_token)};
  for (const std::string& id : TRY(in.texts("experiment_ids"))) {
    const Arguments one(json::object{{"experiment_ids", id}});
    search.experiments.push_back(TRY(one.whole_or("experiment_ids", 0)));
  }
  const auto dataset_of = [](const Arguments& one) -> Result<tracking::OnDataset> {
    auto name = TRY(one.text_or("dataset_name", ""));
    auto digest = TRY(one.text_or("dataset_digest", ""));
    return tracking::OnDataset{std::move(name), std::move(digest)};
  };
  for (const Arguments& one : TRY(in.objects("datasets")))
    search.datasets.push_back(TRY(dataset_of(one)));
  for (const Arguments& one : TRY(in.objects("order_by"))) {
    search.order_by.push_back(TRY(one.text("field_name")) +
                              (TRY(one.flag_or("ascending", true)) ? " ASC" : " DESC"));
    search.order_datasets.push_back(TRY(dataset_of(one)));
  }
  return search;
}

}  // namespace

std::vector<Route> mlflow_logged_model_routes(tracking::LoggedModels& models) {
  std::vector<Route> routes;
  const auto add = [&](const char* method, const std::string& path, const char* summary,
                       Permission permission, mlflow::Handler handler) {
    mlflow::add(routes, method, "logged-models" + path, summary, permission, std::move(handler));
  };
  using enum Permission;
  add("POST", "", "Start a logged model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        const auto experiment = TRY(in.whole_or("experiment_id", 0));
        auto name = TRY(in.text_or("name", ""));
        auto model_type = TRY(in.text_or("model_type", ""));
        auto source_run = TRY(in.text_or("source_run_id", ""));
        auto params = TRY(pairs_of(in, "params"));
        auto tags = TRY(pairs_of(in, "tags"));
        return json::object{
            {"model", said(TRY(models.create(call, {.experiment = experiment,
                                                    .name = std::move(name),
                                                    .model_type = std::move(model_type),
                                                    .source_run = std::move(source_run),
                                                    .params = std::move(params),
                                                    .tags = std::move(tags)})))}};
      });
  add("POST", "/search", "Search logged models", read,
      [&](const Call& call, const Arguments& in) -> Object {
        const auto found = TRY(models.search(call, TRY(search_of(in))));
        json::array items;
        for (const auto& one : found.items) items.push_back(said(one));
        json::object out{{"models", std::move(items)}};
        if (!found.next_page_token.empty()) out["next_page_token"] = found.next_page_token;
        return out;
      });
  add("GET", "/{model_id}", "Show a logged model", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"model", said(TRY(models.get(call, TRY(in.text("model_id")))))}};
      });
  add("PATCH", "/{model_id}", "Finish a logged model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        tracking::ModelStatus status{};
        const std::string word = TRY(in.text("status"));
        if (!Kind<tracking::ModelStatus>::hear(word, status))
          return Error{Code::invalid_argument,
                       "Invalid value '" + word +
                           "' for parameter 'status': it must be LOGGED_MODEL_READY, "
                           "LOGGED_MODEL_PENDING or LOGGED_MODEL_UPLOAD_FAILED"};
        return json::object{
            {"model", said(TRY(models.finish(call, TRY(in.text("model_id")), status)))}};
      });
  add("DELETE", "/{model_id}", "Delete a logged model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(models.remove(call, TRY(in.text("model_id"))));
        return json::object{};
      });
  add("POST", "/{model_id}/params", "Add parameters to a logged model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(models.add_params(call, TRY(in.text("model_id")), TRY(pairs_of(in, "params"))));
        return json::object{};
      });
  add("PATCH", "/{model_id}/tags", "Set tags of a logged model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"model", said(TRY(models.set_tags(call, TRY(in.text("model_id")),
                                                               TRY(pairs_of(in, "tags")))))}};
      });
  add("DELETE", "/{model_id}/tags/{tag_key}", "Delete a tag of a logged model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(models.remove_tag(call, TRY(in.text("model_id")), TRY(in.text("tag_key"))));
        return json::object{};
      });
  return routes;
}

}  // namespace penstock::api
