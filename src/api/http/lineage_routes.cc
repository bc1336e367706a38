#include "api/http/lineage_routes.h"

#include <algorithm>

#include "lineage/own_events.h"
#include "lineage/picture.h"

namespace penstock::api {
namespace {

// Deeper JSON than this is no event of any tool; facets are read again from where they are kept.
constexpr std::size_t depth_max = 30;

Result<json::value> body_of(const Request& request) {
  boost::system::error_code fault;
  json::value value = json::parse(request.body, fault, {}, {.max_depth = depth_max});
  if (!fault) return value;
  const bool deep = fault == json::error::too_deep;
  return Error{Code::invalid_argument,
               deep ? "the body is nested deeper than " + std::to_string(depth_max) + " levels"
                    : "the body is no valid JSON: " + fault.message(),
               {{"body", deep ? "is nested too deeply" : "must be JSON"}}};
}

Route event_route(std::string path, lineage::Service& lineage) {
  return {.method = "POST",
          .path = std::move(path),
          .summary = "Take an OpenLineage RunEvent, JobEvent or DatasetEvent",
          .permission = Permission::write,
          .handle = [&lineage](const Call& call, const Request& request) -> Response {
            const auto event = body_of(request);
            if (!event) return problem(event.error());
            const auto taken = lineage.take(call, *event);
            if (!taken) return problem(taken.error());
            return {.status = 201, .body = ""};
          }};
}

Route batch_route(std::string path, lineage::Service& lineage) {
  return {.method = "POST",
          .path = std::move(path),
          .summary = "Take a list of OpenLineage events",
          .permission = Permission::write,
          .handle = [&lineage](const Call& call, const Request& request) -> Response {
            const auto events = body_of(request);
            if (!events) return problem(events.error());
            const auto answer = lineage.take_all(call, *events);
            if (!answer) return problem(answer.error());
            return json_response(encode(*answer));
          },
          .output_schema = [] { return json::value(schema<lineage::BatchAnswer>()); }};
}

// `format=svg` in the query asks for a picture of what would else be JSON.
template <class In, class Out>
Route drawn_route(std::string path, std::string summary,
                  std::function<Result<Out>(const Call&, const In&)> serve) {
  auto handle = [serve, texts = text_fields<In>()](const Call& call,
                                                   const Request& request) -> Response {
    Request rest = request;
    std::string format = "json";
    if (const std::string* said = request.query_value("format")) format = *said;
    std::erase_if(rest.query, [](const auto& field) { return field.first == "format"; });
    if (format != "json" && format != "svg")
      return problem({Code::invalid_argument,
                      "format must be json or svg",
                      {{"format", "must be json or svg"}}});
    const auto value = request_value(rest, texts);
    if (!value) return problem(value.error());
    const auto in = decode<In>(*value);
    if (!in) return problem(in.error());
    const auto out = serve(call, *in);
    if (!out) return problem(out.error());
    if (format == "json") return json_response(encode(*out));
    return {
        .body = lineage::picture_of(*out),
        .content_type = "image/svg+xml",
        .headers = {{"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"}}};
  };
  return {.method = "GET",
          .path = std::move(path),
          .summary = std::move(summary),
          .permission = Permission::read,
          .handle = std::move(handle),
          .input_schema =
              [] {
                json::object input = schema<In>();
                input["properties"].as_object()["format"] = {{"type", "string"},
                                                             {"enum", {"json", "svg"}}};
                return json::value(std::move(input));
              },
          .output_schema = [] { return json::value(schema<Out>()); }};
}

struct FacetName {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(FacetName, (), (name))

std::vector<Route> question_routes(catalog::Service& catalog) {
  using namespace catalog;  // NOLINT(google-build-using-namespace): the types of one component
  return {drawn_route<TraceInput, Trace>(
              "/api/v1/trace", "What a thing was made from, or what was made from it",
              [&](const Call& call, const TraceInput& in) { return catalog.trace(call, in); }),
          drawn_route<ImpactInput, Impact>(
              "/api/v1/impact", "Whom a change of a thing, or of a column, concerns",
              [&](const Call& call, const ImpactInput& in) { return catalog.impact(call, in); })};
}

std::vector<Route> marquez_routes(lineage::Service& lineage) {
  using namespace lineage;  // NOLINT(google-build-using-namespace): the types of one component
  using Answer = json::object;
  return {
      route<GraphQuery, Answer>(
          "GET", "/api/v1/lineage", "The graph around a dataset or job, as Marquez tells it",
          Permission::read,
          [&](const Call& call, const GraphQuery& in) { return lineage.graph(call, in); }),
      route<ColumnQuery, Answer>(
          "GET", "/api/v1/column-lineage", "What columns were made from, as Marquez tells it",
          Permission::read,
          [&](const Call& call, const ColumnQuery& in) { return lineage.column_graph(call, in); }),
      route<EventsQuery, Answer>(
          "GET", "/api/v1/events/lineage", "OpenLineage events as they came", Permission::read,
          [&](const Call& call, const EventsQuery& in) { return lineage.events(call, in); }),
      route<UpstreamQuery, Answer>("GET", "/api/v1/runlineage/upstream",
                                   "The runs that wrote what a run read", Permission::read,
                                   [&](const Call& call, const UpstreamQuery& in) {
                                     return lineage.upstream_runs(call, in);
                                   }),
      route<Empty, Answer>(
          "GET", "/api/v1/namespaces", "OpenLineage namespaces", Permission::read,
          [&](const Call& call, const Empty&) { return lineage.namespaces(call); }),
      route<NamesQuery, Answer>("GET", "/api/v1/namespaces/{space}/datasets",
                                "Datasets of an OpenLineage namespace", Permission::read,
                                [&](const Call& call, const NamesQuery& in) {
                                  return lineage.list(call, "dataset", in);
                                }),
      route<NamesQuery, Answer>(
          "GET", "/api/v1/namespaces/{space}/jobs", "Jobs of an OpenLineage namespace",
          Permission::read,
          [&](const Call& call, const NamesQuery& in) { return lineage.list(call, "job", in); }),
  };
}

}  // namespace

std::vector<Route> lineage_routes(catalog::Service& catalog, lineage::Service& lineage) {
  std::vector<Route> all = question_routes(catalog);
  for (Route& one : marquez_routes(lineage)) all.push_back(std::move(one));
  // Every client appends the first to its address; the others are the specification's own.
  all.push_back(event_route("/api/v1/lineage", lineage));
  all.push_back(event_route("/lineage", lineage));
  all.push_back(batch_route("/api/v1/lineage/batch", lineage));
  all.push_back(batch_route("/lineage/batch", lineage));
  all.push_back(route<FacetName, json::object>(
      "GET", "/api/v1/openlineage/facets/{name}", "The JSON schema of one of our own facets",
      Permission::read, [](const Call&, const FacetName& in) -> Result<json::object> {
        if (auto found = lineage::facet_schema(in.name)) return std::move(*found);
        return Error{Code::not_found, "there is no facet " + in.name +
                                          "; there are PenstockRunFacet, PenstockModelDatasetFacet "
                                          "and PenstockEvaluationDatasetFacet"};
      }));
  return all;
}

}  // namespace penstock::api
