#include "serving/decide.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "base/id.h"
#include "guardrails/chain.h"
#include "serving/choose.h"
#include "serving/event_codec.h"
#include "serving/guarding.h"

namespace penstock::serving {
namespace {

std::size_t rows_in(const InferRequest& request) {
  if (!request.rows.empty()) return request.rows.size();
  if (request.tensors.empty() || request.tensors.front().shape.empty()) return 0;
  return static_cast<std::size_t>(std::max<std::int64_t>(request.tensors.front().shape.front(), 0));
}

template <class T>
double element(const infer::Tensor& tensor, std::size_t index) {
  T value{};
  std::memcpy(&value, tensor.bytes.data() + index * sizeof value, sizeof value);
  return static_cast<double>(value);
}

template <class T>
void put(T value, std::string& out) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// A feature as one element of a column; false where the datatype cannot say it.
bool put_as(std::string_view datatype, const std::optional<double>& value, std::string& out) {
  const double number = value.value_or(std::numeric_limits<double>::quiet_NaN());
  if (datatype == "FP64") return put(number, out), true;
  if (datatype == "FP32") return put(static_cast<float>(number), out), true;
  const double most = datatype == "INT64" ? 0x1p63 : datatype == "INT32" ? 0x1p31 : 2;
  if (!(number >= (datatype == "BOOL" ? 0 : -most) && number < most) ||
      number != std::trunc(number))
    return false;
  if (datatype == "INT64") return put(static_cast<std::int64_t>(number), out), true;
  if (datatype == "INT32") return put(static_cast<std::int32_t>(number), out), true;
  return put(static_cast<std::uint8_t>(number), out), true;
}

bool is_among(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Result<void> check_entities(const LiveRoute& live, const Entities& entities) {
  const RouteDeclaration& route = live.declaration;
  std::string expected;
  for (const std::string& key : route.entity_keys) expected += (expected.empty() ? "" : ", ") + key;
  for (const std::string& key : route.entity_keys)
    if (!entities.contains(key) && !is_among(live.features.optional_inputs, key))
      return Error{Code::invalid_argument,
                   "entity " + key + " is missing; route " + route.name + " expects " + expected,
                   {{"entities." + key, "is missing"}}};
  for (const auto& [key, value] : entities)
    if (!is_among(route.entity_keys, key))
      return Error{Code::invalid_argument,
                   "entity " + key + " is unknown; route " + route.name + " expects " + expected,
                   {{"entities." + key, "is unknown; expected " + expected}}};
  return {};
}

std::vector<std::string> ids_under(const std::string& base, std::size_t rows) {
  std::vector<std::string> ids;
  ids.reserve(rows);
  for (std::size_t row = 0; row < rows; ++row) ids.push_back(rows == 1 ? base : row_id(base, row));
  return ids;
}

std::string unit_of(const LiveRoute& live, const InferRequest& request, const Caller& caller,
                    const InferenceEvent& event) {
  const RouteDeclaration& route = live.declaration;
  if (!request.unit.empty()) return request.unit;
  if (std::string sticky = sticky_unit(live, caller); !sticky.empty()) return sticky;
  if (const auto found = event.entities.find(route.unit); found != event.entities.end())
    return found->second;
  if (event.entities.empty() || !route.unit.empty()) return event.id;
  // What differs from request to request of one entity is no part of who it is.
  std::string unit;
  for (const auto& [key, value] : event.entities)
    if (!is_among(live.features.inputs, key)) unit.append(value).append("\x1f");
  return unit.empty() ? event.id : unit;
}

// Wider rows are pictures and texts, which no monitor watches number by number.
constexpr std::size_t noted_max = 4'096;

// The features that a caller sent itself, for the monitors: the one FP32 matrix, if that is what it
// sent.
void note_features(const std::vector<infer::Tensor>& tensors, std::vector<InferenceEvent>& events) {
  if (tensors.size() != 1 || tensors[0].datatype != "FP32" || tensors[0].shape.size() != 2) return;
  const auto width = static_cast<std::size_t>(tensors[0].shape[1]);
  if (width > noted_max) return;
  if (tensors[0].bytes.size() != events.size() * width * sizeof(float)) return;
  for (std::size_t row = 0; row < events.size(); ++row) {
    events[row].features.reserve(width);
    for (std::size_t column = 0; column < width; ++column) {
      const double value = element<float>(tensors[0], row * width + column);
      events[row].features.push_back(std::isnan(value) ? std::nullopt : std::optional(value));
    }
  }
}

Result<void> read_features(const Clock& clock, const LiveRoute& route, InferenceEvent& event) {
  const Timestamp start = clock.now();
  FeatureRow row = TRY(route.features.read(event.entities, event.event_time));
  if (row.values.size() != route.features.names.size())
    return Error{Code::internal, "the feature store gave " + std::to_string(row.values.size()) +
                                     " values for " + route.features.reference};
  event.features = std::move(row.values);
  event.oldest_feature_seconds = row.oldest_seconds;
  event.feature_statuses = std::move(row.statuses);
  event.feature_times = std::move(row.times);
  event.feature_micros = (clock.now() - start).count();
  return {};
}

void share(const LiveRoute& route, const Choice& choice, InferenceEvent& event) {
  event.model = choice.target->deployment->model;
  event.version = choice.target->deployment->version;
  event.runtime = choice.target->deployment->runtime_name;
  event.release = choice.target->release;
  event.arm = choice.target->arm;
  event.assignment_probability = choice.probability;
  event.experiment = choice.experiment;
  event.route = route.declaration.name;
}

// Where the runtime tells no GPU time, what the call occupied; shared so that rows add up to it.
void note_runtime(const Deployment& deployment, std::int64_t micros,
                  const std::vector<InferenceEvent*>& rows) {
  const auto count = static_cast<std::int64_t>(rows.size());
  const std::int64_t gpu = std::llround(static_cast<double>(micros) * deployment.gpus);
  for (InferenceEvent* row : rows) {
    row->runtime = deployment.runtime_name;
    if (deployment.remote) {
      row->upstream = deployment.remote->endpoint->name;
      row->upstream_micros = micros;
      row->attempts = 1;
    }
    if (deployment.gpus > 0)
      row->gpu_micros = gpu / count + (row == rows.front() ? gpu % count : 0);
  }
}

// One for all rows, or one for each where they are of several.
std::vector<Timestamp> instants_of(const std::vector<InferenceEvent*>& rows) {
  const Timestamp first = rows.front()->event_time;
  if (std::all_of(rows.begin(), rows.end(),
                  [&](const InferenceEvent* row) { return row->event_time == first; }))
    return {first};
  std::vector<Timestamp> out;
  for (const InferenceEvent* row : rows) out.push_back(row->event_time);
  return out;
}

// The parts of a graph, in the event of the call's first row; the time of models among them.
std::int64_t note_nodes(const std::vector<infer::NodeRun>& nodes, InferenceEvent& event) {
  std::int64_t apart = 0;
  for (const infer::NodeRun& ran : nodes) {
    NodeUse& node = event.nodes.emplace_back(NodeUse{.name = ran.name,
                                                     .kind = ran.kind,
                                                     .model = ran.model,
                                                     .version = ran.version,
                                                     .runtime = ran.runtime,
                                                     .upstream = ran.upstream,
                                                     .calls = 1,
                                                     .micros = ran.micros,
                                                     .faults = ran.failed ? 1 : 0});
    if (ran.gpus > 0) node.gpu_micros = std::llround(static_cast<double>(ran.micros) * ran.gpus);
    if (!ran.model.empty()) apart += ran.micros;
  }
  return apart;
}

}  // namespace

std::string_view user_of(const InferRequest& request) {
  std::string_view user = request.user;
  if (user.empty() && request.header) user = request.header(user_header);
  return user.substr(0, user_max);
}

int priority_of(const InferRequest& request) {
  if (request.priority) return *request.priority;
  return priority_of(request.header ? request.header(priority_header) : std::string_view());
}

Result<std::vector<std::string>> ids_of(const InferRequest& request, Timestamp now) {
  const std::size_t rows = rows_in(request);
  if (rows == 0) return Error{Code::invalid_argument, "there is no row to predict"};
  if (rows > rows_max)
    return Error{Code::invalid_argument, "there are " + std::to_string(rows) + " rows; at most " +
                                             std::to_string(rows_max) + " go in one call"};
  if (request.id.size() > id_max)
    return Error{
        Code::invalid_argument, "id must be at most 200 characters", {{"id", "is too long"}}};
  // What is kept of it must be what the caller asks for again.
  if (std::any_of(request.id.begin(), request.id.end(), [](char letter) {
        return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f;
      }))
    return Error{Code::invalid_argument,
                 "id must have no control characters",
                 {{"id", "has a control character"}}};
  // Such a one could be that of a shadow's event already, and a call under it would not be counted.
  if (request.id.find(shadow_mark) != std::string::npos)
    return Error{Code::invalid_argument,
                 "id must not have " + std::string(shadow_mark) +
                     " in it: shadows of a call have ids of that kind",
                 {{"id", "has " + std::string(shadow_mark)}}};
  return request.id.empty() ? own_ids(rows, now) : ids_under(request.id, rows);
}

std::vector<std::string> own_ids(std::size_t rows, Timestamp now) {
  return ids_under(new_ulid(now), rows);
}

std::vector<std::string> failed_ids(const std::string& id, std::size_t rows, Timestamp now) {
  return ids_under(id + "!" + new_ulid(now), rows);
}

infer::Tensor feature_tensor(const std::string& input, std::size_t width,
                             const std::vector<InferenceEvent*>& rows, bool wide) {
  infer::Tensor tensor{
      .name = input,
      .datatype = wide ? "FP64" : "FP32",
      .shape = {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(width)}};
  tensor.bytes.reserve(rows.size() * width * (wide ? sizeof(double) : sizeof(float)));
  for (const InferenceEvent* row : rows)
    for (const std::optional<double>& value : row->features)
      if (wide)
        put(value.value_or(std::numeric_limits<double>::quiet_NaN()), tensor.bytes);
      else
        put(value ? static_cast<float>(*value) : std::numeric_limits<float>::quiet_NaN(),
            tensor.bytes);
  return tensor;
}

bool takes_columns(const OpenSchema& features, const infer::Model& model) {
  static const std::array<std::string_view, 5> numbers = {"FP32", "FP64", "INT32", "INT64", "BOOL"};
  const auto& inputs = model.inputs();
  return inputs.size() == features.names.size() &&
         std::all_of(inputs.begin(), inputs.end(), [&](const infer::TensorInfo& input) {
           return is_among(features.names, input.name) && input.shape.size() == 1 &&
                  std::find(numbers.begin(), numbers.end(), input.datatype) != numbers.end();
         });
}

Result<std::vector<infer::Tensor>> feature_tensors(const OpenSchema& features,
                                                   const infer::Model& model,
                                                   const std::vector<InferenceEvent*>& rows) {
  std::vector<infer::Tensor> out;
  if (!takes_columns(features, model)) {
    if (model.inputs().empty())
      return Error{Code::failed_precondition,
                   "the model does not say what it takes, so no features can be sent to it"};
    const infer::TensorInfo& only = model.inputs().front();
    out.push_back(feature_tensor(only.name, features.names.size(), rows, only.datatype == "FP64"));
    return out;
  }
  for (const infer::TensorInfo& input : model.inputs()) {
    const auto name = std::find(features.names.begin(), features.names.end(), input.name);
    const auto column = static_cast<std::size_t>(name - features.names.begin());
    infer::Tensor& tensor = out.emplace_back(
        infer::Tensor{input.name, input.datatype, {static_cast<std::int64_t>(rows.size())}, {}});
    for (const InferenceEvent* row : rows)
      if (!put_as(input.datatype, row->features.at(column), tensor.bytes))
        return Error{Code::failed_precondition, "feature " + input.name +
                                                    " is missing or none of " + input.datatype +
                                                    ", which the model takes it as"};
  }
  return out;
}

Result<std::vector<double>> scores_of(const std::vector<infer::Tensor>& outputs,
                                      const std::string& name, std::size_t rows) {
  for (const infer::Tensor& tensor : outputs) {
    if (tensor.name != name) continue;
    const std::size_t size = infer::size_of(tensor.datatype);
    const std::size_t count = size ? tensor.bytes.size() / size : 0;
    if (count == 0 || count % rows != 0)
      return Error{Code::data_loss, "the model gave " + std::to_string(count) + " scores for " +
                                        std::to_string(rows) + " rows"};
    const std::size_t width = count / rows;
    std::vector<double> scores;
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t last = row * width + width - 1;
      double score = std::numeric_limits<double>::quiet_NaN();
      if (tensor.datatype == "FP32") score = element<float>(tensor, last);
      if (tensor.datatype == "FP64") score = element<double>(tensor, last);
      if (tensor.datatype == "INT64")
        score = static_cast<double>(element<std::int64_t>(tensor, last));
      if (!std::isfinite(score)) return Error{Code::data_loss, "the model gave no finite score"};
      scores.push_back(score);
    }
    return scores;
  }
  return Error{Code::data_loss, "the model gave no output " + name};
}

Result<std::vector<infer::Tensor>> run_model(const Clock& clock, const LiveRoute& route,
                                             const LiveTarget& target,
                                             const std::vector<infer::Tensor>& tensors,
                                             const std::vector<InferenceEvent*>& rows,
                                             const infer::RunLimits& limits) {
  const Timestamp start = clock.now();
  if (!target.deployment->runtime)
    return Error{Code::invalid_argument, "model:" + target.deployment->model + "@v" +
                                             std::to_string(target.deployment->version) +
                                             " of route " + route.declaration.name +
                                             " takes no tensors; it answers chat completions"};
  infer::Model& model = *target.deployment->runtime;
  std::vector<infer::Tensor> read;
  if (tensors.empty()) read = TRY(feature_tensors(route.features, model, rows));
  std::vector<infer::NodeRun> nodes;
  infer::RunLimits own = limits;
  own.nodes = &nodes;
  own.as_of = instants_of(rows);
  auto ran = model.run(tensors.empty() ? read : tensors, own);
  const std::int64_t apart = note_nodes(nodes, *rows.front());
  // What we read for the caller is not the caller's fault.
  if (!ran && tensors.empty() && ran.error().code == Code::invalid_argument)
    return Error{Code::failed_precondition,
                 "the model does not take the features: " + ran.error().message};
  if (!ran) return ran.error();
  auto outputs = std::move(ran).take();
  const auto scores = TRY(scores_of(outputs, route.declaration.output, rows.size()));
  // What other models took is theirs.
  const std::int64_t micros = std::max<std::int64_t>((clock.now() - start).count() - apart, 0);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    rows[row]->score = scores[row];
    rows[row]->decision = scores[row] >= route.declaration.threshold;
    rows[row]->model_micros = micros;
  }
  note_runtime(*target.deployment, micros, rows);
  return outputs;
}

namespace {

using Groups = std::map<const LiveTarget*, std::vector<InferenceEvent*>>;

// What the caller sent goes to one version, past the guardrails and the cache of the route.
Result<void> run_on_tensors(const Clock& clock, const Call& call, const LiveRoute& route,
                            const InferRequest& request, const Groups::value_type& group,
                            const infer::RunLimits& limits, const guardrails::MayJudge& may_judge,
                            Decided& out) {
  using guardrails::Side;
  const auto& [target, rows] = group;
  if (route.guards && route.guards->looks_at(Side::input)) {
    out.seen = request.tensors;
    TRY(guard_texts(route, {Side::input, limits.deadline, may_judge}, *out.seen, rows));
  }
  // Batch and stream give the same for the same by themselves.
  const bool caches = route.cache && !limits.alone;
  const std::string key = caches ? cache_key(call, *target->deployment, request) : "";
  if (caches && answer_again(route, key, clock.now(), rows, out)) return {};
  const auto& tensors = out.seen ? *out.seen : request.tensors;
  out.outputs = TRY(run_model(clock, route, *target, tensors, rows, limits));
  if (route.guards && route.guards->looks_at(Side::output))
    TRY(guard_texts(route, {Side::output, limits.deadline, may_judge}, out.outputs, rows));
  if (caches) keep_answer(route, key, clock.now(), rows, out);
  return {};
}

// What the entities' features are now goes to the versions of their rows. An answer is kept by what
// was read: it is given again as long as that is the same.
Result<void> run_on_features(const Clock& clock, const Call& call, const LiveRoute& route,
                             const InferRequest& request, const Groups& groups,
                             const infer::RunLimits& limits, Decided& out) {
  for (InferenceEvent& event : out.events) TRY(read_features(clock, route, event));
  const bool caches = route.cache && !limits.alone;
  bool again = true;
  for (const auto& [target, rows] : groups) {
    const std::string key = caches ? cache_key(call, *target->deployment, request, rows) : "";
    if (caches && answer_again(route, key, clock.now(), rows, out)) continue;
    again = false;
    TRY(run_model(clock, route, *target, {}, rows, limits));
    if (caches) keep_answer(route, key, clock.now(), rows, out);
  }
  if (!again) out.cached.clear();
  return {};
}

}  // namespace

Result<Decided> Gateway::decide(const Call& call, const LiveRoute& route,
                                const InferRequest& request, const std::vector<std::string>& ids,
                                Mode mode, const guardrails::MayJudge& may_judge) const {
  const Timestamp now = clock_.now();
  const bool reads = request.tensors.empty();
  if (reads && !route.features.read)
    return Error{Code::invalid_argument, "route " + route.declaration.name +
                                             " has no feature schema; send the model's own inputs"};
  Decided out;
  out.events.resize(ids.size());
  Groups groups;
  Caller caller{call.tenant, call.actor, user_of(request), &request.header};
  std::optional<Choice> choice;
  for (std::size_t row = 0; row < ids.size(); ++row) {
    InferenceEvent& event = out.events[row];
    event.id = ids[row];
    event.event_time = request.event_time.value_or(now);
    event.project = call.project;
    event.tenant = call.tenant;
    event.actor = call.actor;
    event.user = caller.user;
    event.mode = mode;
    event.request_bytes = request.request_bytes / static_cast<std::int64_t>(ids.size());
    if (reads) {
      TRY(check_entities(route, request.rows[row]));
      event.entities = request.rows[row];
      event.feature_schema = route.features.reference;
    }
    caller.entities = &event.entities;
    event.unit = unit_of(route, request, caller, event);
    // Rows of tensors go through one model together, so the first one's unit chooses for all.
    if (reads || !choice) choice = TRY(choose_for(route, caller, event.unit, request.version));
    share(route, *choice, event);
    groups[choice->target].push_back(&event);
  }
  if (!reads) note_features(request.tensors, out.events);

  // Where the same bytes must come out however often it runs, it runs alone.
  const infer::RunLimits limits{.deadline = call.deadline,
                                .alone = mode == Mode::batch || mode == Mode::stream};
  const auto work = [&]() -> Result<void> {
    if (!reads)
      return run_on_tensors(clock_, call, route, request, *groups.begin(), limits, may_judge, out);
    if (route.guards && route.guards->looks_at(guardrails::Side::input))
      TRY(guard_entities(route, {guardrails::Side::input, limits.deadline, may_judge}, out.events));
    return run_on_features(clock_, call, route, request, groups, limits, out);
  };
  if (const auto done = work(); !done) out.error = done.error();
  if (out.error) out.outputs.clear();
  const Timestamp end = clock_.now();
  for (InferenceEvent& event : out.events) {
    event.at = end;
    event.total_micros = (end - now).count();
    if (!out.error) continue;
    event.error = name_of(out.error->code);
    event.score.reset();
    event.decision.reset();
  }
  return out;
}

}  // namespace penstock::serving
