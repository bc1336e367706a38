#include "release/controller.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/log.h"
#include "incidents/service.h"
#include "release/guards.h"
#include "release/store.h"
#include "serving/event_codec.h"
#include "serving/gateway.h"

namespace penstock::release {
namespace {

constexpr std::size_t batch = 2'000;
constexpr std::size_t live_micros_max = 2'000;

// Of a stretch of calls under one chance of the canary.
struct Counts {
  std::int64_t canary_calls = 0, canary_bad = 0, baseline_calls = 0, baseline_bad = 0;
};

template <class T>
Result<T> read_record(const events::Record& record) {
  boost::system::error_code fault;
  const json::value value = json::parse(record.value, fault);
  if (fault) return Error{Code::data_loss, fault.message()};
  return decode<T>(value);
}

Call call_of(const Release& release) {
  return {.actor = "service:release",
          .project = release.project,
          .request_id = "release:" + release.id};
}

// What calls and guards allow next, once `safe` says that every required guard is proven.
struct Next {
  State to;
  std::string reason;
};
std::optional<Next> next_of(const Release& release, bool safe) {
  const Plan& plan = release.plan;
  const std::int64_t calls = release.stage_calls;
  if (release.state == State::shadow && calls >= plan.shadow.calls)
    return Next{State::canary, "the shadow answered"};
  if (release.state == State::canary && safe && calls >= plan.stage.calls) {
    const bool last = static_cast<std::size_t>(release.stage) + 1 >= plan.canary.size();
    return Next{last ? State::bake : State::canary, "every required guard is proven safe"};
  }
  if (release.state == State::bake && safe && calls >= plan.bake.calls)
    return Next{State::watch, "promoted: every required guard is proven safe"};
  if (release.state == State::watch && calls >= plan.watch.calls)
    return Next{State::closed, "watched"};
  return {};
}

// The quantile of the live version's times in the shadow stage; 0 where it had no calls.
std::int64_t slow_limit(const Release& release) {
  auto micros = release.live_micros;
  std::sort(micros.begin(), micros.end());
  if (micros.empty()) return release.slow_micros;
  return micros[static_cast<std::size_t>(release.plan.slow_quantile *
                                         static_cast<double>(micros.size() - 1))];
}

}  // namespace

struct Controller::Turn {
  std::map<std::pair<std::string, std::string>, Release> releases;  // by project and id
  // By release, guard and rho.
  std::map<std::string, std::map<std::string, std::map<double, Counts>>> counts;
  bool more = false, moved = false;

  Release* find(const std::string& project, const std::string& id) {
    const auto found = releases.find({project, id});
    return found == releases.end() ? nullptr : &found->second;
  }
  // One call of a release under one of its guards.
  void add(const Release& release, const Guard& guard, const serving::InferenceEvent& event,
           bool bad) {
    const bool canary = event.arm == serving::Arm::canary;
    // Weights are parts of 10,000: 1 - 0.7 and 0.3 are one chance, not two.
    const double share = canary ? event.assignment_probability : 1 - event.assignment_probability;
    const double rho = std::round(share * 10'000) / 10'000;
    // With all calls on one side there is nothing to compare.
    if (!(rho > 0 && rho < 1)) return;
    Counts& count = counts[release.id][guard.name][rho];
    ++(canary ? count.canary_calls : count.baseline_calls);
    if (bad) ++(canary ? count.canary_bad : count.baseline_bad);
  }
};

Result<void> Controller::count_call(sql::Tx& tx, Turn& turn, const serving::InferenceEvent& event) {
  Release* release = turn.find(event.project, event.release);
  if (!release) return {};
  if (event.arm == serving::Arm::shadow) {
    if (release->state == State::shadow) ++release->stage_calls;
    return {};
  }
  if (event.mode != serving::Mode::online && event.mode != serving::Mode::stream) return {};
  if (release->state == State::shadow && event.error.empty() &&
      release->live_micros.size() < live_micros_max)
    release->live_micros.push_back(event.total_micros);
  // A caller who names the version, or whom a rule sends to it, was not drawn: such calls are no
  // sample of all calls, so neither a stage nor its tests count them. Nothing is drawn in the
  // watch.
  const bool drawn = event.assignment_probability < 1;
  const bool canary = release->state == State::canary && event.arm == serving::Arm::canary;
  if (release->state == State::watch || ((canary || release->state == State::bake) && drawn))
    ++release->stage_calls;
  if (release->plan.guards.empty() || !drawn) return {};
  if (!TRY(store::count_unit(tx, *release, "call", event.unit))) return {};
  for (const Guard& guard : release->plan.guards) {
    if (guard.quantity == Quantity::error) turn.add(*release, guard, event, !event.error.empty());
    if (guard.quantity == Quantity::slow && release->slow_micros > 0 && event.error.empty())
      turn.add(*release, guard, event, event.total_micros > release->slow_micros);
  }
  return {};
}

Result<void> Controller::read_calls(sql::Tx& tx, Turn& turn) {
  const std::int64_t from = TRY(store::position(tx, server_, serving::inference_topic));
  // Without an open release there is nothing to count, only to pass.
  if (turn.releases.empty()) {
    const std::int64_t end = TRY(log_.end(serving::inference_topic));
    return end == from ? Result<void>()
                       : store::set_position(tx, server_, serving::inference_topic, end);
  }
  const auto stretch = TRY(events_.read(from));
  if (stretch.next == from) return {};
  for (const auto* const event : stretch.events) TRY(count_call(tx, turn, *event));
  turn.more = turn.more || stretch.more;
  return store::set_position(tx, server_, serving::inference_topic, stretch.next);
}

Result<void> Controller::read_labels(sql::Tx& tx, Turn& turn) {
  const std::int64_t from = TRY(store::position(tx, server_, serving::label_topic));
  const auto records = TRY(log_.read(serving::label_topic, from, batch));
  if (records.empty()) return {};
  if (!turn.releases.empty())
    for (const events::Record& record : records) {
      const auto label = read_record<serving::Label>(record);
      if (!label) continue;
      const auto event =
          TRY(serving::recorded(log_, serving::gateway_group, label->project, label->prediction));
      if (!event || !event->decision) continue;
      Release* release = turn.find(event->project, event->release);
      if (!release || event->arm == serving::Arm::shadow || event->assignment_probability >= 1)
        continue;
      if (!TRY(store::count_unit(tx, *release, "label", event->unit))) continue;
      for (const Guard& guard : release->plan.guards)
        if (guard.quantity == Quantity::wrong)
          turn.add(*release, guard, *event, *event->decision != (label->value >= 0.5));
    }
  turn.more = turn.more || records.size() == batch;
  return store::set_position(tx, server_, serving::label_topic, records.back().offset + 1);
}

Result<void> Controller::look(sql::Tx& tx, Turn& turn, Release& release) {
  const auto counted = turn.counts.find(release.id);
  if (counted == turn.counts.end()) return {};
  const Call call = call_of(release);
  for (GuardState& kept : TRY(store::guards(tx, release.project, release.id))) {
    const auto by_rho = counted->second.find(kept.guard);
    if (by_rho == counted->second.end()) continue;
    const auto state = rate_state_from(kept.state);
    if (!state)
      return Error{Code::data_loss, "the state of guard " + kept.guard + " cannot be read"};
    RateTest test(*state);
    for (const auto& [rho, counts] : by_rho->second) {
      const Verdict verdict = test.add({.rho = rho,
                                        .canary_calls = counts.canary_calls,
                                        .baseline_calls = counts.baseline_calls,
                                        .canary_bad = counts.canary_bad,
                                        .baseline_bad = counts.baseline_bad});
      kept.verdict = text_of(verdict);
      TRY(sql::insert(tx, "release_looks",
                      Look{.project = release.project,
                           .release = release.id,
                           .guard = kept.guard,
                           .number = ++kept.looks,
                           .looked_at = clock_.now(),
                           .rho = rho,
                           .canary_calls = counts.canary_calls,
                           .canary_bad = counts.canary_bad,
                           .baseline_calls = counts.baseline_calls,
                           .baseline_bad = counts.baseline_bad,
                           .harm_log_e = test.harm_log_e(),
                           .harm_threshold = log_threshold(test.state().plan.alpha),
                           .safe_log_e = test.safe_log_e(),
                           .safe_threshold = log_threshold(test.state().plan.beta),
                           .verdict = kept.verdict}));
    }
    kept.state = to_text(test.state());
    TRY(store::put_guard(tx, kept));
  }
  return {};
}

Result<void> Controller::decide(sql::Tx& tx, Turn& turn, Release& release) {
  const Call call = call_of(release);
  turn.moved = false;
  bool safe = true;
  for (const GuardState& kept : TRY(store::guards(tx, release.project, release.id))) {
    if (kept.verdict == "harmful") {
      turn.moved = true;
      const auto looks = TRY(store::last_looks(tx, release.project, release.id));
      return service_.roll_back(tx, call, release, "guard \"" + kept.guard + "\" is harmful",
                                {{"guards", encode(looks)}});
    }
    if (kept.verdict == "broken" && !release.paused) {
      release.paused = true;
      TRY(incidents::open(tx, call, clock_.now(),
                          {.dedup_key = "release:" + release.id + ":broken",
                           .title = "Guard \"" + kept.guard + "\" of release " + release.id +
                                    " cannot be trusted: calls do not fall on the canary with the "
                                    "chance that was set; the release waits for a person",
                           .severity = incidents::Severity::critical,
                           .subject = "route:" + release.route}));
    }
    for (const Guard& guard : release.plan.guards)
      if (guard.name == kept.guard && guard.required) safe = safe && kept.verdict == "proven_safe";
  }
  if (release.paused) return {};
  const auto next = next_of(release, safe);
  if (!next) return {};
  // A freeze keeps versions from getting more traffic; what all of it goes to may be closed.
  if (next->to != State::closed && TRY(service_.held(tx, call, release))) return {};
  turn.moved = true;
  if (release.state == State::shadow) release.slow_micros = slow_limit(release);
  if (release.state == State::canary && next->to == State::canary)
    return service_.advance_stage(tx, call, release);
  return service_.move(tx, call, release, next->to, next->reason);
}

Result<void> Controller::begin() {
  for (const std::string_view topic : {serving::inference_topic, serving::label_topic}) {
    const std::int64_t end = TRY(log_.end(topic));
    TRY(db_.write({.actor = "service:release"},
                  [&](sql::Tx& tx) { return store::begin_position(tx, server_, topic, end); }));
  }
  return {};
}

Result<std::int64_t> Controller::position(std::string_view topic) const {
  return db_.read({.actor = "service:release"},
                  [&](sql::Tx& tx) { return store::position(tx, server_, topic); });
}

Result<bool> Controller::advance() {
  const Call call{.actor = "service:release"};
  if (unpublished_) {
    TRY(serving_.swap_table(call));
    unpublished_ = false;
  }
  Turn turn;
  TRY(db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    turn = {};
    for (Release& release : TRY(store::running(tx)))
      turn.releases.emplace(std::pair(release.project, release.id), std::move(release));
    TRY(read_calls(tx, turn));
    TRY(read_labels(tx, turn));
    bool moved = false;
    for (auto& [key, release] : turn.releases) {
      TRY(look(tx, turn, release));
      TRY(decide(tx, turn, release));
      moved = moved || turn.moved;
      TRY(store::put(tx, release));
    }
    turn.moved = moved;
    return {};
  }));
  // Between commit and publish a crash may come: the next start publishes again.
  unpublished_ = turn.moved;
  if (unpublished_) {
    TRY(serving_.swap_table(call));
    unpublished_ = false;
  }
  return turn.more;
}

}  // namespace penstock::release
