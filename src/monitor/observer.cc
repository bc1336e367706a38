#include "monitor/observer.h"

#include <charconv>

#include "base/log.h"
#include "features/feature_view.h"
#include "monitor/training_data.h"
#include "monitor/turn.h"
#include "resources/service.h"
#include "serving/event_codec.h"
#include "serving/gateway.h"
#include "serving/stream.h"
#include "serving/text.h"

namespace penstock::monitor {
namespace {

constexpr std::size_t batch = 2'000;
constexpr std::size_t prepared_max = 10'000;

template <class T>
std::vector<T> decoded(const std::vector<events::Record>& records) {
  std::vector<T> out;
  for (const events::Record& record : records) {
    auto value = serving::read_json<T>(record.value);
    if (value)
      out.push_back(std::move(value).take());
    else
      log::error("event_unreadable", {{"offset", record.offset}, {"error", value.error().message}});
  }
  return out;
}

// "features_v1@2" as its declaration says; nothing where there is no such schema.
Result<std::vector<std::string>> feature_names(sql::Tx& tx, const std::string& project,
                                               const std::string& schema) {
  std::vector<std::string> names;
  const std::size_t at = schema.find('@');
  if (at == std::string::npos) return names;
  std::int64_t version = 0;
  std::from_chars(schema.data() + at + 1, schema.data() + schema.size(), version);
  const auto found = resources::declared<features::FeatureSchema>(tx, project, "feature_schema",
                                                                  schema.substr(0, at), version);
  if (!found) {
    if (found.error().code == Code::not_found) return names;
    return found.error();
  }
  for (const features::FeatureReference& feature : found->features)
    names.push_back(feature.name.value_or(feature.feature));
  return names;
}

}  // namespace

struct Observer::Input {
  std::int64_t calls_from = 0, labels_from = 0, calls_next = 0, labels_next = 0;
  serving::EventStretch calls;
  std::vector<JoinedLabel> labels;
  bool more = false;
};

Result<void> Observer::read(Input& input) {
  const Call call{.actor = "service:monitor"};
  TRY(db_.read(call, [&](sql::Tx& tx) -> Result<void> {
    input.calls_from = TRY(store::position(tx, options_.server, serving::inference_topic));
    input.labels_from = TRY(store::position(tx, options_.server, serving::label_topic));
    return {};
  }));
  input.calls = TRY(events_.read(input.calls_from));
  const auto labels = TRY(log_.read(serving::label_topic, input.labels_from, batch));
  input.calls_next = input.calls.next;
  input.labels_next = labels.empty() ? input.labels_from : labels.back().offset + 1;
  // A stretch may end by its size: there is more until nothing comes.
  input.more = input.calls_next != input.calls_from || !labels.empty();

  std::map<std::string, std::vector<std::string>> groups;  // by project
  for (const serving::Label& label : decoded<serving::Label>(labels)) {
    auto& of_project = groups[label.project];
    if (of_project.empty()) {
      of_project.emplace_back(serving::gateway_group);
      const auto streams = TRY(db_.read(
          call, [&](sql::Tx& tx) { return resources::list(tx, label.project, "stream"); }));
      for (const resources::Resource& stream : streams)
        of_project.push_back(serving::stream_group(label.project, stream.name));
    }
    for (const std::string& group : of_project) {
      auto event = TRY(serving::recorded(log_, group, label.project, label.prediction));
      if (!event) continue;
      input.labels.push_back({std::move(*event), label.value});
      break;
    }
  }
  return {};
}

// Reads training data of versions that are seen for the first time: before the transaction, because
// it takes as long as the data is large.
Result<void> Observer::prepare(const Input& input) {
  std::set<std::string> seen;
  const auto is_same = [](const auto& a, const auto& b) {
    return a.version == b.version && a.route == b.route && a.model == b.model &&
           a.project == b.project && a.feature_schema == b.feature_schema;
  };
  const serving::InferenceEvent* last = nullptr;
  for (const serving::InferenceEvent* const at : input.calls.events) {
    const serving::InferenceEvent& event = *at;
    if (event.mode == serving::Mode::batch || (last && is_same(*last, event))) continue;
    last = &event;
    const std::string key = event.project + "\n" + event.route + "\n" + event.feature_schema +
                            "\n" + event.model + "\n" + std::to_string(event.version);
    if (prepared_.contains(key) || !seen.insert(key).second) continue;
    const Call call{.actor = "service:monitor", .project = event.project};
    TRY(profile(call, event.route, event.feature_schema, event.model, event.version));
    TRY(training(call, event.route, event.feature_schema, event.model, event.version));
  }
  for (const std::string& key : seen) {
    if (prepared_.size() >= prepared_max) prepared_.clear();
    const serving::InferenceEvent* of = nullptr;
    for (const serving::InferenceEvent* const event : input.calls.events)
      if (key == event->project + "\n" + event->route + "\n" + event->feature_schema + "\n" +
                     event->model + "\n" + std::to_string(event->version))
        of = event;
    const auto found = TRY(db_.read({.actor = "service:monitor"}, [&](sql::Tx& tx) {
      return store::profile(tx, of->project, of->route, of->feature_schema);
    }));
    // Until the edges are all there, training data cannot be counted by them.
    if (found && found->complete) prepared_.insert(key);
  }
  return {};
}

Result<void> Observer::profile(const Call& call, const std::string& route,
                               const std::string& schema, const std::string& model,
                               std::int64_t version) {
  Profile made{.project = call.project, .route = route, .feature_schema = schema};
  std::optional<TrainingData> data;
  const bool there = TRY(db_.read(call, [&](sql::Tx& tx) -> Result<bool> {
    if (TRY(store::profile(tx, call.project, route, schema))) return true;
    made.names = TRY(feature_names(tx, call.project, schema));
    data = TRY(training_data_of(tx, call.project, model, version));
    return false;
  }));
  if (there) return {};
  made.feature_edges.resize(made.names.size());
  if (data && !made.names.empty()) {
    const auto session = TRY(olap_.session());
    auto edges = edges_of(*session, *data, made.names);
    if (edges)
      made.feature_edges = std::move(edges).take();
    else
      log::warn("training_data_unreadable",
                {{"dataset", data->urn}, {"error", edges.error().message}});
  }
  return db_.write(call, [&](sql::Tx& tx) { return store::put(tx, made); });
}

Result<void> Observer::training(const Call& call, const std::string& route,
                                const std::string& schema, const std::string& model,
                                std::int64_t version) {
  TrainingReference made{.project = call.project,
                         .route = route,
                         .feature_schema = schema,
                         .model = model,
                         .version = version};
  std::optional<TrainingData> data;
  std::optional<Profile> by;
  TRY(db_.read(call, [&](sql::Tx& tx) -> Result<void> {
    by = TRY(store::profile(tx, call.project, route, schema));
    if (!by || by->names.empty()) return {};
    if (TRY(store::reference(tx, made))) return {};
    data = TRY(training_data_of(tx, call.project, model, version));
    return {};
  }));
  if (!data) return {};
  made.dataset = data->urn;
  const auto session = TRY(olap_.session());
  // Bins of a feature that other training data lacked come only with the first calls.
  if (!by->complete) {
    const auto ready = can_count(*session, *data, by->names, by->feature_edges);
    if (ready && !*ready) return {};
  }
  auto counts = counts_of(*session, *data, by->names, by->feature_edges);
  if (counts)
    made.features = std::move(counts).take();
  else
    made.fault = data->urn + " cannot be read: " + counts.error().message;
  return db_.write(call, [&](sql::Tx& tx) { return store::put(tx, made); });
}

Result<void> Observer::begin() {
  for (const std::string_view topic : {serving::inference_topic, serving::label_topic}) {
    const std::int64_t end = TRY(log_.end(topic));
    TRY(db_.write({.actor = "service:monitor"}, [&](sql::Tx& tx) {
      return store::begin_position(tx, options_.server, topic, end);
    }));
  }
  return {};
}

Result<std::int64_t> Observer::position(std::string_view topic) const {
  return db_.read({.actor = "service:monitor"},
                  [&](sql::Tx& tx) { return store::position(tx, options_.server, topic); });
}

Result<std::size_t> Observer::run_once() {
  Input input;
  TRY(read(input));
  if (!input.more) return 0;
  TRY(prepare(input));
  TRY(db_.write({.actor = "service:monitor"}, [&](sql::Tx& tx) -> Result<void> {
    // Another observer was faster: what was read is counted already.
    if (TRY(store::position(tx, options_.server, serving::inference_topic)) != input.calls_from ||
        TRY(store::position(tx, options_.server, serving::label_topic)) != input.labels_from)
      return {};
    Turn turn(tx, clock_.now(), options_);
    for (const serving::InferenceEvent* const event : input.calls.events)
      if (event->mode != serving::Mode::batch) TRY(turn.add(*event));
    for (const JoinedLabel& label : input.labels) TRY(turn.add(label));
    TRY(turn.finish());
    TRY(store::set_position(tx, options_.server, serving::inference_topic, input.calls_next));
    return store::set_position(tx, options_.server, serving::label_topic, input.labels_next);
  }));
  return std::max<std::size_t>(input.calls.events.size() + input.labels.size(), 1);
}

}  // namespace penstock::monitor
