#include "api/http/serving_routes.h"

namespace penstock::api {
namespace {

constexpr std::size_t user_max = 200;

struct PredictInput {
  std::string route;
  std::map<std::string, std::string> entities;
  std::optional<Timestamp> event_time;
  std::optional<std::string> id, unit;
};
BOOST_DESCRIBE_STRUCT(PredictInput, (), (route, entities, event_time, id, unit))
constexpr auto rules_of(const PredictInput&) {
  return std::array{
      Rule{.field = "entities", .doc = "The route's entity keys, as text."},
      Rule{.field = "id", .doc = "Of a call that may be sent again.", .min = 1, .max = 200}};
}
struct PredictOutput {
  std::string id, model;
  std::int64_t version = 0;
  serving::Arm arm = serving::Arm::live;
  double score = 0;
  bool decision = false;
  bool repeated = false;  // this id was answered before, and this is that answer
};
BOOST_DESCRIBE_STRUCT(PredictOutput, (), (id, model, version, arm, score, decision, repeated))

struct OutputName {
  std::string output;
};
BOOST_DESCRIBE_STRUCT(OutputName, (), (output))
struct StreamName {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(StreamName, (), (name))

std::string user_of(const Request& request) {
  const std::string* user = request.header("x-penstock-user");
  return user ? user->substr(0, user_max) : "";
}

Response predict(serving::Gateway& gateway, const Call& call, const Request& request) {
  const auto value = request_value(request);
  if (!value) return problem(value.error());
  const auto in = decode<PredictInput>(*value);
  if (!in) return problem(in.error());
  auto answer =
      gateway.infer(call, {.route = in->route,
                           .id = in->id.value_or(""),
                           .unit = in->unit.value_or(""),
                           .event_time = in->event_time,
                           .rows = {in->entities},
                           .request_bytes = static_cast<std::int64_t>(request.body.size()),
                           .user = user_of(request),
                           .header = lookup_of(request)});
  if (!answer) return problem(answer.error());
  const serving::Prediction& made = answer->predictions.front();
  Response response = json_response(encode(PredictOutput{
      made.id, made.model, made.version, made.arm, made.score, made.decision, made.repeated}));
  response.after = std::move(answer->after);
  return response;
}

std::vector<Route> online_routes(const ServingParts& parts) {
  using namespace serving;  // NOLINT(google-build-using-namespace): the types of one component
  Service& service = parts.service;
  Gateway& gateway = parts.gateway;
  return {
      {.method = "POST",
       .path = "/api/v1/routes/{route}:predict",
       .summary = "Predict for one entity",
       .permission = Permission::infer,
       .handle = [&gateway](const Call& call,
                            const Request& request) { return predict(gateway, call, request); },
       .input_schema = [] { return json::value(schema<PredictInput>()); },
       .output_schema = [] { return json::value(schema<PredictOutput>()); }},
      route<Empty, RouteList>(
          "GET", "/api/v1/routes", "List routes", Permission::read,
          [&service](const Call& call, const Empty&) { return service.list(call); }),
      route<RouteName, RouteView>(
          "GET", "/api/v1/routes/{name}", "Show a route, its versions and what they answered",
          Permission::read,
          [&service](const Call& call, const RouteName& in) { return service.show(call, in); }),
      route<PredictionName, InferenceEvent>("GET", "/api/v1/predictions/{id}",
                                            "Show one prediction", Permission::read,
                                            [&service](const Call& call, const PredictionName& in) {
                                              return service.prediction(call, in);
                                            }),
      route<LabelsInput, LabelsOutput>("POST", "/api/v1/labels",
                                       "Say what turned out to be true of predictions",
                                       Permission::infer,
                                       [&service](const Call& call, const LabelsInput& in) {
                                         return service.add_labels(call, in);
                                       }),
  };
}

}  // namespace

std::vector<Route> serving_routes(ServingParts parts) {
  using namespace serving;  // NOLINT(google-build-using-namespace): the types of one component
  std::vector<Route> routes = online_routes(parts);
  BatchScorer& batch = parts.batch;
  Streams& streams = parts.streams;
  events::Log& log = parts.log;
  Retention& retention = parts.retention;
  routes.push_back(route<BatchInput, BatchResult>(
      "POST", "/api/v1/batch:score", "Score rows offline, as of each row's time",
      Permission::operate,
      [&batch](const Call& call, const BatchInput& in) { return batch.score(call, in); }));
  routes.push_back(route<OutputName, BatchResult>(
      "GET", "/api/v1/batch/{output}", "List the partitions of a batch output", Permission::read,
      [&batch](const Call& call, const OutputName& in) { return batch.outputs(call, in.output); }));
  routes.push_back(route<TopicAppendInput, TopicAppendOutput>(
      "POST", "/api/v1/topics/{topic}/records", "Append records to a topic", Permission::infer,
      [&log](const Call& call, const TopicAppendInput& in) { return append(log, call, in); }));
  routes.push_back(route<TopicReadInput, TopicReadOutput>(
      "GET", "/api/v1/topics/{topic}/records", "Read records of a topic", Permission::read,
      [&log](const Call& call, const TopicReadInput& in) { return read(log, call, in); }));
  routes.push_back(route<StreamName, StreamView>(
      "GET", "/api/v1/streams/{name}", "Show where a stream stands", Permission::read,
      [&streams](const Call& call, const StreamName& in) { return streams.view(call, in.name); }));
  routes.push_back(route<Empty, RetentionView>(
      "GET", "/api/v1/retention",
      "Show how long predictions are kept, what there is of them, and who has still to read it",
      Permission::read, [&retention](const Call&, const Empty&) { return retention.view(); }));
  return routes;
}

}  // namespace penstock::api
