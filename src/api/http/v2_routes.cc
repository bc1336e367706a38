#include "api/http/v2_routes.h"

#include <charconv>

#include "api/http/v2_codec.h"
#include "serving/text.h"

namespace penstock::api {
namespace {

using serving::Gateway;
using serving::InferAnswer;
using serving::InferRequest;
using serving::LiveRoute;
using serving::LiveTarget;

Error wrong(std::string message) { return {Code::invalid_argument, std::move(message)}; }

Result<std::int64_t> version_in(const Request& request) {
  const std::string* text = request.path_value("version");
  if (!text) return std::int64_t{0};
  std::int64_t version = 0;
  const char* end = text->data() + text->size();
  const auto read = std::from_chars(text->data(), end, version);
  if (read.ec == std::errc{} && read.ptr == end && version > 0) return version;
  return Error{Code::not_found, "there is no version " + *text + "; versions are 1, 2, ..."};
}

// Versions that answer callers; a shadow is not one.
std::vector<const LiveTarget*> visible(const LiveRoute& route) {
  std::vector<const LiveTarget*> out;
  for (const LiveTarget& target : route.targets)
    if (target.arm != serving::Arm::shadow) out.push_back(&target);
  return out;
}

Result<std::shared_ptr<const LiveRoute>> find(const Gateway& gateway, const Call& call,
                                              const Request& request) {
  const auto route = TRY(gateway.route(call, *request.path_value("model")));
  const std::int64_t version = TRY(version_in(request));
  if (version == 0) return route;
  for (const LiveTarget* target : visible(*route))
    if (target->deployment->version == version) return route;
  return Error{Code::not_found, "route " + route->declaration.name + " does not serve version " +
                                    std::to_string(version)};
}

json::array tensor_list(const std::vector<infer::TensorInfo>& tensors) {
  json::array out;
  for (const infer::TensorInfo& tensor : tensors)
    out.push_back(json::object{{"name", tensor.name},
                               {"datatype", tensor.datatype},
                               {"shape", json::value_from(tensor.shape)}});
  return out;
}

// What callers of the route send: entity keys where it reads features, else what its models take.
std::vector<infer::TensorInfo> inputs_of(const LiveRoute& route) {
  std::vector<infer::TensorInfo> out;
  if (route.features.read)
    for (const std::string& key : route.declaration.entity_keys)
      out.push_back({key, "BYTES", {-1}});
  else if (!route.targets.empty())
    out = route.targets.front().deployment->runtime->inputs();
  return out;
}

Response metadata(const Gateway& gateway, const Call& call, const Request& request) {
  const auto route = find(gateway, call, request);
  if (!route) return v2::refusal(route.error());
  json::array versions;
  for (const LiveTarget* target : visible(**route))
    versions.push_back(json::value(std::to_string(target->deployment->version)));
  const std::vector<infer::TensorInfo> ours = {{"score", "FP64", {-1}},
                                               {"decision", "BOOL", {-1}},
                                               {"prediction_id", "BYTES", {-1}},
                                               {"version", "INT64", {-1}}};
  return json_response(json::object{{"name", (*route)->declaration.name},
                                    {"versions", versions},
                                    {"platform", "onnx_onnxv1"},
                                    {"inputs", tensor_list(inputs_of(**route))},
                                    {"outputs", tensor_list(ours)}});
}

Response ready(const Gateway& gateway, const Call& call, const Request& request) {
  const auto route = find(gateway, call, request);
  if (!route) return v2::refusal(route.error());
  if (visible(**route).empty())
    return v2::refusal({Code::unavailable,
                        "route " + (*route)->declaration.name + " has no version that answers"});
  return json_response(json::object{{"name", (*route)->declaration.name}, {"ready", true}});
}

std::string input_names(const LiveRoute& route) {
  std::string text;
  for (const infer::TensorInfo& input : inputs_of(route)) {
    text += (text.empty() ? "" : ", ") + input.name + " " + input.datatype + " [";
    for (std::size_t i = 0; i < input.shape.size(); ++i)
      text += (i ? "," : "") + std::to_string(input.shape[i]);
    text += "]";
  }
  return text;
}

// One BYTES tensor a join key, all of one length, become rows.
Result<void> take_entities(const LiveRoute& route, std::vector<infer::Tensor>& inputs,
                           InferRequest& out) {
  const auto& keys = route.declaration.entity_keys;
  for (const infer::Tensor& input : inputs) {
    if (std::find(keys.begin(), keys.end(), input.name) == keys.end())
      return wrong("input " + input.name + " is unknown; route " + route.declaration.name +
                   " expects " + input_names(route));
    const bool column = input.shape.size() == 1 || (input.shape.size() == 2 && input.shape[1] == 1);
    if (input.datatype != "BYTES" || !column)
      return wrong("input " + input.name + " must be BYTES of shape [-1]; route " +
                   route.declaration.name + " expects " + input_names(route));
    auto values = TRY(v2::bytes_elements(input));
    if (out.rows.empty()) out.rows.resize(values.size());
    if (values.size() != out.rows.size())
      return wrong("input " + input.name + " has " + std::to_string(values.size()) +
                   " rows, and the one before has " + std::to_string(out.rows.size()));
    for (std::size_t row = 0; row < values.size(); ++row)
      if (!out.rows[row].emplace(input.name, std::move(values[row])).second)
        return wrong("input " + input.name + " stands twice");
  }
  for (const std::string& key : keys)
    if (out.rows.empty() || !out.rows.front().contains(key))
      return wrong("input " + key + " is missing; route " + route.declaration.name + " expects " +
                   input_names(route));
  return {};
}

bool are_the_models(const LiveRoute& route, const std::vector<infer::Tensor>& inputs) {
  if (!route.features.read) return true;
  if (route.targets.empty() || inputs.empty()) return false;
  for (const infer::Tensor& input : inputs) {
    const auto& known = route.targets.front().deployment->runtime->inputs();
    if (std::none_of(known.begin(), known.end(),
                     [&](const auto& info) { return info.name == input.name; }))
      return false;
  }
  return true;
}

Result<InferRequest> request_of(const LiveRoute& route, const Request& request,
                                v2::InferBody& body) {
  InferRequest out{.route = route.declaration.name,
                   .version = TRY(version_in(request)),
                   .id = body.id,
                   .request_bytes = static_cast<std::int64_t>(request.body.size())};
  if (const auto time = body.parameters.find("event_time"); time != body.parameters.end()) {
    out.event_time = from_rfc3339(time->second);
    if (!out.event_time)
      return wrong("parameter event_time must be an RFC 3339 time such as 2013-07-01T12:00:00Z");
  }
  // A join key is the unit by itself; a parameter of the unit's name, or `unit`, says another.
  for (const std::string& name : {route.declaration.unit, std::string("unit")})
    if (const auto unit = body.parameters.find(name); unit != body.parameters.end())
      out.unit = unit->second;
  if (are_the_models(route, body.inputs))
    out.tensors = std::move(body.inputs);
  else
    TRY(take_entities(route, body.inputs, out));
  return out;
}

std::vector<infer::Tensor> tensors_of(InferAnswer& answer) {
  std::vector<double> scores;
  std::string decisions;
  std::vector<std::string> ids;
  std::vector<std::int64_t> versions;
  for (const serving::Prediction& prediction : answer.predictions) {
    scores.push_back(prediction.score);
    decisions += prediction.decision ? '\1' : '\0';
    ids.push_back(prediction.id);
    versions.push_back(prediction.version);
  }
  std::vector<infer::Tensor> out = std::move(answer.outputs);
  const auto add = [&](infer::Tensor tensor) {
    for (const infer::Tensor& known : out)
      if (known.name == tensor.name) return;  // the model's own of this name is what was asked for
    out.push_back(std::move(tensor));
  };
  add(v2::flat_tensor("score", "FP64", scores));
  add({"decision", "BOOL", {static_cast<std::int64_t>(decisions.size())}, decisions});
  add(v2::bytes_tensor("prediction_id", ids));
  add(v2::flat_tensor("version", "INT64", versions));
  return out;
}

// "2", or "1,2" where rows of one call went to several.
std::string versions_text(const InferAnswer& answer) {
  std::vector<std::int64_t> versions;
  for (const serving::Prediction& prediction : answer.predictions)
    if (std::find(versions.begin(), versions.end(), prediction.version) == versions.end())
      versions.push_back(prediction.version);
  std::string text;
  for (const std::int64_t version : versions)
    text += (text.empty() ? "" : ",") + std::to_string(version);
  return text;
}

Result<Response> infer(Gateway& gateway, const Call& call, const Request& request) {
  const auto route = TRY(gateway.route(call, *request.path_value("model")));
  v2::InferBody body =
      TRY(v2::read_body(request.body, request.header("inference-header-content-length")));
  const InferRequest asked = TRY(request_of(*route, request, body));
  InferAnswer answer = TRY(gateway.infer(call, asked));
  Response response = TRY(
      v2::write_answer(route->declaration.name, versions_text(answer), body, tensors_of(answer)));
  response.after = std::move(answer.after);
  return response;
}

using Handle = std::function<Response(const Call&, const Request&)>;

Route get(std::string path, std::string summary, Permission permission, Handle handle) {
  return {.method = "GET",
          .path = std::move(path),
          .summary = std::move(summary),
          .permission = permission,
          .handle = std::move(handle),
          .on_loop = true};
}

}  // namespace

std::vector<Route> v2_routes(Gateway& gateway) {
  const Handle live = [](const Call&, const Request&) {
    return json_response(json::object{{"live", true}});
  };
  const Handle server_ready = [](const Call&, const Request&) {
    return json_response(json::object{{"live", true}, {"ready", true}});
  };
  const Handle server = [](const Call&, const Request&) {
    return json_response(json::object{
        {"name", "penstock"}, {"version", "2"}, {"extensions", json::array{"binary_tensor_data"}}});
  };
  const Handle describe = [&gateway](const Call& call, const Request& request) {
    return metadata(gateway, call, request);
  };
  const Handle is_ready = [&gateway](const Call& call, const Request& request) {
    return ready(gateway, call, request);
  };
  const Handle run = [&gateway](const Call& call, const Request& request) {
    auto response = infer(gateway, call, request);
    return response ? std::move(*response) : v2::refusal(response.error());
  };
  std::vector<Route> routes = {
      get("/v2", "The server and its extensions", Permission::open, server),
      get("/v2/health/live", "Whether the server runs", Permission::open, live),
      get("/v2/health/ready", "Whether the server can answer", Permission::open, server_ready)};
  for (const std::string path : {"/v2/models/{model}", "/v2/models/{model}/versions/{version}"}) {
    routes.push_back(get(path, "A route's inputs and outputs", Permission::infer, describe));
    routes.push_back(get(path + "/ready", "Whether a route answers", Permission::infer, is_ready));
    routes.push_back({.method = "POST",
                      .path = path + "/infer",
                      .summary = "Predict by the Open Inference Protocol",
                      .permission = Permission::infer,
                      .handle = run,
                      .brief = true});
  }
  return routes;
}

}  // namespace penstock::api
