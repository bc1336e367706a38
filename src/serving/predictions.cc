// What was predicted, and what turned out to be true of it.
#include <charconv>
#include <set>

#include "base/id.h"
#include "resources/service.h"
#include "serving/event_codec.h"
#include "serving/gateway.h"
#include "serving/retention.h"
#include "serving/service.h"
#include "serving/stream.h"
#include "serving/text.h"

namespace penstock::serving {
namespace {

constexpr std::string_view label_group = "penstock.labels_seen";
constexpr Micros flush_time = std::chrono::seconds(2);

}  // namespace

std::string prediction_key(std::string_view project, std::string_view id) {
  return route_key(project, id);
}

Result<std::optional<InferenceEvent>> recorded(events::Log& log, std::string_view group,
                                               std::string_view project, std::string_view id) {
  auto text = TRY(log.state(group, prediction_key(project, id)));
  // A row may lie in its call's record.
  if (const std::string_view base = base_of(id); !text && !base.empty())
    text = TRY(log.state(group, group_key(project, base)));
  if (!text) return std::optional<InferenceEvent>();
  // The event itself, or the offset of its record.
  std::int64_t offset = 0;
  const char* end = text->data() + text->size();
  std::optional<InferenceEvent> event;
  if (const auto read = std::from_chars(text->data(), end, offset);
      read.ec != std::errc{} || read.ptr != end) {
    event = std::move(TRY(events_of(*text)).at(0));
  } else {
    const auto records = TRY(log.read(inference_topic, offset, 1));
    if (!records.empty() && records.front().offset == offset)
      for (InferenceEvent& one : TRY(events_of(records.front().value)))
        if (one.id == id) event = std::move(one);
  }
  // What a shadow said is nobody's prediction: it has no id that a caller may ask or repeat.
  if (event && event->mode == Mode::shadow) event.reset();
  return event;
}

Result<std::vector<std::int64_t>> record(events::Log& log,
                                         std::span<const EventRecord* const> records) {
  events::Step step{.group = std::string(gateway_group), .topic = std::string(gateway_group)};
  step.outputs.reserve(records.size());
  step.offsets.reserve(records.size());
  for (const EventRecord* one : records) {
    if (!one->found_by.empty()) step.offsets.emplace_back(one->found_by, step.outputs.size());
    step.outputs.push_back({std::string(inference_topic), one->key, one->text});
  }
  // The group reads no topic, so its position stays 0 and writers do not exclude each other; what
  // it gains is that event and state are one write.
  return log.commit(step, 0, kv::Durability::process);
}

Result<void> record(events::Log& log, std::span<const EventRecord> records) {
  std::vector<const EventRecord*> all;
  for (const EventRecord& one : records) all.push_back(&one);
  TRY(record(log, all));
  return {};
}

Result<void> record(events::Log& log, const std::vector<InferenceEvent>& events) {
  std::vector<EventRecord> records;
  for (const InferenceEvent& event : events)
    for (EventRecord& one : records_of({&event, 1})) records.push_back(std::move(one));
  return record(log, records);
}

Result<InferenceEvent> Service::prediction(const Call& call, const PredictionName& name) {
  // Who asks for what it has just made must find it.
  const auto flushed = telemetry_ ? telemetry_->flush(flush_time) : Result<void>();
  if (auto found = TRY(recorded(log_, gateway_group, call.project, name.id))) return *found;
  const auto streams =
      TRY(db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<resources::Resource>> {
        return resources::list(tx, call.project, "stream");
      }));
  for (const resources::Resource& stream : streams)
    if (auto found =
            TRY(recorded(log_, stream_group(call.project, stream.name), call.project, name.id)))
      return *found;
  TRY(flushed);  // it may be among those that wait
  const auto held = TRY(log_.extent(inference_topic));
  const std::string_view base = base_of(name.id);
  const auto made = time_of_ulid(base.empty() ? std::string_view(name.id) : base);
  const std::string gone = TRY(gone_text(log_));
  if (gone.empty()) return Error{Code::not_found, "there is no prediction " + name.id};
  if (made && held.gone_until && *made <= *held.gone_until)
    return Error{Code::not_found, "prediction " + name.id + " of " + to_rfc3339(*made) +
                                      " is kept no longer: " + gone};
  return Error{Code::not_found,
               "there is no prediction " + name.id + ", or it is too old: " + gone};
}

Result<LabelsOutput> Service::add_labels(const Call& call, const LabelsInput& input) {
  LabelsOutput out;
  // Before a label is there for readers, so that they find what it is of.
  if (telemetry_) (void)telemetry_->flush(flush_time);
  const std::lock_guard lock(labelling_);
  events::Step step{.group = std::string(label_group),
                    .topic = std::string(label_group),
                    .bound_to = std::string(label_topic)};
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
    step.offsets.emplace_back(std::move(key), step.outputs.size());
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
