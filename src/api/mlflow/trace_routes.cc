#include "api/mlflow/trace_routes.h"

#include <cmath>

#include "api/mlflow/pair.h"
#include "api/mlflow/trace_json.h"
#include "tracking/artifacts.h"
#include "tracking/trace_metrics.h"

namespace penstock::api {
namespace {

using mlflow::Arguments;
using Object = Result<json::object>;
using enum Permission;
using tracking::Traces;

Result<std::vector<std::int64_t>> experiments_of(const Arguments& in) {
  std::vector<std::int64_t> out;
  for (const std::string& id : TRY(in.texts("experiment_ids"))) {
    const Arguments one(json::object{{"experiment_ids", id}});
    out.push_back(TRY(one.whole_or("experiment_ids", 0)));
  }
  return out;
}

Result<tracking::Search> search_of(const Arguments& in) {
  auto filter = TRY(in.text_or("filter", ""));
  auto order_by = TRY(in.texts("order_by"));
  const auto limit = TRY(in.whole_or("max_results", 100));
  auto page_token = TRY(in.text_or("page_token", ""));
  return tracking::Search{.filter = std::move(filter),
                          .order_by = std::move(order_by),
                          .limit = limit,
                          .page_token = std::move(page_token)};
}

Result<std::vector<std::int64_t>> locations_of(const Arguments& in) {
  std::vector<std::int64_t> out;
  for (const Arguments& one : TRY(in.objects("locations"))) {
    const Arguments experiment = TRY(one.object("mlflow_experiment"));
    if (const auto id = TRY(experiment.whole("experiment_id"))) out.push_back(*id);
  }
  if (out.empty() && !in.has("locations"))
    return Error{Code::invalid_argument, "Missing value for required parameter 'locations'"};
  return out;
}

// Missing: every experiment.
bool is_among(const tracking::TraceDetail& one, const std::vector<std::int64_t>& experiments) {
  return experiments.empty() || std::find(experiments.begin(), experiments.end(),
                                          one.trace.experiment) != experiments.end();
}

Result<std::vector<tracking::TraceDetail>> those_of(Traces& traces, const Call& call,
                                                    const Arguments& in) {
  const auto ids = TRY(in.texts("trace_ids"));
  if (ids.empty())
    return Error{Code::invalid_argument, "Missing value for required parameter 'trace_ids'"};
  const auto experiments = TRY(experiments_of(in));
  auto found = TRY(traces.get(call, ids));
  std::erase_if(found, [&](const auto& one) { return !is_among(one, experiments); });
  return found;
}

template <class Say>
json::object page(const char* name, const tracking::Found<tracking::TraceDetail>& found,
                  const Say& say) {
  json::array items;
  for (const tracking::TraceDetail& one : found.items) items.push_back(say(one));
  json::object out{{name, std::move(items)}};
  if (!found.next_page_token.empty()) out["next_page_token"] = found.next_page_token;
  return out;
}

json::object only_info(const tracking::TraceDetail& detail) {
  return {{"trace", json::object{{"trace_info", mlflow::trace_info(detail)}}}};
}

void add_traces(std::vector<Route>& routes, Traces& traces) {
  const auto add = [&](const char* method, const std::string& path, const char* summary,
                       Permission permission, mlflow::Handler handler) {
    mlflow::add(routes, method, "traces" + path, summary, permission, std::move(handler), "3.0");
  };
  add("POST", "", "Say the last word on a trace", write,
      [&](const Call& call, const Arguments& in) -> Object {
        const Arguments trace = TRY(in.object("trace"));
        const Arguments info = TRY(trace.object("trace_info"));
        return only_info(TRY(traces.start(call, TRY(mlflow::start_of(info)))));
      });
  add("GET", "/get", "Show a trace with its spans", read,
      [&](const Call& call, const Arguments& in) -> Object {
        const std::string id = TRY(in.text("trace_id"));
        const bool partial = TRY(in.flag_or("allow_partial", false));
        const auto detail = TRY(traces.get(call, id));
        const auto spans = TRY(traces.spans(call, id));
        if (!partial && !mlflow::is_whole(detail, spans.size()))
          return Error{Code::not_found, "Trace with ID " + id +
                                            " is not fully exported yet, please try again later."};
        return json::object{{"trace", mlflow::trace_with_spans(detail, spans)}};
      });
  add("GET", "/batchGet", "Show traces with their spans", read,
      [&](const Call& call, const Arguments& in) -> Object {
        json::array out;
        for (const tracking::TraceDetail& one : TRY(those_of(traces, call, in))) {
          const auto spans = TRY(traces.spans(call, one.trace.id));
          if (mlflow::is_whole(one, spans.size()))
            out.push_back(mlflow::trace_with_spans(one, spans));
        }
        return json::object{{"traces", std::move(out)}};
      });
  add("POST", "/batchGetInfos", "Show traces without their spans", read,
      [&](const Call& call, const Arguments& in) -> Object {
        json::array out;
        for (const tracking::TraceDetail& one : TRY(those_of(traces, call, in)))
          out.push_back(mlflow::trace_info(one));
        return json::object{{"trace_infos", std::move(out)}};
      });
  add("POST", "/search", "Search traces", read,
      [&](const Call& call, const Arguments& in) -> Object {
        tracking::Search search = TRY(search_of(in));
        search.experiments = TRY(locations_of(in));
        return page("traces", TRY(traces.search(call, search)), mlflow::trace_info);
      });
  add("GET", "/{trace_id}", "Show a trace without its spans", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return only_info(TRY(traces.get(call, TRY(in.text("trace_id")))));
      });
}

void add_old_traces(std::vector<Route>& routes, Traces& traces) {
  const auto add = [&](const char* method, const std::string& path, const char* summary,
                       Permission permission, mlflow::Handler handler) {
    mlflow::add(routes, method, "traces" + path, summary, permission, std::move(handler));
  };
  add("POST", "", "Start a trace, for clients before 3.0", write,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{
            {"trace_info", mlflow::old_trace_info(TRY(traces.start(
                               call, TRY(mlflow::old_start_of(in, traces.new_id())))))}};
      });
  add("PATCH", "/{request_id}", "End a trace, for clients before 3.0", write,
      [&](const Call& call, const Arguments& in) -> Object {
        const auto before = TRY(traces.get(call, TRY(in.text("request_id"))));
        return json::object{{"trace_info", mlflow::old_trace_info(TRY(traces.start(
                                               call, TRY(mlflow::old_end_of(in, before)))))}};
      });
  add("GET", "/{request_id}/info", "Show a trace, for clients before 3.0", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"trace_info", mlflow::old_trace_info(
                                               TRY(traces.get(call, TRY(in.text("request_id")))))}};
      });
  add("GET", "", "Search traces, for clients before 3.0", read,
      [&](const Call& call, const Arguments& in) -> Object {
        tracking::Search search = TRY(search_of(in));
        search.experiments = TRY(experiments_of(in));
        return page("traces", TRY(traces.search(call, search)), mlflow::old_trace_info);
      });
}

// 3.x clients send some of these to 2.0 still.
void add_changes(std::vector<Route>& routes, Traces& traces, const std::string& version,
                 const std::string& id) {
  const auto add = [&](const char* method, const std::string& path, const char* summary,
                       mlflow::Handler handler) {
    mlflow::add(routes, method, "traces/" + path, summary, write, std::move(handler), version);
  };
  add("PATCH", "{" + id + "}/tags", "Set a tag of a trace",
      [&, id](const Call& call, const Arguments& in) -> Object {
        TRY(traces.set_tag(call, TRY(in.text(id)), TRY(mlflow::pair_of(in))));
        return json::object{};
      });
  add("DELETE", "{" + id + "}/tags", "Delete a tag of a trace",
      [&, id](const Call& call, const Arguments& in) -> Object {
        TRY(traces.remove_tag(call, TRY(in.text(id)), TRY(in.text("key"))));
        return json::object{};
      });
  add("POST", "delete-traces", "Delete traces",
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(in.text("experiment_id"));
        const auto experiment = TRY(in.whole_or("experiment_id", 0));
        auto ids = TRY(in.texts("request_ids"));
        const auto until = TRY(in.whole("max_timestamp_millis"));
        const auto limit = TRY(in.whole("max_traces"));
        const std::int64_t gone = TRY(traces.remove(
            call,
            {.experiment = experiment, .ids = std::move(ids), .until = until, .limit = limit}));
        return json::object{{"traces_deleted", gone}};
      });
  add("POST", "link-to-run", "Link traces to a run",
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(traces.link_run(call, TRY(in.texts("trace_ids")), TRY(in.text("run_id"))));
        return json::object{};
      });
  add("POST", "link-prompts", "Link versions of prompts to a trace",
      [&](const Call& call, const Arguments& in) -> Object {
        std::vector<std::string> prompts;
        for (const Arguments& one : TRY(in.objects("prompt_versions")))
          prompts.push_back(TRY(one.text("name")) + "/" +
                            std::to_string(TRY(one.whole_or("version", 0))));
        TRY(traces.link_prompts(call, TRY(in.text("trace_id")), prompts));
        return json::object{};
      });
}

Result<json::object> said(const tracking::Assessment& one) {
  json::parse_options options;
  options.max_depth = 2'000;
  return json::object{{"assessment", json::parse(one.body, {}, options)}};
}

// "assessmentName,feedback": the JSON of a field mask. A list of names is read too.
Result<json::object> masked(const Arguments& in) {
  const Arguments assessment = TRY(in.object("assessment"));
  json::object out;
  for (const std::string& list : TRY(in.texts("update_mask"))) {
    for (std::size_t from = 0; from < list.size();) {
      const std::size_t to = std::min(list.find(',', from), list.size());
      std::string name = list.substr(from, to - from);
      if (name == "assessmentName") name = "assessment_name";
      from = to + 1;
      for (const char* known :
           {"assessment_name", "feedback", "expectation", "rationale", "metadata", "valid"})
        if (name == known && assessment.has(name)) out[name] = assessment.fields().at(name);
    }
  }
  if (out.empty())
    return Error{Code::invalid_argument,
                 "update_mask must name what changes: assessment_name, feedback, expectation, "
                 "rationale, metadata or valid"};
  return out;
}

void add_assessments(std::vector<Route>& routes, Traces& traces) {
  const auto add = [&](const char* method, const std::string& path, const char* summary,
                       Permission permission, mlflow::Handler handler) {
    mlflow::add(routes, method, "traces/{trace_id}/assessments" + path, summary, permission,
                std::move(handler), "3.0");
  };
  add("POST", "", "Assess a trace", write, [&](const Call& call, const Arguments& in) -> Object {
    const Arguments assessment = TRY(in.object("assessment"));
    return said(TRY(traces.assess(call, TRY(in.text("trace_id")), assessment.fields())));
  });
  add("GET", "/{assessment_id}", "Show an assessment", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return said(
            TRY(traces.assessment(call, TRY(in.text("trace_id")), TRY(in.text("assessment_id")))));
      });
  add("PATCH", "/{assessment_id}", "Change an assessment", write,
      [&](const Call& call, const Arguments& in) -> Object {
        return said(TRY(traces.reassess(call, TRY(in.text("trace_id")),
                                        TRY(in.text("assessment_id")), TRY(masked(in)))));
      });
  add("DELETE", "/{assessment_id}", "Delete an assessment", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(traces.remove_assessment(call, TRY(in.text("trace_id")),
                                     TRY(in.text("assessment_id"))));
        return json::object{};
      });
}

// How much more often both hold than chance has it, from -1 to 1: normalised pointwise mutual
// information (Bouma 2009), and the same with half an observation added to each cell.
json::object npmi(const tracking::Correlation& counts) {
  const auto of = [](double joint, double first, double second, double total) {
    if (total <= 0 || first <= 0 || second <= 0) return std::nan("");
    if (joint <= 0) return -1.0;
    if (joint >= total) return 1.0;
    return std::log(joint * total / (first * second)) / -std::log(joint / total);
  };
  const double joint = static_cast<double>(counts.joint), total = static_cast<double>(counts.total);
  const double first = static_cast<double>(counts.first);
  const double second = static_cast<double>(counts.second);
  json::object out{{"filter1_count", counts.first},
                   {"filter2_count", counts.second},
                   {"joint_count", counts.joint},
                   {"total_count", counts.total}};
  const double plain = of(joint, first, second, total);
  if (!std::isnan(plain)) {
    out["npmi"] = plain;
    out["npmi_smoothed"] = of(joint + 0.5, first + 1, second + 1, total + 2);
  }
  return out;
}

void add_correlation(std::vector<Route>& routes, Traces& traces) {
  mlflow::add(
      routes, "POST", "traces/calculate-filter-correlation",
      "Say how far two filters of traces go together", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return npmi(TRY(
            traces.correlate(call, TRY(experiments_of(in)), TRY(in.text("filter_string1")),
                             TRY(in.text("filter_string2")), TRY(in.text_or("base_filter", "")))));
      },
      "3.0");
}

// MLflow's client sends words; proto3's JSON also takes an enum's number, which nobody uses here.
template <class Enum>
Result<Enum> word_of(const Arguments& in, const char* field) {
  const std::string word = TRY(in.text(field));
  Enum out{};
  if (Kind<Enum>::hear(word, out)) return out;
  return Error{Code::invalid_argument, "Invalid value '" + word.substr(0, 100) +
                                           "' for parameter '" + std::string(field) + "'"};
}

Result<tracking::TraceMetricQuery> metric_query_of(const Arguments& in) {
  auto experiments = TRY(experiments_of(in));
  auto view = TRY(word_of<tracking::MetricView>(in, "view_type"));
  auto metric = TRY(in.text("metric_name"));
  auto dimensions = TRY(in.texts("dimensions"));
  auto filters = TRY(in.texts("filters"));
  const auto interval = TRY(in.whole_or("time_interval_seconds", 0));
  const auto from = TRY(in.whole("start_time_ms"));
  const auto to = TRY(in.whole("end_time_ms"));
  const auto limit = TRY(in.whole_or("max_results", 1'000));
  auto page_token = TRY(in.text_or("page_token", ""));
  tracking::TraceMetricQuery out{.experiments = std::move(experiments),
                                 .view = std::move(view),
                                 .metric = std::move(metric),
                                 .dimensions = std::move(dimensions),
                                 .filters = std::move(filters),
                                 .interval = interval,
                                 .from = from,
                                 .to = to,
                                 .limit = limit,
                                 .page_token = std::move(page_token)};
  for (const Arguments& one : TRY(in.objects("aggregations"))) {
    tracking::Aggregate& aggregate = out.aggregates.emplace_back();
    aggregate.type = TRY(word_of<tracking::Aggregation>(one, "aggregation_type"));
    const bool is_percentile = aggregate.type == tracking::Aggregation::PERCENTILE;
    if (is_percentile != one.has("percentile_value"))
      return Error{Code::invalid_argument,
                   "percentile_value goes with PERCENTILE, and with nothing else"};
    if (is_percentile) aggregate.percentile = TRY(one.real("percentile_value"));
  }
  return out;
}

Result<json::object> metrics_said(const tracking::TraceMetricQuery& query,
                                  const tracking::Found<tracking::MetricGroup>& found) {
  json::array points;
  for (const tracking::MetricGroup& one : found.items) {
    json::object groups, values;
    for (const auto& [name, value] : one.dimensions) groups[name] = value;
    for (const auto& [name, value] : one.values) values[name] = value;
    points.push_back(json::object{{"metric_name", query.metric},
                                  {"dimensions", std::move(groups)},
                                  {"values", std::move(values)}});
  }
  json::object out{{"data_points", std::move(points)}};
  if (!found.next_page_token.empty()) out["next_page_token"] = found.next_page_token;
  return out;
}

void add_metrics(std::vector<Route>& routes, Traces& traces) {
  mlflow::add(
      routes, "POST", "traces/metrics", "Count and sum up traces, spans or assessments", read,
      [&](const Call& call, const Arguments& in) -> Object {
        const auto query = TRY(metric_query_of(in));
        return metrics_said(query, TRY(traces.metrics(call, query)));
      },
      "3.0");
}

constexpr std::string_view artifact_root = "mlflow-artifacts:/";

// A file that belongs to a trace, or its spans.
Result<Response> file_of(Traces& traces, tracking::Artifacts& artifacts, const Call& call,
                         const Request& request) {
  const std::string* id = request.query_value("request_id");
  const std::string* path = request.query_value("path");
  if (!id || id->empty())
    return Error{Code::invalid_argument,
                 "Request must include the \"request_id\" query parameter."};
  Response out{.content_type = "application/octet-stream",
               .headers = {{"X-Content-Type-Options", "nosniff"}}};
  const auto detail = TRY(traces.get(call, *id));
  const auto spans = TRY(traces.spans(call, *id));
  if (!path && !spans.empty()) {
    out.body = json::serialize(mlflow::trace_data(spans));
    return out;
  }
  for (const tracking::Pair& tag : detail.tags)
    if (tag.key == "mlflow.artifactLocation" && tag.value.starts_with(artifact_root))
      out.body = TRY(artifacts.get(call, tag.value.substr(artifact_root.size()) +
                                             (path ? "/attachments/" + *path : "/traces.json")));
  return out;
}

}  // namespace

std::vector<Route> mlflow_trace_routes(Traces& traces, tracking::Artifacts& artifacts) {
  std::vector<Route> routes;
  add_traces(routes, traces);
  add_metrics(routes, traces);
  add_old_traces(routes, traces);
  add_changes(routes, traces, "2.0", "request_id");
  add_changes(routes, traces, "3.0", "trace_id");
  add_assessments(routes, traces);
  add_correlation(routes, traces);
  for (const char* version : {"2.0", "3.0"})
    routes.push_back({.method = "GET",
                      .path = std::string("/ajax-api/") + version + "/mlflow/get-trace-artifact",
                      .summary = "Fetch the spans of a trace, or a file attached to it",
                      .permission = read,
                      .handle = [&](const Call& call, const Request& request) {
                        auto file = file_of(traces, artifacts, call, request);
                        return file ? std::move(file).take() : mlflow::error_response(file.error());
                      }});
  return routes;
}

}  // namespace penstock::api
