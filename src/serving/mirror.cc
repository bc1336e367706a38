#include "serving/mirror.h"

#include "serving/classes.h"
#include "serving/decide.h"

namespace penstock::serving {
namespace {

constexpr std::size_t capped_max = 1'000;

std::int64_t day_at(Timestamp at) {
  return std::chrono::floor<std::chrono::days>(at.time_since_epoch()).count();
}

}  // namespace

// What a route's shadows cost on one day. Outlives its Mirrors where a mirrored call does.
struct ShadowDay {
  std::mutex turn;
  std::int64_t day = -1;
  Money spent, reserved;
  bool told = false;  // that the cap was reached
};

class ShadowSpending {
 public:
  ShadowSpending(std::shared_ptr<ShadowDay> of, std::int64_t day, Money reserved)
      : of_(std::move(of)), day_(day), reserved_(reserved) {}
  ~ShadowSpending() { settle({}); }
  ShadowSpending(const ShadowSpending&) = delete;
  ShadowSpending& operator=(const ShadowSpending&) = delete;

  // In the place of what was reserved; the first time counts.
  void settle(Money actual) {
    if (!of_) return;
    const std::lock_guard lock(of_->turn);
    if (of_->day == day_) {
      of_->reserved = of_->reserved - reserved_;
      of_->spent = of_->spent + actual;
    }
    settled_ = std::exchange(of_, nullptr);  // unlocks before it may go
  }

 private:
  std::shared_ptr<ShadowDay> of_, settled_;
  std::int64_t day_;
  Money reserved_;
};

std::map<std::string, double> compare(const InferenceEvent& shadow, const InferenceEvent& live) {
  std::map<std::string, double> out;
  if (!shadow.error.empty() || !live.error.empty()) return out;
  if (shadow.decision && live.decision)
    out["agreement"] = *shadow.decision == *live.decision ? 1 : 0;
  if (shadow.score && live.score) out["score_difference"] = *shadow.score - *live.score;
  out["latency_difference_micros"] = static_cast<double>(shadow.total_micros - live.total_micros);
  return out;
}

std::optional<Money> Mirrors::cost_of(const InferenceEvent& event) const {
  return price_ ? price_(event) : std::nullopt;
}

// What the live call cost, had the shadow made it; of a language model, the most that it may use.
std::optional<Money> Mirrors::worst_of(const LiveTarget& target,
                                       const std::vector<InferenceEvent>& live,
                                       const std::optional<Generation>& worst) const {
  Money all;
  for (InferenceEvent event : live) {
    event.mode = Mode::shadow;
    event.arm = Arm::shadow;
    event.model = target.deployment->model;
    event.version = target.deployment->version;
    event.runtime = target.deployment->runtime_name;
    if (worst) event.generation = worst;
    // Prices may go by the upstream's name for the model.
    const auto& remote = target.deployment->remote;
    event.upstream = remote && remote->endpoint ? remote->endpoint->name : "";
    if (event.generation) event.generation->upstream_model = remote ? remote->model.model : "";
    const auto one = most_ ? most_(event) : std::nullopt;
    if (!one) return std::nullopt;
    all = all + *one;
  }
  return all;
}

std::shared_ptr<ShadowDay> Mirrors::day_of(const LiveRoute& route) {
  const std::string key = route_key(route.project, route.declaration.name);
  std::shared_ptr<ShadowDay> day;
  {
    const std::lock_guard lock(turn_);
    auto& known = days_[key];
    if (!known) known = std::make_shared<ShadowDay>();
    day = known;
  }
  const std::int64_t today = day_at(clock_.now());
  const std::lock_guard lock(day->turn);
  if (day->day == today) return day;
  // The first time in this process; afterwards a day begins with nothing spent.
  const bool first = day->day < 0;
  day->day = today;
  day->spent = first && before_ ? before_(key, today) : Money{};
  day->reserved = {};
  day->told = false;
  return day;
}

void Mirrors::capped(const LiveRoute& route, ShadowDay& day, bool unpriced) {
  Capped one{.project = route.project,
             .route = route.declaration.name,
             .owner = route.declaration.owner,
             .cap = *route.declaration.shadow.max_cost_per_day,
             .unpriced = unpriced};
  {
    const std::lock_guard lock(day.turn);
    if (std::exchange(day.told, true)) return;
    one.day = day.day;
    one.spent = day.spent;
  }
  const std::lock_guard lock(turn_);
  if (capped_.size() < capped_max) capped_.push_back(std::move(one));
}

std::shared_ptr<ShadowSpending> Mirrors::reserve(const LiveRoute& route, Money worst) {
  const auto day = day_of(route);
  {
    const std::lock_guard lock(day->turn);
    if (day->spent + day->reserved + worst <= *route.declaration.shadow.max_cost_per_day) {
      day->reserved = day->reserved + worst;
      return std::make_shared<ShadowSpending>(day, day->day, worst);
    }
  }
  capped(route, *day, false);
  return nullptr;
}

std::vector<Mirrored> Mirrors::pick(const std::shared_ptr<const LiveRoute>& route,
                                    const std::vector<InferenceEvent>& live, bool own_input,
                                    const std::optional<Generation>& worst) {
  std::vector<Mirrored> out;
  const ShadowLimits& limits = route->declaration.shadow;
  for (const LiveTarget& target : route->targets) {
    if (target.arm != Arm::shadow || live.empty()) continue;
    if (hash_share(live.front().id, target.seed) >= limits.sample) continue;
    Counters& counters = *target.counters;
    if (own_input && limits.max_class && route->declaration.input_class > *limits.max_class) {
      ++counters.withheld;
      continue;
    }
    std::atomic<std::int64_t>& running = *route->mirrors_running;
    if (running.fetch_add(1) >= limits.max_concurrency) {
      running.fetch_sub(1);
      ++counters.not_mirrored;
      continue;
    }
    Mirrored one{.route = route, .target = &target};
    one.place = std::shared_ptr<void>(
        nullptr, [counted = route->mirrors_running](void*) { counted->fetch_sub(1); });
    if (limits.max_cost_per_day) {
      const auto cost = worst_of(target, live, worst);
      if (cost)
        one.spending = reserve(*route, *cost);
      else
        capped(*route, *day_of(*route), true);
      if (!one.spending) {
        ++counters.capped;
        continue;
      }
    }
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<InferenceEvent> Mirrors::prepare(const Mirrored& mirrored,
                                             const std::vector<InferenceEvent>& live) {
  const LiveTarget& target = *mirrored.target;
  const LiveRoute& route = *mirrored.route;
  const ShadowLimits& limits = route.declaration.shadow;
  const std::string suffix = std::string(shadow_mark) + std::to_string(target.deployment->version);
  static const Classes unknown;
  std::vector<InferenceEvent> out = live;
  for (InferenceEvent& event : out) {
    event.shadow_of = event.id;
    event.id += suffix;
    event.mode = Mode::shadow;
    event.arm = Arm::shadow;
    event.version = target.deployment->version;
    event.model = target.deployment->model;
    event.runtime = target.deployment->runtime_name;
    event.release = target.release;
    event.assignment_probability = limits.sample;
    event.score.reset();
    event.decision.reset();
    event.generation.reset();
    event.gpu_micros.reset();
    event.feature_micros = event.model_micros = event.queue_micros = event.upstream_micros = 0;
    event.attempts = event.retrieval_calls = event.reranker_calls = event.response_bytes = 0;
    event.from_cache = false;
    event.upstream.clear();
    event.guardrails.clear();
    event.nodes.clear();
    event.experiment.clear();
    event.payload.clear();
    event.error.clear();
    if (limits.max_class)
      redact(route.classes ? *route.classes : unknown, *limits.max_class, event);
  }
  return out;
}

void Mirrors::finish(const Mirrored& mirrored, std::vector<InferenceEvent> shadow,
                     const std::vector<InferenceEvent>& live) {
  Money all;
  for (std::size_t row = 0; row < shadow.size() && row < live.size(); ++row) {
    InferenceEvent& event = shadow[row];
    for (const auto& [what, difference] : compare(event, live[row]))
      event.comparison.emplace(what, difference);
    const auto cost = cost_of(event), live_cost = cost_of(live[row]);
    if (cost) all = all + *cost;
    if (cost && live_cost && event.error.empty())
      event.comparison["cost_difference"] =
          static_cast<double>((*cost - *live_cost).units) / static_cast<double>(Money::per_whole);
  }
  if (mirrored.spending) mirrored.spending->settle(all);
  ++mirrored.target->counters->mirrored;
  emit_(std::move(shadow));
}

void Mirrors::run(const Mirrored& mirrored, const std::vector<infer::Tensor>& tensors,
                  const std::vector<InferenceEvent>& live) {
  const LiveRoute& route = *mirrored.route;
  const ShadowLimits& limits = route.declaration.shadow;
  static const Classes unknown;
  const Timestamp start = clock_.now();
  auto events = prepare(mirrored, live);
  std::optional<std::vector<infer::Tensor>> shown = tensors;
  if (limits.max_class && !tensors.empty())
    shown = redacted(route.classes ? *route.classes : unknown, *limits.max_class, tensors);
  if (!shown) {
    ++mirrored.target->counters->withheld;
    return;
  }
  std::vector<InferenceEvent*> rows;
  for (InferenceEvent& event : events) rows.push_back(&event);
  const auto ran = run_model(clock_, route, *mirrored.target, *shown, rows);
  for (InferenceEvent& event : events) {
    event.at = clock_.now();
    event.total_micros = (event.at - start).count();
    if (!ran) event.error = name_of(ran.error().code);
  }
  finish(mirrored, std::move(events), live);
}

void Mirrors::remember(const InferenceEvent& shadow) {
  if (shadow.mode != Mode::shadow || shadow.at >= began_) return;
  std::shared_ptr<ShadowDay> day;
  {
    const std::lock_guard lock(turn_);
    const auto found = days_.find(route_key(shadow.project, shadow.route));
    if (found == days_.end()) return;  // it will begin with what is read by then
    day = found->second;
  }
  const auto cost = cost_of(shadow);
  const std::lock_guard lock(day->turn);
  if (cost && day->day == day_at(shadow.at)) day->spent = day->spent + *cost;
}

Money Mirrors::spent_today(const std::string& key) {
  std::shared_ptr<ShadowDay> day;
  {
    const std::lock_guard lock(turn_);
    const auto found = days_.find(key);
    if (found == days_.end()) return {};
    day = found->second;
  }
  const std::lock_guard lock(day->turn);
  return day->day == day_at(clock_.now()) ? day->spent + day->reserved : Money{};
}

std::vector<Capped> Mirrors::take_capped() {
  const std::lock_guard lock(turn_);
  return std::exchange(capped_, {});
}

}  // namespace penstock::serving
