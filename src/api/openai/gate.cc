#include "api/openai/gate.h"

namespace penstock::api::openai {
namespace {

struct Held final : Pass {
  explicit Held(serving::Admitted given) : admitted(std::move(given)) {}
  void settle(const serving::InferenceEvent& event, Timestamp now) override {
    admitted.settle({&event, 1}, now);
  }
  void leave(const serving::InferenceEvent& used, Timestamp now) override {
    admitted.leave({&used, 1}, now);
  }
  bool may_repeat(Timestamp now) override { return admitted.may_repeat(now); }
  bool may_judge(const std::string& guardrail, Timestamp now) override {
    return admitted.may_judge(guardrail, now);
  }
  serving::Admitted admitted;
};

// OpenAI's clients try again by status, and tell people by code.
Failure failure_of(const traffic::Refusal& refusal) {
  Error error = traffic::error_of(refusal);
  error.violations.clear();  // their fields would be taken for ones of the body
  Failure out = openai::failure_of(error);
  if (refusal.reason == traffic::Reason::budget) {
    out.code = "insufficient_quota";
    out.type = "insufficient_quota";
  } else {
    out.code = out.status == 429 ? "rate_limit_exceeded" : "overloaded";
  }
  if (refusal.retry_after)
    out.retry_after = std::to_string(traffic::retry_after_seconds(*refusal.retry_after));
  return out;
}

Granted granted(serving::Grant grant) {
  const std::int64_t version = grant.instead ? grant.instead->deployment->version : 0;
  return {.pass = std::make_unique<Held>(std::move(grant.held)),
          .version = version,
          .must_be_bounded = grant.must_be_bounded,
          .waited = grant.waited};
}

struct InQueue final : Queued {
  explicit InQueue(serving::Turn given) : turn(std::move(given)) {}
  Timestamp until() const override { return turn.until(); }
  void on(std::function<void()> wake) override { turn.on(std::move(wake)); }
  std::optional<std::variant<Granted, Failure>> take(Timestamp now) override {
    auto answer = turn.take(now);
    if (!answer) return {};
    if (const auto* refused = std::get_if<traffic::Refusal>(&*answer)) return failure_of(*refused);
    return granted(std::move(std::get<serving::Grant>(*answer)));
  }
  serving::Turn turn;
};

}  // namespace

Admittance Gate::admit(const Wanting& wanting, Timestamp now) {
  auto answer = admission_.admit({.call = wanting.call,
                                  .route = wanting.route,
                                  .deployment = *wanting.target.deployment,
                                  .id = wanting.id,
                                  .user = wanting.user,
                                  .priority = wanting.priority,
                                  .prompt_tokens = wanting.prompt_tokens_max,
                                  .output_tokens = wanting.output_tokens_max,
                                  .retrieval_calls = wanting.retrieval_calls,
                                  .reranker_calls = wanting.reranker_calls,
                                  .asked = wanting.asked,
                                  .judgements = wanting.judgements,
                                  .at = now,
                                  .deadline = wanting.deadline},
                                 now);
  if (const auto* refused = std::get_if<traffic::Refusal>(&answer)) return failure_of(*refused);
  if (auto* turn = std::get_if<serving::Turn>(&answer))
    return std::make_unique<InQueue>(std::move(*turn));
  return granted(std::move(std::get<serving::Grant>(answer)));
}

bool Gate::may_try(const serving::LiveRoute& route, const http::Endpoint& endpoint, Timestamp now) {
  return admission_.health().may_try(endpoint.name, now,
                                     serving::route_key(route.project, route.declaration.name));
}

void Gate::tell(const http::Endpoint& endpoint, traffic::Outcome outcome, Micros took,
                Timestamp now) {
  admission_.health().tell(endpoint.name, outcome, took, now);
}

void Gate::counts(const serving::LiveRoute& route) { admission_.counts(route); }

bool Gate::may_retry(const serving::LiveRoute& route) { return admission_.retries(route).take(); }
bool Gate::may_hedge(const serving::LiveRoute& route) { return admission_.hedges(route).take(); }
void Gate::did_not_hedge(const serving::LiveRoute& route) { admission_.hedges(route).give_back(); }

}  // namespace penstock::api::openai
