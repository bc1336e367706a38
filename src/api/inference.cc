#include "api/inference.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace penstock::api::v2 {
namespace {

using serving::Gateway;
using serving::InferAnswer;
using serving::InferRequest;
using serving::LiveRoute;
using serving::LiveTarget;

Error wrong(std::string message) { return {Code::invalid_argument, std::move(message)}; }

Result<std::int64_t> version_of(const std::string& text) {
  if (text.empty()) return std::int64_t{0};
  std::int64_t version = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, version);
  if (read.ec == std::errc{} && read.ptr == end && version > 0) return version;
  return Error{Code::not_found, "there is no version " + text + "; versions are 1, 2, ..."};
}

// Versions that answer callers; a shadow is not one.
std::vector<const LiveTarget*> visible(const LiveRoute& route) {
  std::vector<const LiveTarget*> out;
  for (const LiveTarget& target : route.targets)
    if (target.arm != serving::Arm::shadow) out.push_back(&target);
  return out;
}

Result<std::shared_ptr<const LiveRoute>> find(const Gateway& gateway, const Call& call,
                                              const std::string& model, const std::string& text) {
  const auto route = TRY(gateway.route(call, model));
  const std::int64_t version = TRY(version_of(text));
  if (version == 0) return route;
  for (const LiveTarget* target : visible(*route))
    if (target->deployment->version == version) return route;
  return Error{Code::not_found, "route " + route->declaration.name + " does not serve version " +
                                    std::to_string(version)};
}

// What its models take; nothing where they are language models.
std::vector<infer::TensorInfo> own_inputs_of(const LiveRoute& route) {
  for (const LiveTarget& target : route.targets)
    if (target.deployment->runtime) return target.deployment->runtime->inputs();
  return {};
}

std::vector<infer::TensorInfo> own_outputs_of(const LiveRoute& route) {
  for (const LiveTarget& target : route.targets)
    if (target.deployment->runtime) return target.deployment->runtime->outputs();
  return {};
}

// A language model has no tensors: who sends some is told where to go.
Result<void> check_takes_tensors(const LiveRoute& route) {
  if (route.targets.empty() || route.features.read || !own_outputs_of(route).empty()) return {};
  return wrong("route " + route.declaration.name +
               " answers by a language model, which takes no tensors; send POST "
               "/v1/chat/completions with \"model\": \"" +
               route.declaration.name + "\"");
}

std::string platform_of(const LiveRoute& route) {
  const std::string runtime =
      route.targets.empty() ? "onnx" : route.targets.front().deployment->runtime_name;
  return runtime == "onnx" ? "onnx_onnxv1" : "penstock_" + runtime;
}

// What callers of the route send: entity keys where it reads features, else what its models take.
std::vector<infer::TensorInfo> inputs_of(const LiveRoute& route) {
  std::vector<infer::TensorInfo> out;
  if (route.features.read)
    for (const std::string& key : route.declaration.entity_keys)
      out.push_back({key, "BYTES", {-1}});
  else
    out = own_inputs_of(route);
  return out;
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

// One BYTES tensor a join key or input, all of one length, become rows.
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
    auto values = TRY(bytes_elements(input));
    if (out.rows.empty()) out.rows.resize(values.size());
    if (values.size() != out.rows.size())
      return wrong("input " + input.name + " has " + std::to_string(values.size()) +
                   " rows, and the one before has " + std::to_string(out.rows.size()));
    for (std::size_t row = 0; row < values.size(); ++row)
      if (!out.rows[row].emplace(input.name, std::move(values[row])).second)
        return wrong("input " + input.name + " stands twice");
  }
  const auto& optional = route.features.optional_inputs;
  for (const std::string& key : keys)
    if (out.rows.empty() || (!out.rows.front().contains(key) &&
                             std::find(optional.begin(), optional.end(), key) == optional.end()))
      return wrong("input " + key + " is missing; route " + route.declaration.name + " expects " +
                   input_names(route));
  return {};
}

bool are_the_models(const LiveRoute& route, const std::vector<infer::Tensor>& inputs) {
  if (!route.features.read) return true;
  if (inputs.empty()) return false;
  const auto known = own_inputs_of(route);
  for (const infer::Tensor& input : inputs) {
    if (std::none_of(known.begin(), known.end(),
                     [&](const auto& info) { return info.name == input.name; }))
      return false;
  }
  return true;
}

Result<InferRequest> request_of(const LiveRoute& route, std::int64_t version, InferBody& body,
                                std::size_t request_bytes) {
  InferRequest out{.route = route.declaration.name,
                   .version = version,
                   .id = body.id,
                   .request_bytes = static_cast<std::int64_t>(request_bytes),
                   .header = body.header};
  if (const auto time = body.parameters.find("event_time"); time != body.parameters.end()) {
    out.event_time = from_rfc3339(time->second);
    if (!out.event_time)
      return wrong("parameter event_time must be an RFC 3339 time such as 2013-07-01T12:00:00Z");
  }
  for (const char* unknown : {"sequence_id", "sequence_start", "sequence_end"})
    if (const auto asked = body.parameters.find(unknown);
        asked != body.parameters.end() && asked->second != "0" && asked->second != "false")
      return wrong("parameter " + std::string(unknown) +
                   " is not offered: calls of a route know nothing of each other");
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

// Our own outputs, of which only those that are asked for are made.
constexpr std::array<std::string_view, 4> own_names = {"score", "decision", "prediction_id",
                                                       "version"};

infer::Tensor own_tensor(const InferAnswer& answer, std::string_view name) {
  const auto all = [&](auto value) {
    std::vector<decltype(value(serving::Prediction{}))> values;
    values.reserve(answer.predictions.size());
    for (const serving::Prediction& one : answer.predictions) values.push_back(value(one));
    return values;
  };
  using Prediction = serving::Prediction;
  if (name == "score")
    return flat_tensor("score", "FP64", all([](const Prediction& one) { return one.score; }));
  if (name == "version")
    return flat_tensor("version", "INT64", all([](const Prediction& one) { return one.version; }));
  if (name == "prediction_id")
    return bytes_tensor("prediction_id", all([](const Prediction& one) { return one.id; }));
  std::string decisions;
  for (const Prediction& one : answer.predictions) decisions += one.decision ? '\1' : '\0';
  return {"decision", "BOOL", {static_cast<std::int64_t>(decisions.size())}, decisions};
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

// Those that are wanted, in that order; all where none is named. A model's own output of a name of
// ours is what was asked for.
Result<std::vector<infer::Tensor>> outputs_of(InferAnswer& answer,
                                              const std::vector<WantedOutput>& wanted) {
  const auto find = [&](std::string_view name) {
    return std::find_if(answer.outputs.begin(), answer.outputs.end(),
                        [&](const auto& tensor) { return tensor.name == name; });
  };
  const auto is_own = [](std::string_view name) {
    return std::find(own_names.begin(), own_names.end(), name) != own_names.end();
  };
  std::vector<infer::Tensor> out;
  for (const WantedOutput& one : wanted) {
    if (const auto found = find(one.name); found != answer.outputs.end()) {
      out.push_back(*found);
    } else if (is_own(one.name)) {
      out.push_back(own_tensor(answer, one.name));
    } else {
      std::string known;
      for (const infer::Tensor& tensor : answer.outputs) known += tensor.name + ", ";
      for (const std::string_view name : own_names)
        if (find(name) == answer.outputs.end()) known += std::string(name) + ", ";
      return wrong("there is no output " + one.name + "; there are " +
                   known.substr(0, known.size() - 2));
    }
  }
  if (!wanted.empty()) return out;
  std::vector<std::string_view> missing;
  for (const std::string_view name : own_names)
    if (find(name) == answer.outputs.end()) missing.push_back(name);
  out = std::move(answer.outputs);
  for (const std::string_view name : missing) out.push_back(own_tensor(answer, name));
  return out;
}

}  // namespace

Result<ModelDescription> describe(const Gateway& gateway, const Call& call,
                                  const std::string& model, const std::string& version) {
  const auto route = TRY(find(gateway, call, model, version));
  ModelDescription out{.name = route->declaration.name,
                       .platform = platform_of(*route),
                       .inputs = inputs_of(*route),
                       .own_inputs = own_inputs_of(*route),
                       .own_outputs = own_outputs_of(*route)};
  if (!route->features.read) out.outputs = out.own_outputs;
  for (const infer::TensorInfo& ours : {infer::TensorInfo{"score", "FP64", {-1}},
                                        {"decision", "BOOL", {-1}},
                                        {"prediction_id", "BYTES", {-1}},
                                        {"version", "INT64", {-1}}})
    if (check_takes_tensors(*route) &&
        std::none_of(out.outputs.begin(), out.outputs.end(),
                     [&](const infer::TensorInfo& own) { return own.name == ours.name; }))
      out.outputs.push_back(ours);
  for (const LiveTarget* target : visible(*route))
    out.versions.push_back(std::to_string(target->deployment->version));
  return out;
}

Result<void> ready(const Gateway& gateway, const Call& call, const std::string& model,
                   const std::string& version) {
  const auto route = TRY(find(gateway, call, model, version));
  if (!visible(*route).empty()) return {};
  return Error{Code::unavailable,
               "route " + route->declaration.name + " has no version that answers"};
}

Result<std::vector<Statistics>> statistics(const Gateway& gateway, const Call& call,
                                           const std::string& model, const std::string& version) {
  std::vector<std::shared_ptr<const LiveRoute>> routes;
  if (model.empty())
    routes = gateway.routes(call);
  else
    routes.push_back(TRY(find(gateway, call, model, version)));
  const std::int64_t only = TRY(version_of(version));
  std::vector<Statistics> out;
  for (const auto& route : routes)
    for (const LiveTarget* target : visible(*route)) {
      if (only != 0 && target->deployment->version != only) continue;
      const serving::Counters& counted = *target->counters;
      out.push_back({.route = route->declaration.name,
                     .version = std::to_string(target->deployment->version),
                     .last_ms = counted.last / 1000,
                     .rows = counted.answered,
                     .calls = counted.calls,
                     .errors = counted.failed_calls,
                     .micros = counted.micros,
                     .error_micros = counted.failed_micros,
                     .feature_micros = counted.feature_micros,
                     .model_micros = counted.model_micros});
    }
  return out;
}

namespace {

// Triton's `timeout`, in microseconds: the caller waits no longer.
Result<Call> within(const Gateway& gateway, const Call& call, const InferBody& body) {
  const auto given = body.parameters.find("timeout");
  if (given == body.parameters.end()) return call;
  std::int64_t micros = 0;
  const char* end = given->second.data() + given->second.size();
  const auto read = std::from_chars(given->second.data(), end, micros);
  if (read.ec != std::errc{} || read.ptr != end || micros < 0)
    return wrong("parameter timeout must be a whole number of microseconds, not " + given->second);
  Call out = call;
  if (micros > 0 && micros < std::int64_t{1'000'000} * 3'600)
    out.deadline = std::min(out.deadline, gateway.now() + Micros(micros));
  return out;
}

}  // namespace

Result<InferReply> infer(Gateway& gateway, const Call& call, const std::string& model,
                         const std::string& version, InferBody& body, std::size_t request_bytes) {
  const auto route = TRY(gateway.route(call, model));
  TRY(check_takes_tensors(*route));
  const InferRequest asked = TRY(request_of(*route, TRY(version_of(version)), body, request_bytes));
  InferAnswer answer = TRY(gateway.infer(TRY(within(gateway, call, body)), asked));
  InferReply reply{
      .model = route->declaration.name, .version = versions_text(answer), .id = body.id};
  reply.experiment = std::move(answer.experiment);
  reply.own_outputs = !answer.outputs.empty();
  reply.outputs = TRY(outputs_of(answer, body.outputs));
  reply.after = std::move(answer.after);
  reply.cached = std::move(answer.cached);
  return reply;
}

Result<std::size_t> elements_of(const infer::Tensor& tensor) {
  std::size_t count = 1;
  for (const std::int64_t length : tensor.shape) {
    if (length < 0) return wrong("input " + tensor.name + ": shape holds a negative length");
    if (length > static_cast<std::int64_t>(elements_max) ||
        (count *= static_cast<std::size_t>(length)) > elements_max)
      return wrong("input " + tensor.name + " has more than " + std::to_string(elements_max) +
                   " elements");
  }
  return count;
}

Result<void> check_datatype(const infer::Tensor& tensor) {
  if (tensor.datatype == "BYTES" || infer::size_of(tensor.datatype) != 0) return {};
  return wrong(
      "input " + tensor.name + ": datatype " + tensor.datatype +
      " is unknown; expected BOOL, UINT8 to UINT64, INT8 to INT64, FP16, FP32, FP64 or BYTES");
}

Result<void> check_tensor(const infer::Tensor& tensor) {
  TRY(check_datatype(tensor));
  if (tensor.shape.size() > 16)
    return wrong("input " + tensor.name + " has more than 16 dimensions");
  const std::size_t count = TRY(elements_of(tensor));
  if (tensor.datatype == "BYTES") {
    const std::size_t found = TRY(count_bytes_elements(tensor));
    if (found == count) return {};
    return wrong("input " + tensor.name + " has " + std::to_string(found) +
                 " elements; its shape says " + std::to_string(count));
  }
  const std::size_t expected = count * infer::size_of(tensor.datatype);
  if (expected == tensor.bytes.size()) return {};
  return wrong("input " + tensor.name + " has " + std::to_string(tensor.bytes.size()) +
               " bytes; its shape and datatype say " + std::to_string(expected));
}

namespace {

// Calls visit(element) for each; invalid_argument where the bytes are no such elements.
Result<void> each_element(const infer::Tensor& tensor, auto&& visit) {
  std::string_view rest = tensor.bytes;
  for (std::size_t count = 0; !rest.empty(); ++count) {
    std::uint32_t size = 0;
    if (count == read_elements_max)
      return wrong("tensor " + tensor.name + " has more than " + std::to_string(read_elements_max) +
                   " elements, which are texts");
    if (rest.size() < sizeof size)
      return wrong("tensor " + tensor.name + ": its bytes end in a length");
    std::memcpy(&size, rest.data(), sizeof size);
    rest.remove_prefix(sizeof size);
    if (size > rest.size())
      return wrong("tensor " + tensor.name + ": an element is longer than what is left");
    visit(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  return {};
}

}  // namespace

Result<std::size_t> count_bytes_elements(const infer::Tensor& tensor) {
  std::size_t count = 0;
  TRY(each_element(tensor, [&](std::string_view) { ++count; }));
  return count;
}

void put_bytes(std::string_view element, std::string& bytes) {
  const auto size = static_cast<std::uint32_t>(element.size());
  bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
  bytes.append(element);
}

infer::Tensor bytes_tensor(std::string name, const std::vector<std::string>& values) {
  infer::Tensor tensor{std::move(name), "BYTES", {static_cast<std::int64_t>(values.size())}, {}};
  for (const std::string& value : values) put_bytes(value, tensor.bytes);
  return tensor;
}

Result<std::vector<std::string>> bytes_elements(const infer::Tensor& tensor) {
  std::vector<std::string> out;
  TRY(each_element(tensor, [&](std::string_view element) { out.emplace_back(element); }));
  return out;
}

}  // namespace penstock::api::v2
