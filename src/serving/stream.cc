#include "serving/stream.h"

#include "base/log.h"
#include "serving/decide.h"
#include "serving/event_codec.h"
#include "serving/store.h"
#include "serving/text.h"

namespace penstock::serving {
namespace {

constexpr std::string_view totals_key = "totals";

// A fault that lies in the record or is there for good; all others may pass, and the stream waits
// for that.
bool permanent(Code code) { return code == Code::invalid_argument || code == Code::data_loss; }

}  // namespace

// The length first: no project and topic together make the name of another two, and none of ours,
// which begin with a letter.
std::string topic_name(std::string_view project, std::string_view topic) {
  return std::to_string(project.size()) + "." + std::string(project) + "." + std::string(topic);
}

std::string stream_group(std::string_view project, std::string_view stream) {
  return "stream." + topic_name(project, stream);
}

StreamScorer::StreamScorer(Gateway& gateway, events::Log& log, std::string project,
                           StreamDeclaration stream)
    : gateway_(gateway),
      log_(log),
      project_(std::move(project)),
      stream_(std::move(stream)),
      group_(stream_group(project_, stream_.name)),
      input_(topic_name(project_, stream_.input)),
      output_(topic_name(project_, stream_.output)) {}

Result<StreamTotals> StreamScorer::totals() const {
  const auto text = TRY(log_.state(group_, totals_key));
  if (!text) return StreamTotals{};
  return read_json<StreamTotals>(*text);
}

Result<void> StreamScorer::decide(const LiveRoute& route, const events::Record& record,
                                  Progress& progress) {
  const auto input = read_json<StreamEvent>(record.value);
  StreamDecision said{.id = input ? input->id : record.key, .route = stream_.route};
  if (!input || input->id.empty() || input->id.size() > id_max) {
    ++progress.totals.errors;
    said.error = input ? "id must be of 1 to 200 characters" : input.error().message;
    progress.step.outputs.push_back({output_, record.key, json_text(said)});
    return {};
  }
  const std::string key = prediction_key(project_, input->id);
  if (!progress.seen.insert(key).second || TRY(log_.state(group_, key)) ||
      gateway_.is_gone(project_, input->id)) {
    ++progress.totals.duplicates;
    return {};
  }

  const Call call{.actor = "stream:" + stream_.name, .tenant = project_, .project = project_};
  const InferRequest request{.route = stream_.route,
                             .event_time = input->event_time,
                             .rows = {input->entities},
                             .request_bytes = static_cast<std::int64_t>(record.value.size())};
  auto decided = gateway_.decide(call, route, request, {input->id}, Mode::stream);
  const Error* fault = !decided ? &decided.error() : decided->error ? &*decided->error : nullptr;
  if (fault && !permanent(fault->code)) return *fault;

  said.event_time = input->event_time;
  if (fault) {
    ++progress.totals.errors;
    said.error = fault->message;
  } else {
    ++progress.totals.decided;
  }
  if (decided) {
    const InferenceEvent& event = decided->events.front();
    said.model = event.model;
    said.version = event.version;
    said.score = event.score;
    said.decision = event.decision;
    progress.step.offsets.emplace_back(key, progress.step.outputs.size());
    progress.step.outputs.push_back({std::string(inference_topic), event.id, event_text(event)});
  }
  progress.step.outputs.push_back({output_, record.key, json_text(said)});
  return {};
}

Result<std::size_t> StreamScorer::run_once(std::size_t count) {
  const std::int64_t position = TRY(log_.position(group_, input_));
  const auto records = TRY(log_.read(input_, position, count));
  if (records.empty()) return std::size_t{0};
  const Call call{.actor = "stream:" + stream_.name, .tenant = project_, .project = project_};
  const auto route = TRY(gateway_.route(call, stream_.route));

  auto totals_asked = TRY(totals());
  Progress progress{.step = {.group = group_, .topic = input_}, .totals = std::move(totals_asked)};
  std::size_t moved = 0;
  std::optional<Error> stopped;
  for (const events::Record& record : records) {
    if (const auto done = decide(*route, record, progress); !done) {
      stopped = done.error();
      break;
    }
    progress.step.next_offset = record.offset + 1;
    ++moved;
  }
  if (moved == 0) return *stopped;
  progress.step.state.put(std::string(totals_key), json_text(progress.totals));
  const auto committed = log_.commit(progress.step, position, kv::Durability::process);
  if (committed) return moved;
  // Another consumer of the group was faster: what we made is dropped, what it made stands.
  if (committed.error().code == Code::failed_precondition) return std::size_t{0};
  return committed.error();
}

Result<StreamView> StreamScorer::view() const {
  StreamView view{.name = stream_.name,
                  .route = stream_.route,
                  .input = stream_.input,
                  .output = stream_.output};
  view.position = TRY(log_.position(group_, input_));
  view.end = TRY(log_.end(input_));
  view.lag = view.end - view.position;
  const StreamTotals sums = TRY(totals());
  view.decided = sums.decided;
  view.duplicates = sums.duplicates;
  view.errors = sums.errors;
  return view;
}

Streams::Streams(sql::Database& db, Gateway& gateway, events::Log& log)
    : db_(db), gateway_(gateway), log_(log) {}

Result<void> Streams::reload() {
  // Before reading: a table that is published meanwhile is seen as another one.
  const std::int64_t table = gateway_.table_number();
  const Call call{.actor = "service:serving", .tenant = "penstock", .project = ""};
  const auto declared = db_.read(call, [](sql::Tx& tx) -> Result<std::vector<resources::Resource>> {
    std::vector<resources::Resource> out;
    for (const std::string& project : TRY(store::projects(tx))) {
      auto streams = TRY(resources::list(tx, project, "stream"));
      std::move(streams.begin(), streams.end(), std::back_inserter(out));
    }
    return out;
  });
  if (!declared) return declared.error();
  std::map<std::string, std::shared_ptr<StreamScorer>> scorers;
  for (const resources::Resource& stream : *declared)
    scorers[route_key(stream.project, stream.name)] = std::make_shared<StreamScorer>(
        gateway_, log_, stream.project, TRY(decode<StreamDeclaration>(stream.declaration)));
  const std::lock_guard lock(turn_);
  scorers_ = std::move(scorers);
  table_read_ = table;
  return {};
}

Result<std::map<std::string, std::shared_ptr<StreamScorer>>> Streams::current() {
  const auto stale = [&] {
    const std::lock_guard lock(turn_);
    return table_read_ != gateway_.table_number();
  };
  if (stale()) TRY(reload());
  const std::lock_guard lock(turn_);
  return scorers_;
}

Result<bool> Streams::step() {
  bool worked = false;
  std::optional<Error> fault;
  const auto scorers = TRY(current());
  for (const auto& [name, scorer] : scorers) {
    const auto moved = scorer->run_once();
    if (moved)
      worked = worked || *moved > 0;
    else
      fault = Error{moved.error().code, "stream " + name + ": " + moved.error().message};
  }
  if (fault && !worked) return *fault;
  return worked;
}

Result<StreamView> Streams::view(const Call& call, const std::string& name) {
  const auto scorers = TRY(current());
  if (const auto found = scorers.find(route_key(call.project, name)); found != scorers.end())
    return found->second->view();
  return Error{Code::not_found,
               "there is no stream " + name +
                   " in a project with a route in service; apply one of kind: stream"};
}

}  // namespace penstock::serving
