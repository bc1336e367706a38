#include "api/mlflow/evaluation_routes.h"

#include "api/mlflow/protocol.h"
#include "tracking/evaluation_datasets.h"
#include "tracking/issues.h"
#include "tracking/scorers.h"

namespace penstock::api {
namespace {

using mlflow::Arguments;
using mlflow::experiment_of;
using Object = Result<json::object>;
using enum Permission;

Result<std::vector<std::int64_t>> experiments_of(const Arguments& in) {
  std::vector<std::int64_t> out;
  for (const std::string& id : TRY(in.texts("experiment_ids"))) {
    const Arguments one(json::object{{"experiment_ids", id}});
    out.push_back(TRY(one.whole_or("experiment_ids", 0)));
  }
  return out;
}

// Tags and records come as JSON within a text.
Result<json::value> packed(const Arguments& in, const char* name) {
  const std::string text = TRY(in.text_or(name, ""));
  if (text.empty()) return json::value();
  boost::system::error_code fault;
  json::parse_options options;
  options.max_depth = 500;
  json::value value = json::parse(text, fault, {}, options);
  if (fault)
    return Error{Code::invalid_argument, "Invalid value for parameter '" + std::string(name) +
                                             "': it must be JSON in a text: " + fault.message()};
  return value;
}

Result<std::vector<tracking::Pair>> tags_of(const Arguments& in) {
  std::vector<tracking::Pair> out;
  const json::value said = TRY(packed(in, "tags"));
  if (said.is_null()) return out;
  if (!said.is_object())
    return Error{Code::invalid_argument,
                 "Invalid value for parameter 'tags': it must be an object"};
  for (const auto& [key, value] : said.as_object())
    out.push_back({std::string(key),
                   value.is_string() ? std::string(value.as_string()) : json::serialize(value)});
  return out;
}

json::object said(const tracking::EvaluationDatasetDetail& detail) {
  const tracking::EvaluationDataset& one = detail.dataset;
  json::object tags;
  for (const tracking::Pair& tag : detail.tags) tags[tag.key] = tag.value;
  json::array experiments;
  for (const std::int64_t id : detail.experiments) experiments.emplace_back(std::to_string(id));
  json::object out{{"dataset_id", one.id},
                   {"name", one.name},
                   {"tags", json::serialize(tags)},
                   {"digest", one.digest},
                   {"created_time", one.created_at},
                   {"last_update_time", one.updated_at},
                   {"experiment_ids", std::move(experiments)}};
  for (const auto& [name, text] :
       {std::pair("schema", &one.schema_text), std::pair("profile", &one.profile),
        std::pair("created_by", &one.created_by), std::pair("last_updated_by", &one.updated_by)})
    if (!text->empty()) out[name] = *text;
  return out;
}

json::value unpacked(const std::optional<std::string>& text) {
  if (!text) return nullptr;
  json::parse_options options;
  options.max_depth = 2'000;
  return json::parse(*text, {}, options);
}

json::value or_null(const std::string& text) {
  return text.empty() ? json::value() : json::value(text);
}

json::object said(const tracking::EvaluationRecord& one, const std::string& dataset) {
  return {{"dataset_record_id", one.id},
          {"dataset_id", dataset},
          {"inputs", unpacked(one.inputs)},
          {"outputs", unpacked(one.outputs)},
          {"expectations", unpacked(one.expectations)},
          {"tags", unpacked(one.tags)},
          {"source", unpacked(one.source)},
          {"source_id", or_null(one.source_id)},
          {"source_type", or_null(one.source_type)},
          {"created_time", one.created_at},
          {"last_update_time", one.updated_at},
          {"created_by", or_null(one.created_by)},
          {"last_updated_by", or_null(one.updated_by)}};
}

template <class Add>
void add_datasets(const Add& add, tracking::EvaluationDatasets& datasets) {
  add("POST", "datasets/create", "Create an evaluation dataset", write,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{
            {"dataset", said(TRY(datasets.create(call, TRY(in.text("name")), TRY(tags_of(in)),
                                                 TRY(experiments_of(in)))))}};
      });
  for (const char* method : {"GET", "POST"})
    add(method, "datasets/search", "Search evaluation datasets", read,
        [&](const Call& call, const Arguments& in) -> Object {
          const std::int64_t limit = TRY(in.whole_or("max_results", 0));
          auto experiments = TRY(experiments_of(in));
          auto filter = TRY(in.text_or("filter_string", ""));
          auto order_by = TRY(in.texts("order_by"));
          auto page_token = TRY(in.text_or("page_token", ""));
          const auto found = TRY(datasets.search(call, {.experiments = std::move(experiments),
                                                        .filter = std::move(filter),
                                                        .order_by = std::move(order_by),
                                                        .limit = limit == 0 ? 1'000 : limit,
                                                        .page_token = std::move(page_token)}));
          json::array items;
          for (const auto& one : found.items) items.push_back(said(one));
          json::object out{{"datasets", std::move(items)}};
          if (!found.next_page_token.empty()) out["next_page_token"] = found.next_page_token;
          return out;
        });
  add("GET", "datasets/{dataset_id}", "Show an evaluation dataset", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"dataset", said(TRY(datasets.get(call, TRY(in.text("dataset_id")))))}};
      });
  add("DELETE", "datasets/{dataset_id}", "Delete an evaluation dataset", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(datasets.remove(call, TRY(in.text("dataset_id"))));
        return json::object{};
      });
  add("PATCH", "datasets/{dataset_id}/tags", "Set tags of an evaluation dataset", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(datasets.set_tags(call, TRY(in.text("dataset_id")), TRY(tags_of(in))));
        return json::object{};
      });
  add("DELETE", "datasets/{dataset_id}/tags/{key}", "Delete a tag of an evaluation dataset", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(datasets.remove_tag(call, TRY(in.text("dataset_id")), TRY(in.text("key"))));
        return json::object{};
      });
}

template <class Add>
void add_records(const Add& add, tracking::EvaluationDatasets& datasets) {
  add("GET", "datasets/{dataset_id}/experiment-ids", "List experiments of an evaluation dataset",
      read, [&](const Call& call, const Arguments& in) -> Object {
        json::array ids;
        for (const std::int64_t id :
             TRY(datasets.get(call, TRY(in.text("dataset_id")))).experiments)
          ids.emplace_back(std::to_string(id));
        return json::object{{"experiment_ids", std::move(ids)}};
      });
  add("POST", "datasets/{dataset_id}/add-experiments", "Link an evaluation dataset to experiments",
      write, [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"dataset", said(TRY(datasets.link(call, TRY(in.text("dataset_id")),
                                                               TRY(experiments_of(in)))))}};
      });
  add("POST", "datasets/{dataset_id}/remove-experiments",
      "Unlink an evaluation dataset from experiments", write,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"dataset", said(TRY(datasets.unlink(call, TRY(in.text("dataset_id")),
                                                                 TRY(experiments_of(in)))))}};
      });
  add("POST", "datasets/{dataset_id}/records", "Add or change records of an evaluation dataset",
      write, [&](const Call& call, const Arguments& in) -> Object {
        const json::value records = TRY(packed(in, "records"));
        if (!records.is_array())
          return Error{Code::invalid_argument,
                       "Invalid value for parameter 'records': it must be a JSON list in a text"};
        const auto done =
            TRY(datasets.upsert(call, TRY(in.text("dataset_id")), records.as_array()));
        return json::object{{"inserted_count", done.inserted}, {"updated_count", done.updated}};
      });
  add("GET", "datasets/{dataset_id}/records", "List records of an evaluation dataset", read,
      [&](const Call& call, const Arguments& in) -> Object {
        const std::string id = TRY(in.text("dataset_id"));
        const std::int64_t limit = TRY(in.whole_or("max_results", 0));
        const auto found = TRY(datasets.records(call, id, limit == 0 ? 1'000 : limit,
                                                TRY(in.text_or("page_token", ""))));
        json::array items;
        for (const auto& one : found.items) items.push_back(said(one, id));
        json::object out{{"records", json::serialize(items)}};
        if (!found.next_page_token.empty()) out["next_page_token"] = found.next_page_token;
        return out;
      });
  add("DELETE", "datasets/{dataset_id}/records", "Delete records of an evaluation dataset", write,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{
            {"deleted_count", TRY(datasets.remove_records(call, TRY(in.text("dataset_id")),
                                                          TRY(in.texts("dataset_record_ids"))))}};
      });
}

json::object said(const tracking::Scorer& one) {
  return {{"experiment_id", one.experiment}, {"scorer_name", one.name},
          {"scorer_version", one.version},   {"serialized_scorer", one.body},
          {"creation_time", one.created_at}, {"scorer_id", one.id}};
}

json::object said(const std::vector<tracking::Scorer>& scorers) {
  json::array out;
  for (const tracking::Scorer& one : scorers) out.push_back(said(one));
  return {{"scorers", std::move(out)}};
}

template <class Add>
void add_scorers(const Add& add, tracking::Scorers& scorers) {
  add("POST", "scorers/register", "Register a version of a scorer", write,
      [&](const Call& call, const Arguments& in) -> Object {
        const auto made = TRY(scorers.add(call, TRY(experiment_of(in)), TRY(in.text("name")),
                                          TRY(in.text("serialized_scorer"))));
        return json::object{{"version", made.version},
                            {"scorer_id", made.id},
                            {"experiment_id", std::to_string(made.experiment)},
                            {"name", made.name},
                            {"serialized_scorer", made.body},
                            {"creation_time", made.created_at}};
      });
  add("GET", "scorers/list", "List the latest version of each scorer", read,
      [&](const Call& call, const Arguments& in) -> Object {
        auto experiments = TRY(experiments_of(in));
        if (in.has("experiment_id") && in.has("experiment_ids"))
          return Error{Code::invalid_argument,
                       "Cannot specify both 'experiment_id' and 'experiment_ids'"};
        if (in.has("experiment_id")) experiments = {TRY(experiment_of(in))};
        return said(TRY(scorers.list(call, experiments)));
      });
  add("GET", "scorers/versions", "List the versions of a scorer", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return said(TRY(scorers.versions(call, TRY(experiment_of(in)), TRY(in.text("name")))));
      });
  // None is scored by this server as traces come in; the client asks whenever it lists scorers.
  add("GET", "scorers/online-configs", "List what scores traces as they come: nothing", read,
      [](const Call&, const Arguments&) -> Object {
        return json::object{{"configs", json::array{}}};
      });
  add("PUT", "scorers/online-config", "Say how much a scorer scores as traces come", write,
      [&](const Call& call, const Arguments& in) -> Object {
        const auto scorer =
            TRY(scorers.get(call, TRY(experiment_of(in)), TRY(in.text("name")), {}));
        const double rate = TRY(in.real("sample_rate"));
        if (!(rate >= 0 && rate <= 1))
          return Error{Code::invalid_argument, "sample_rate must be between 0.0 and 1.0"};
        const std::string filter = TRY(in.text_or("filter_string", ""));
        if (rate > 0)
          return Error{Code::invalid_argument,
                       "Scorer '" + scorer.name +
                           "' cannot be run as traces come: this server keeps scorers and does not "
                           "run them. Run mlflow.genai.evaluate over the traces from a client, and "
                           "set sample_rate to 0 here"};
        json::object config{{"online_scoring_config_id", scorer.id},
                            {"scorer_id", scorer.id},
                            {"sample_rate", 0.0},
                            {"experiment_id", std::to_string(scorer.experiment)},
                            {"filter_string", nullptr}};
        if (!filter.empty()) config["filter_string"] = filter;
        return json::object{{"config", std::move(config)}};
      });
  add("GET", "scorers/get", "Show a version of a scorer", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{
            {"scorer", said(TRY(scorers.get(call, TRY(experiment_of(in)), TRY(in.text("name")),
                                            TRY(in.whole("version")))))}};
      });
  add("DELETE", "scorers/delete", "Delete a scorer, or one version of it", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(scorers.remove(call, TRY(experiment_of(in)), TRY(in.text("name")),
                           TRY(in.whole("version"))));
        return json::object{};
      });
}

json::object said(const tracking::Issue& one) {
  json::object out{{"issue_id", one.id},
                   {"experiment_id", std::to_string(one.experiment)},
                   {"name", one.name},
                   {"description", one.description},
                   {"status", one.status},
                   {"root_causes", encode(one.root_causes)},
                   {"categories", encode(one.categories)},
                   {"created_timestamp", one.created_at},
                   {"last_updated_timestamp", one.updated_at}};
  for (const auto& [name, text] :
       {std::pair("severity", &one.severity), std::pair("source_run_id", &one.source_run),
        std::pair("created_by", &one.created_by)})
    if (!text->empty()) out[name] = *text;
  return out;
}

template <class Add>
void add_issues(const Add& add, tracking::Issues& issues) {
  add("POST", "issues", "Say that something is wrong", write,
      [&](const Call& call, const Arguments& in) -> Object {
        auto experiment = TRY(experiment_of(in));
        auto name_asked = TRY(in.text("name"));
        auto description = TRY(in.text("description"));
        auto status = TRY(in.text_or("status", ""));
        auto severity = TRY(in.text_or("severity", ""));
        auto root_causes = TRY(in.texts("root_causes"));
        auto categories = TRY(in.texts("categories"));
        auto source_run = TRY(in.text_or("source_run_id", ""));
        auto created_by = TRY(in.text_or("created_by", ""));
        return json::object{
            {"issue", said(TRY(issues.add(call, {.experiment = std::move(experiment),
                                                 .name = std::move(name_asked),
                                                 .description = std::move(description),
                                                 .status = std::move(status),
                                                 .severity = std::move(severity),
                                                 .root_causes = std::move(root_causes),
                                                 .categories = std::move(categories),
                                                 .source_run = std::move(source_run),
                                                 .created_by = std::move(created_by)})))}};
      });
  add("POST", "issues/search", "Search issues", read,
      [&](const Call& call, const Arguments& in) -> Object {
        const auto experiment = TRY(in.whole("experiment_id"));
        auto filter = TRY(in.text_or("filter_string", ""));
        const auto limit = TRY(in.whole_or("max_results", 100));
        auto page_token = TRY(in.text_or("page_token", ""));
        const auto found = TRY(issues.search(call, {.experiment = experiment,
                                                    .filter = std::move(filter),
                                                    .limit = limit,
                                                    .page_token = std::move(page_token)}));
        std::vector<std::string> ids;
        json::array items;
        for (const auto& one : found.items) {
          ids.push_back(one.id);
          items.push_back(said(one));
        }
        if (TRY(in.flag_or("include_trace_count", false))) {
          const auto counts = TRY(issues.traces(call, ids));
          for (std::size_t i = 0; i < counts.size(); ++i)
            items[i].as_object()["trace_count"] = counts[i];
        }
        json::object out{{"issues", std::move(items)}};
        if (!found.next_page_token.empty()) out["next_page_token"] = found.next_page_token;
        return out;
      });
  add("GET", "issues/{issue_id}", "Show an issue", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"issue", said(TRY(issues.get(call, TRY(in.text("issue_id")))))}};
      });
  add("PATCH", "issues/{issue_id}", "Change an issue", write,
      [&](const Call& call, const Arguments& in) -> Object {
        auto id = TRY(in.text("issue_id"));
        auto name = TRY(in.text_or("name", ""));
        auto description = TRY(in.text_or("description", ""));
        auto status = TRY(in.text_or("status", ""));
        auto severity = TRY(in.text_or("severity", ""));
        return json::object{
            {"issue", said(TRY(issues.change(call, {.id = std::move(id),
                                                    .name = std::move(name),
                                                    .description = std::move(description),
                                                    .status = std::move(status),
                                                    .severity = std::move(severity)})))}};
      });
}

}  // namespace

std::vector<Route> mlflow_evaluation_routes(const MlflowEvaluation& parts) {
  std::vector<Route> routes;
  const auto add = [&](const char* method, const std::string& path, const char* summary,
                       Permission permission, mlflow::Handler handler) {
    mlflow::add(routes, method, path, summary, permission, std::move(handler), "3.0");
  };
  add_datasets(add, parts.datasets);
  add_records(add, parts.datasets);
  add_scorers(add, parts.scorers);
  add_issues(add, parts.issues);
  return routes;
}

}  // namespace penstock::api
