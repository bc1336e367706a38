#include "serving/reports.h"

#include <algorithm>

#include "base/log.h"
#include "serving/event_codec.h"
#include "serving/gateway.h"
#include "serving/text.h"

namespace penstock::serving {
namespace {

constexpr std::string_view group = "penstock.reports";
constexpr std::size_t batch = 2'000;

std::string shadow_key(std::string_view key) { return "shadow/" + std::string(key); }
std::string experiment_key(std::string_view project, std::string_view id) {
  return "experiment/" + route_key(project, id);
}
std::string reward_key(std::string_view project, std::string_view prediction) {
  return "reward/" + route_key(project, prediction);
}

// Of this version; a new one takes the place of the oldest where there are too many.
template <class T>
T& of_version(std::vector<T>& all, const InferenceEvent& event) {
  for (T& one : all)
    if (one.version == event.version && one.model == event.model) return one;
  if (all.size() >= versions_kept) all.erase(all.begin());
  all.push_back({});
  all.back().model = event.model;
  all.back().version = event.version;
  return all.back();
}

std::int64_t day_at(Timestamp at) {
  return std::chrono::floor<std::chrono::days>(at.time_since_epoch()).count();
}

void count(ArmTally& arm, double reward, std::int64_t times) {
  arm.rewards += times;
  arm.reward_sum += static_cast<double>(times) * reward;
  arm.reward_squares += static_cast<double>(times) * reward * reward;
  if (reward != 0 && reward != 1) arm.between += times;
}

}  // namespace

// What is read and changed of the state in one step.
struct Reports::Turn {
  events::Log& log;
  std::map<std::string, RouteShadows> shadows = {};
  std::map<std::string, ExperimentTally> experiments = {};
  struct Reward {
    double value = 0;
    std::int64_t label = 0;  // offset of the label: the reward is forgotten with it
  };
  std::map<std::string, Reward> rewards = {};
  std::vector<InferenceEvent> mirrored = {};

  template <class T>
  Result<T*> of(std::map<std::string, T>& known, const std::string& key) {
    if (const auto found = known.find(key); found != known.end()) return &found->second;
    T out;
    if (const auto text = TRY(log.state(group, key))) out = TRY(read_json<T>(*text));
    return &(known[key] = std::move(out));
  }
  Result<void> commit(std::string_view topic, std::int64_t from, std::int64_t next) {
    events::Step step{.group = std::string(group),
                      .topic = std::string(topic),
                      .next_offset = next,
                      .bound_to = std::string(label_topic)};
    for (const auto& [key, state] : shadows) step.state.put(key, json_text(state));
    for (const auto& [key, state] : experiments) step.state.put(key, json_text(state));
    for (const auto& [key, reward] : rewards) {
      std::string text = std::to_string(reward.label) + " ";
      write_number(text, reward.value);
      step.state.put(key, text);
    }
    TRY(log.commit(step, from, kv::Durability::process));
    return {};
  }
};

Result<void> Reports::add_call(Turn& turn, const InferenceEvent& event) {
  if (event.mode == Mode::shadow) {
    RouteShadows& route =
        *TRY(turn.of(turn.shadows, shadow_key(route_key(event.project, event.route))));
    ShadowTally& shadow = of_version(route.versions, event);
    if (shadow.calls == 0) shadow.first = event.at;
    ++shadow.calls;
    shadow.last = std::max(shadow.last, event.at);
    if (!event.error.empty()) ++shadow.errors;
    for (const auto& [what, difference] : event.comparison)
      if (shadow.differences.contains(what) || shadow.differences.size() < 16)
        shadow.differences[what].add(difference);
    const std::int64_t day = day_at(event.at);
    if (day > route.day) {
      route.day = day;
      route.spent = {};
    }
    if (const auto cost = mirrors_.cost_of(event); cost && day == route.day)
      route.spent = route.spent + *cost;
    turn.mirrored.push_back(event);
    return {};
  }
  if (event.experiment.empty() || event.mode == Mode::batch) return {};
  ExperimentTally& tally =
      *TRY(turn.of(turn.experiments, experiment_key(event.project, event.experiment)));
  tally.route = event.route;
  ArmTally& arm = of_version(tally.arms, event);
  ++arm.calls;
  if (!event.error.empty()) ++arm.errors;
  return {};
}

Result<void> Reports::add_label(Turn& turn, const Label& label, std::int64_t offset) {
  const auto event = TRY(recorded(log_, gateway_group, label.project, label.prediction));
  if (!event || event->experiment.empty() || !std::isfinite(label.value)) return {};
  ExperimentTally& tally =
      *TRY(turn.of(turn.experiments, experiment_key(event->project, event->experiment)));
  ArmTally& arm = of_version(tally.arms, *event);
  const std::string key = reward_key(label.project, label.prediction);
  // The last label is the reward: another one before it is taken back.
  std::optional<double> before;
  if (const auto found = turn.rewards.find(key); found != turn.rewards.end())
    before = found->second.value;
  else if (const auto text = TRY(log_.state(group, key)))
    before = std::strtod(text->c_str() + (text->find(' ') + 1), nullptr);
  if (before) count(arm, *before, -1);
  count(arm, label.value, 1);
  turn.rewards[key] = {label.value, offset};
  return {};
}

Result<std::int64_t> Reports::position(std::string_view topic) const {
  return log_.position(group, topic);
}

Result<std::size_t> Reports::read_calls() {
  const std::int64_t from = TRY(log_.position(group, inference_topic));
  const auto stretch = TRY(events_.read(from));
  if (stretch.next == from) return 0;
  Turn turn{log_};
  for (const InferenceEvent* const event : stretch.events) TRY(add_call(turn, *event));
  TRY(turn.commit(inference_topic, from, stretch.next));
  // After the commit: who asks in between for what was spent counts a call twice, never none.
  for (const InferenceEvent& event : turn.mirrored) mirrors_.remember(event);
  return std::max<std::size_t>(stretch.events.size(), 1);
}

Result<std::size_t> Reports::read_labels() {
  const std::int64_t from = TRY(log_.position(group, label_topic));
  const auto records = TRY(log_.read(label_topic, from, batch));
  if (records.empty()) return 0;
  Turn turn{log_};
  for (const events::Record& record : records) {
    const auto label = read_json<Label>(record.value);
    if (label) {
      TRY(add_label(turn, *label, record.offset));
      continue;
    }
    ++lost_;
    log::error("label_unreadable", {{"offset", record.offset}, {"error", label.error().message}});
  }
  TRY(turn.commit(label_topic, from, records.back().offset + 1));
  return records.size();
}

Result<std::size_t> Reports::run_once() {
  const std::size_t calls = TRY(read_calls());
  const std::size_t labels = TRY(read_labels());
  return calls + labels;
}

namespace {

ShadowView view_of(const ShadowTally& tally) {
  ShadowView view{.model = tally.model,
                  .version = tally.version,
                  .calls = tally.calls,
                  .errors = tally.errors,
                  .first = tally.first,
                  .last = tally.last};
  for (const auto& [what, spread] : tally.differences) {
    if (what == "agreement") {
      view.agreement = spread.mean();
      continue;
    }
    view.differences.push_back({.what = what,
                                .count = spread.count,
                                .mean = spread.mean(),
                                .p05 = spread.quantile(0.05),
                                .p50 = spread.quantile(0.5),
                                .p95 = spread.quantile(0.95)});
  }
  return view;
}

}  // namespace

Result<ShadowReport> Reports::shadows(const Call& call, const std::string& name) {
  const auto table = table_.get();
  const std::string key = route_key(call.project, name);
  const auto route = table->routes.find(key);
  if (route == table->routes.end())
    return Error{Code::not_found,
                 "there is no route " + name + " in service; see GET /api/v1/routes"};
  ShadowReport out{.route = name,
                   .spent_today = mirrors_.spent_today(key),
                   .max_cost_per_day = route->second->declaration.shadow.max_cost_per_day};
  RouteShadows kept;
  if (const auto text = TRY(log_.state(group, shadow_key(key))))
    kept = TRY(read_json<RouteShadows>(*text));
  for (const LiveTarget& target : route->second->targets) {
    const auto is = [&](const ShadowTally& one) {
      return one.version == target.deployment->version && one.model == target.deployment->model;
    };
    if (target.arm == Arm::shadow && std::none_of(kept.versions.begin(), kept.versions.end(), is))
      kept.versions.push_back(
          {.model = target.deployment->model, .version = target.deployment->version});
  }
  for (const ShadowTally& tally : kept.versions) {
    ShadowView view = view_of(tally);
    for (const LiveTarget& target : route->second->targets) {
      if (target.deployment->version != tally.version || target.deployment->model != tally.model)
        continue;
      view.running = target.arm == Arm::shadow;
      view.mirrored = target.counters->mirrored;
      view.not_mirrored = target.counters->not_mirrored;
      view.capped = target.counters->capped;
      view.withheld = target.counters->withheld;
    }
    out.shadows.push_back(std::move(view));
  }
  return out;
}

Result<std::optional<ExperimentTally>> Reports::experiment(const std::string& project,
                                                           const std::string& id) {
  const auto text = TRY(log_.state(group, experiment_key(project, id)));
  if (!text) return std::optional<ExperimentTally>();
  return std::optional(TRY(read_json<ExperimentTally>(*text)));
}

Money Reports::spent(const std::string& key, std::int64_t day) {
  const auto text = log_.state(group, shadow_key(key));
  if (!text || !*text) return {};
  const auto kept = read_json<RouteShadows>(**text);
  return kept && kept->day == day ? kept->spent : Money{};
}

}  // namespace penstock::serving
