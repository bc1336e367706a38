// What was predicted, and what turned out to be true of it.
#include <set>

#include "resources/service.h"
#include "serving/gateway.h"
#include "serving/service.h"
#include "serving/stream.h"
#include "serving/text.h"

namespace penstock::serving {
namespace {

constexpr std::string_view label_group = "penstock.labels_seen";

}  // namespace

std::string prediction_key(std::string_view project, std::string_view id) {
  return route_key(project, id);
}

Result<std::optional<InferenceEvent>> recorded(events::Log& log, std::string_view group,
                                               std::string_view project, std::string_view id) {
  const auto text = TRY(log.state(group, prediction_key(project, id)));
  if (!text) return std::optional<InferenceEvent>();
  auto event = TRY(read_json<InferenceEvent>(*text));
  // What a shadow said is nobody's prediction: it has no id that a caller may ask or repeat.
  if (event.mode == Mode::shadow) return std::optional<InferenceEvent>();
  return std::optional(std::move(event));
}

Result<void> record(events::Log& log, const std::vector<InferenceEvent>& events) {
  events::Step step{.group = std::string(gateway_group), .topic = std::string(gateway_group)};
  for (const InferenceEvent& event : events) {
    std::string text = json_text(event);
    // An error is not kept by id: the caller's retry must run, and may succeed.
    if (event.error.empty()) step.state.put(prediction_key(event.project, event.id), text);
    step.outputs.push_back({std::string(inference_topic), event.id, std::move(text)});
  }
  // The group reads no topic, so its position stays 0 and writers do not exclude each other; what
  // it gains is that event and state are one write.
  return log.commit(step, 0, kv::Durability::process);
}

Result<InferenceEvent> Service::prediction(const Call& call, const PredictionName& name) {
  if (auto found = TRY(recorded(log_, gateway_group, call.project, name.id))) return *found;
  const auto streams =
      TRY(db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<resources::Resource>> {
        return resources::list(tx, call.project, "stream");
      }));
  for (const resources::Resource& stream : streams)
    if (auto found =
            TRY(recorded(log_, stream_group(call.project, stream.name), call.project, name.id)))
      return *found;
  return Error{Code::not_found, "there is no prediction " + name.id};
}

Result<LabelsOutput> Service::add_labels(const Call& call, const LabelsInput& input) {
  LabelsOutput out;
  const std::lock_guard lock(labelling_);
  events::Step step{.group = std::string(label_group), .topic = std::string(label_group)};
  std::set<std::string> seen;
  for (const LabelInput& label : input.labels) {
    std::string key = prediction_key(call.project, label.prediction) + "/";
    write_number(key, label.value);
    if (!seen.insert(key).second || TRY(log_.state(label_group, key))) {
      ++out.repeated;
      continue;
    }
    ++out.added;
    if (!prediction(call, {label.prediction})) ++out.unknown;
    step.state.put(key, "");
    step.outputs.push_back({std::string(label_topic), label.prediction,
                            json_text(Label{label.prediction, label.at.value_or(clock_.now()),
                                            call.project, label.value})});
  }
  if (!step.outputs.empty()) TRY(log_.commit(step, 0, kv::Durability::disk));
  return out;
}

std::vector<catalog::Edge> prediction_edges(const InferenceEvent& event) {
  const std::string from = "prediction:" + event.id;
  std::vector<catalog::Edge> edges;
  const auto add = [&](std::string to, std::string relation) {
    edges.push_back({event.project, from, std::move(to), std::move(relation), event.at});
  };
  if (!event.release.empty()) add("release:" + event.release, "released_by");
  add("route:" + event.route, "answered_on");
  add("model:" + event.model + "@v" + std::to_string(event.version), "made_by");
  if (!event.feature_schema.empty()) add("feature_schema:" + event.feature_schema, "reads");
  return edges;
}

}  // namespace penstock::serving
