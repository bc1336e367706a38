#include "api/openai/gate.h"

#include <algorithm>

namespace penstock::api::openai {
namespace {

// Routes that are told apart; names come from declarations, so there are never so many.
constexpr std::size_t routes_max = 10'000;

struct Permitted final : Pass {
  explicit Permitted(traffic::Permit given) : permit(std::move(given)) {}
  void settle(const serving::InferenceEvent& event, Timestamp now) override {
    std::int64_t tokens = 0;
    if (event.generation)
      tokens =
          event.generation->prompt_tokens.value_or(0) + event.generation->output_tokens.value_or(0);
    permit.settle(tokens, now);
  }
  traffic::Permit permit;
};

void add(std::optional<std::int64_t>& bound, const std::optional<std::int64_t>& limit) {
  if (limit) bound = std::min(bound.value_or(*limit), *limit);
}

}  // namespace

traffic::RouteLimits limits_of(const serving::RouteDeclaration& declared) {
  traffic::RouteLimits out;
  for (const serving::RateLimit& limit : declared.limits) {
    traffic::Bound& bound = limit.per == serving::LimitScope::route    ? out.route
                            : limit.per == serving::LimitScope::tenant ? out.tenant
                                                                       : out.user;
    add(bound.requests_per_minute, limit.requests_per_minute);
    add(bound.tokens_per_minute, limit.tokens_per_minute);
    add(bound.concurrent, limit.concurrent);
  }
  return out;
}

std::variant<Granted, Failure> Gate::admit(const Wanting& wanting, Timestamp now) {
  const serving::RouteDeclaration& declared = wanting.route.declaration;
  if (declared.limits.empty()) return Granted{};
  const traffic::RouteLimits limits = limits_of(declared);
  const traffic::Ask ask{.project = wanting.route.project,
                         .route = declared.name,
                         .tenant = wanting.call.tenant,
                         .user = wanting.user,
                         .priority = wanting.priority,
                         .tokens = wanting.prompt_tokens_max + wanting.output_tokens_max};
  auto answer = limiter_.admit(ask, limits, now);
  if (auto* refused = std::get_if<traffic::Refusal>(&answer)) {
    Failure out = failure_of(traffic::error_of(*refused));
    out.code = "rate_limit_exceeded";
    if (refused->retry_after)
      out.retry_after = std::to_string(traffic::retry_after_seconds(*refused->retry_after));
    return out;
  }
  const bool counts_tokens = limits.route.tokens_per_minute || limits.tenant.tokens_per_minute ||
                             limits.user.tokens_per_minute;
  return Granted{.pass = std::make_unique<Permitted>(std::move(std::get<traffic::Permit>(answer))),
                 .must_be_bounded = counts_tokens};
}

Gate::Budgets& Gate::budgets_of(const serving::LiveRoute& route) {
  const std::string key = serving::route_key(route.project, route.declaration.name);
  const std::lock_guard lock(turn_);
  auto found = budgets_.find(key);
  if (found == budgets_.end() && budgets_.size() >= routes_max) found = budgets_.begin();
  if (found == budgets_.end())
    found = budgets_
                .emplace(key, std::make_unique<Budgets>(
                                  route.declaration.retries.value_or(serving::RetryOptions{})))
                .first;
  return *found->second;
}

void Gate::counts(const serving::LiveRoute& route) {
  Budgets& budgets = budgets_of(route);
  if (const auto& options = route.declaration.retries) {
    budgets.retries.set_share(options->retry_share);
    budgets.hedges.set_share(options->hedge_share);
  }
  budgets.retries.call();
  budgets.hedges.call();
}

bool Gate::may_retry(const serving::LiveRoute& route) { return budgets_of(route).retries.take(); }
bool Gate::may_hedge(const serving::LiveRoute& route) { return budgets_of(route).hedges.take(); }
void Gate::did_not_hedge(const serving::LiveRoute& route) { budgets_of(route).hedges.give_back(); }

}  // namespace penstock::api::openai
