#include "serving/admission.h"

#include <algorithm>
#include <map>

#include "graphs/plan.h"

namespace penstock::serving {
namespace {

void tighten(std::optional<std::int64_t>& bound, const std::optional<std::int64_t>& limit) {
  if (limit) bound = std::min(bound.value_or(*limit), *limit);
}

traffic::Ask ask_of(const Wish& wish) {
  return {.project = wish.route.project,
          .route = wish.route.declaration.name,
          .tenant = wish.call.tenant,
          .user = wish.user,
          .priority = wish.priority,
          .tokens = wish.prompt_tokens + wish.output_tokens};
}

traffic::QueueLimits queue_of(const std::optional<QueueOptions>& options) {
  const QueueOptions known = options.value_or(QueueOptions{});
  return {known.max_concurrency, known.max_waiting, known.max_wait};
}

std::int64_t tokens_of(const InferenceEvent& event) {
  if (!event.generation) return 0;
  const Generation& used = *event.generation;
  return used.prompt_tokens.value_or(0) + used.cached_prompt_tokens.value_or(0) +
         used.cache_write_tokens.value_or(0) + used.output_tokens.value_or(0) +
         used.reasoning_tokens.value_or(0);
}

constexpr const char* wait_metric = "penstock_queue_wait_seconds";
constexpr const char* wait_doc = "Seconds that calls waited for a place to run.";

// What the graph of a version asks for, each of its nodes once, and what graphs before it asked
// for.
struct GraphCalls {
  std::int64_t retrieval = 0, reranker = 0;
};
GraphCalls calls_of(const Wish& wish, const Deployment& deployment) {
  GraphCalls out{wish.retrieval_calls, wish.reranker_calls};
  if (!deployment.graph) return out;
  for (const graphs::Node& node : deployment.graph->declared().nodes) {
    out.retrieval += node.kind == graphs::NodeKind::retrieve;
    out.reranker += node.kind == graphs::NodeKind::rerank;
  }
  return out;
}

void add_part(std::vector<costs::Part>& parts, std::string_view model, Money amount) {
  for (costs::Part& part : parts)
    if (part.model == model) {
      part.amount = part.amount + amount;
      return;
    }
  parts.push_back({std::string(model), amount});
}

Metrics::Labels labels_of(const LiveRoute& route) {
  return {{"project", route.project}, {"route", route.declaration.name}};
}

const LiveTarget* target_of(const LiveRoute& route, std::int64_t version) {
  for (const LiveTarget& target : route.targets)
    if (target.arm != Arm::shadow && target.deployment->version == version) return &target;
  return nullptr;
}

double share_of(const std::optional<RetryOptions>& options, double RetryOptions::*member) {
  return options.value_or(RetryOptions{}).*member;
}

}  // namespace

traffic::RouteLimits limits_of(const std::vector<RateLimit>& limits) {
  traffic::RouteLimits out;
  for (const RateLimit& limit : limits) {
    traffic::Bound& bound = limit.per == LimitScope::route    ? out.route
                            : limit.per == LimitScope::tenant ? out.tenant
                                                              : out.user;
    tighten(bound.requests_per_minute, limit.requests_per_minute);
    tighten(bound.tokens_per_minute, limit.tokens_per_minute);
    tighten(bound.concurrent, limit.concurrent);
  }
  return out;
}

Admitted::~Admitted() {
  // No tokens were used by a call that never said so.
  if (admission_) permit_.settle(0, Timestamp{});
}

void Admitted::settle(std::span<const InferenceEvent> events, Timestamp now) {
  const Admission* admission = std::exchange(admission_, nullptr);
  if (!admission) return;
  std::int64_t tokens = 0;
  std::vector<costs::Part> parts;
  std::string last;
  const auto prices = reservation_.prices();
  for (const InferenceEvent& event : events) {
    tokens += tokens_of(event);
    if (prices) admission->add_costs(event, *prices, parts, last);
  }
  permit_.settle(tokens, now);
  permit_ = {};
  place_.leave(now);
  reservation_.settle(std::move(parts), last, now);
}

bool Admitted::may_repeat(Timestamp now) { return reservation_.extend(once_, now); }

void Admitted::leave(std::span<const InferenceEvent> used, Timestamp now) {
  if (!admission_) return;
  permit_.settle(0, now);
  permit_ = {};
  place_.leave(now);
  const auto prices = reservation_.prices();
  if (!prices) return;
  std::vector<costs::Part> parts;
  std::string last;
  for (const InferenceEvent& event : used) admission_->add_costs(event, *prices, parts, last);
  reservation_.keep(std::move(parts));
}

Admission::RouteState::RouteState(const LiveRoute& route, Metrics& metrics)
    : queue(queue_of(route.declaration.queue)),
      retries(share_of(route.declaration.retries, &RetryOptions::retry_share)),
      hedges(share_of(route.declaration.retries, &RetryOptions::hedge_share)),
      waited(metrics.histogram(wait_metric, wait_doc, labels_of(route))),
      running(metrics.gauge("penstock_queue_running", "Calls that run in a route's places.",
                            labels_of(route))),
      waiting(metrics.gauge("penstock_queue_waiting", "Calls that wait for a place to run.",
                            labels_of(route))) {}

Admission::RouteState& Admission::state_of(const LiveRoute& route) {
  const std::string key = route_key(route.project, route.declaration.name);
  {
    const std::shared_lock lock(turn_);
    if (const auto found = states_.find(key); found != states_.end()) return *found->second;
  }
  const std::unique_lock lock(turn_);
  auto& state = states_[key];
  if (!state) state = std::make_unique<RouteState>(route, metrics_);
  return *state;
}

traffic::RetryBudget& Admission::retries(const LiveRoute& route) {
  traffic::RetryBudget& budget = state_of(route).retries;
  budget.set_share(share_of(route.declaration.retries, &RetryOptions::retry_share));
  return budget;
}

traffic::RetryBudget& Admission::hedges(const LiveRoute& route) {
  traffic::RetryBudget& budget = state_of(route).hedges;
  budget.set_share(share_of(route.declaration.retries, &RetryOptions::hedge_share));
  return budget;
}

void Admission::counts(const LiveRoute& route) {
  RouteState& state = state_of(route);
  const auto& declared = route.declaration.retries;
  state.retries.set_share(share_of(declared, &RetryOptions::retry_share));
  state.hedges.set_share(share_of(declared, &RetryOptions::hedge_share));
  state.retries.call();
  state.hedges.call();
}

traffic::Refusal Admission::counted(const std::string& project, const std::string& route,
                                    traffic::Refusal refusal) {
  metrics_
      .counter("penstock_refused_total", "Calls that were not let in.",
               {{"project", project},
                {"route", route},
                {"reason", std::string(name_of(refusal.reason))}})
      .add();
  return refusal;
}

void Admission::add_costs(const InferenceEvent& event, const costs::PriceBook& prices,
                          std::vector<costs::Part>& parts, std::string& last) const {
  // What no price covers costs nothing in the ledger either, and is an incident there.
  for (const costs::Metered& used : metered_(event)) {
    last = used.line.empty() ? event.id : used.line;
    if (const auto price = prices.cost(used, {event.tenant, event.event_time}))
      add_part(parts, used.model, *price);
  }
}

// Each token at the dearest that it may turn out to be. None where no price covers the call.
std::optional<Money> Admission::worst_of(const Wish& wish, const Deployment& deployment,
                                         const costs::PriceBook& prices, Timestamp now) {
  using costs::Meter;
  const costs::PriceBook::Payer payer{wish.call.tenant, wish.at};
  costs::Metered used{.model = deployment.model};
  if (deployment.remote) used.upstream_model = deployment.remote->model.model;
  const auto dearest = [&](std::int64_t quantity,
                           std::initializer_list<Meter> meters) -> std::optional<Money> {
    std::optional<Money> most;
    used.quantity = quantity;
    for (const Meter meter : meters) {
      used.meter = meter;
      used.call_tokens = costs::is_tokens(meter) ? wish.prompt_tokens : 0;
      if (const auto price = prices.most(used, payer))
        most = std::max(most.value_or(*price), *price);
    }
    return most;
  };
  const auto time = std::clamp<Micros>(wish.deadline - now, Micros(0), runtime_max).count();
  const bool remote = deployment.remote != nullptr;
  const auto requests = dearest(wish.rows, {Meter::requests});
  const auto compute = dearest(time, {Meter::compute_microseconds});
  const double gpus = remote ? deployment.remote->model.gpus : 0;
  const auto gpu = dearest(static_cast<std::int64_t>(static_cast<double>(time) * gpus),
                           {Meter::gpu_microseconds});
  const GraphCalls graph = calls_of(wish, deployment);
  const auto retrieval = dearest(graph.retrieval, {Meter::retrieval_calls});
  const auto reranker = dearest(graph.reranker, {Meter::reranker_calls});
  Money worst = retrieval.value_or(Money{}) + reranker.value_or(Money{}) +
                requests.value_or(Money{}) + (remote ? Money{} : compute.value_or(Money{})) +
                (gpus > 0 ? gpu.value_or(Money{}) : Money{});
  if (wish.prompt_tokens + wish.output_tokens == 0)
    return requests || compute || gpu ? std::optional(worst) : std::nullopt;
  const auto prompt = dearest(wish.prompt_tokens, {Meter::prompt_tokens, Meter::cache_write_tokens,
                                                   Meter::cached_prompt_tokens});
  const auto output = dearest(wish.output_tokens, {Meter::output_tokens, Meter::reasoning_tokens});
  if (!prompt || (!output && wish.output_tokens > 0)) return std::nullopt;
  return worst + *prompt + output.value_or(Money{});
}

Admission::Refused Admission::limit(const Wish& wish, Grant& grant, Timestamp now) {
  const auto& declared = wish.route.declaration.limits;
  if (declared.empty()) return {};
  const traffic::RouteLimits limits = limits_of(declared);
  auto result = limiter_.admit(ask_of(wish), limits, now);
  if (auto* refusal = std::get_if<traffic::Refusal>(&result)) return std::move(*refusal);
  grant.held.permit_ = std::move(std::get<traffic::Permit>(result));
  grant.must_be_bounded = limits.route.tokens_per_minute || limits.tenant.tokens_per_minute ||
                          limits.user.tokens_per_minute;
  return {};
}

Admission::Refused Admission::budget(const Wish& wish, Grant& grant, Timestamp now) {
  if (!guard_.any(wish.route.project)) return {};
  const Deployment* deployment = &wish.deployment;
  const auto prices = guard_.prices(wish.route.project);
  for (const bool downgraded : {false, true}) {
    std::vector<costs::Part> others;
    if (prices) others = asides_of(wish, *deployment, *prices, now);
    const auto worst = prices ? worst_of(wish, *deployment, *prices, now) : std::nullopt;
    auto reservation = guard_.reserve({.project = wish.route.project,
                                       .id = wish.id,
                                       .tenant = wish.call.tenant,
                                       .route = wish.route.declaration.name,
                                       .model = deployment->model,
                                       .version = deployment->version,
                                       .worst = worst,
                                       .at = wish.at,
                                       .deadline = wish.deadline,
                                       .others = others},
                                      now, downgraded);
    if (reservation.decision == costs::Decision::allow) {
      grant.must_be_bounded = grant.must_be_bounded || reservation.hard;
      if (reservation.hard) {
        grant.held.judges_ = judges_of(wish, now);
        grant.held.once_ = {deployment->model, worst.value_or(Money{})};
      }
      grant.held.reservation_ = std::move(reservation);
      return {};
    }
    if (reservation.decision != costs::Decision::downgrade)
      return traffic::Refusal{.reason = traffic::Reason::budget,
                              .retry_after = reservation.retry_after,
                              .what = std::move(reservation.message)};
    grant.instead = target_of(wish.route, reservation.version);
    if (!grant.instead)
      return traffic::Refusal{.reason = traffic::Reason::budget,
                              .what = "budget " + reservation.budget + " sends calls to version " +
                                      std::to_string(reservation.version) +
                                      ", which does not answer on route " +
                                      wish.route.declaration.name};
    deployment = grant.instead->deployment.get();
  }
  return {};
}

std::variant<Grant, traffic::Refusal, Turn> Admission::admit(const Wish& wish, Timestamp now) {
  const std::string& project = wish.route.project;
  const std::string& route = wish.route.declaration.name;
  Grant grant;
  grant.held.admission_ = this;
  if (auto refused = limit(wish, grant, now)) return counted(project, route, std::move(*refused));
  if (auto refused = budget(wish, grant, now)) return counted(project, route, std::move(*refused));
  if (!wish.route.declaration.queue) return grant;
  traffic::Queue& queue = state_of(wish.route).queue;
  queue.set_limits(queue_of(wish.route.declaration.queue));
  const auto news = std::make_shared<Turn::News>();
  auto entered = queue.enter(ask_of(wish), wish.deadline, now, [news](auto result) {
    const std::lock_guard lock(news->turn);
    news->result = std::move(result);
    if (const auto wake = std::exchange(news->wake, nullptr)) wake();
  });
  if (auto* refusal = std::get_if<traffic::Refusal>(&entered))
    return counted(project, route, std::move(*refusal));
  if (auto* place = std::get_if<traffic::Place>(&entered)) {
    grant.held.place_ = std::move(*place);
    return grant;
  }
  Turn turn;
  turn.admission_ = this;
  turn.project_ = project;
  turn.route_ = route;
  turn.grant_ = std::move(grant);
  turn.news_ = news;
  turn.waiting_ = std::move(std::get<traffic::Waiting>(entered));
  turn.since_ = now;
  return turn;
}

Turn::~Turn() {
  if (!news_) return;
  waiting_.cancel();
  std::optional<std::variant<traffic::Place, traffic::Refusal>> unused;
  const std::lock_guard lock(news_->turn);
  news_->wake = nullptr;
  unused.swap(news_->result);
}

void Turn::on(std::function<void()> wake) {
  const std::lock_guard lock(news_->turn);
  if (news_->result)
    wake();
  else
    news_->wake = std::move(wake);
}

std::optional<std::variant<Grant, traffic::Refusal>> Turn::take(Timestamp now) {
  std::optional<std::variant<traffic::Place, traffic::Refusal>> result;
  const bool in_vain = now >= until() && waiting_.cancel();
  if (in_vain) {
    result = waiting_.expired();
  } else {
    const std::lock_guard lock(news_->turn);
    result.swap(news_->result);
  }
  if (!result) return {};
  grant_.waited = std::max(now - since_, Micros(0));
  admission_->waited(project_, route_).observe(static_cast<double>(grant_.waited.count()) * 1e-6);
  if (auto* refusal = std::get_if<traffic::Refusal>(&*result))
    return admission_->counted(project_, route_, std::move(*refusal));
  grant_.held.place_ = std::move(std::get<traffic::Place>(*result));
  return std::move(grant_);
}

Histogram& Admission::waited(const std::string& project, const std::string& route) const {
  return metrics_.histogram(wait_metric, wait_doc, {{"project", project}, {"route", route}});
}

Result<Grant> Admission::enter(const Wish& wish, const Clock& clock) {
  const std::string& project = wish.route.project;
  const std::string& route = wish.route.declaration.name;
  Timestamp now = clock.now();
  Grant grant;
  grant.held.admission_ = this;
  if (auto refused = limit(wish, grant, now))
    return traffic::error_of(counted(project, route, std::move(*refused)));
  if (auto refused = budget(wish, grant, now))
    return traffic::error_of(counted(project, route, std::move(*refused)));
  if (!wish.route.declaration.queue) return grant;
  RouteState& state = state_of(wish.route);
  state.queue.set_limits(queue_of(wish.route.declaration.queue));
  auto entered = state.queue.enter(ask_of(wish), wish.deadline, now);
  const Timestamp then = clock.now();
  grant.waited = std::max(then - now, Micros(0));
  state.waited.observe(static_cast<double>(grant.waited.count()) * 1e-6);
  if (auto* refusal = std::get_if<traffic::Refusal>(&entered))
    return traffic::error_of(counted(project, route, std::move(*refusal)));
  grant.held.place_ = std::move(std::get<traffic::Place>(entered));
  return grant;
}

void Admission::follow(const RoutingTable& table) {
  std::map<std::string, std::vector<std::string>> groups;
  for (const auto& [key, route] : table.routes)
    for (const LiveTarget& target : route->targets)
      if (target.arm != Arm::shadow && target.deployment->remote &&
          target.deployment->remote->endpoint)
        groups[key].push_back(target.deployment->remote->endpoint->name);
  health_.set_groups(groups);
}

void Admission::measure(Timestamp now) {
  {
    const std::shared_lock lock(turn_);
    for (const auto& [ignored, state] : states_) {
      const auto counts = state->queue.counts();
      state->running.set(static_cast<double>(counts.running));
      state->waiting.set(static_cast<double>(counts.waiting));
    }
  }
  for (const traffic::UpstreamHealth& one : health_.list(now)) {
    const Metrics::Labels labels{{"upstream", one.upstream}};
    metrics_.gauge("penstock_upstream_open", "1 where the breaker is open, 0.5 half open.", labels)
        .set(one.breaker == traffic::BreakerState::open        ? 1
             : one.breaker == traffic::BreakerState::half_open ? 0.5
                                                               : 0);
    metrics_.gauge("penstock_upstream_ejected", "Groups in which the upstream sits out.", labels)
        .set(static_cast<double>(one.ejected_from.size()));
  }
  const auto whole = [](Money money) {
    return static_cast<double>(money.units) / static_cast<double>(Money::per_whole);
  };
  for (const std::string& project : guard_.projects())
    for (const costs::BudgetStatus& status : guard_.list(project, now)) {
      const Metrics::Labels labels{{"project", project}, {"budget", status.name}};
      metrics_.gauge("penstock_budget_limit", "Of a budget.", labels).set(whole(status.limit));
      metrics_
          .gauge("penstock_budget_spent",
                 "Spent of a budget, also what is on its way to the ledger.", labels)
          .set(whole(status.spent + status.pending));
      metrics_.gauge("penstock_budget_reserved", "The most that calls which run may cost.", labels)
          .set(whole(status.reserved));
    }
}

}  // namespace penstock::serving
