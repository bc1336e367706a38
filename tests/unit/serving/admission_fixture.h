// Calls on a route that are admitted by limits, budgets and queues, with a ledger behind.
#pragma once

#include <gtest/gtest.h>

#include <atomic>

#include "costs/service.h"
#include "guardrails/chain.h"
#include "serving/admission.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {

// As monitor/metering.h has it, in short.
inline std::vector<costs::Usage> usages_of(const InferenceEvent& event) {
  std::vector<costs::Usage> usages;
  costs::Usage usage{.source = "inference",
                     .id = event.id,
                     .quantity = 1,
                     .at = event.event_time,
                     .tenant = event.tenant,
                     .route = event.route,
                     .model = event.model,
                     .version = event.version};
  if (event.error.empty()) usages.push_back(usage);
  for (const NodeUse& node : event.nodes) {
    costs::Usage& judged = usages.emplace_back(usage);
    judged.source = "inference.node";
    judged.id += "#" + node.name;
    judged.model = node.model;
    judged.quantity = node.calls;
  }
  if (!event.generation) return usages;
  usage.meter = costs::Meter::prompt_tokens;
  usage.quantity = event.generation->prompt_tokens.value_or(0);
  usages.push_back(usage);
  usage.meter = costs::Meter::output_tokens;
  usage.quantity = event.generation->output_tokens.value_or(0);
  usages.push_back(usage);
  return usages;
}

inline std::vector<costs::Metered> metered_of(const InferenceEvent& event) {
  std::vector<costs::Metered> out;
  const std::int64_t prompt = event.generation ? event.generation->prompt_tokens.value_or(0) : 0;
  for (const costs::Usage& usage : usages_of(event)) {
    costs::Metered& one = out.emplace_back();
    one.meter = usage.meter;
    one.quantity = usage.quantity;
    one.model = event.model;
    if (costs::is_tokens(usage.meter)) one.call_tokens = prompt;
    if (usage.id != event.id) one.line = usage.id;
    for (const NodeUse& node : event.nodes)
      if (usage.model == node.model) one.model = node.model;
  }
  return out;
}

// Finds nothing, but in texts with "vile" in them.
class WordModel final : public guardrails::Classifier {
 public:
  guardrails::Judgement judge(std::string_view text, Timestamp) const override {
    ++asked;
    return {.score = text.find("vile") != text.npos ? 1.0 : 0.0};
  }
  mutable std::atomic<std::int64_t> asked{0};
};

class AdmissionTest : public testing::Test {
 protected:
  AdmissionTest() {
    for (resources::KindHandler& kind : costs_.kinds()) resources_.add(std::move(kind));
    world_.gateway.admit_by(admission_);
    apply(R"({"kind": "price_list", "name": "standard", "owner": "finance", "currency": "USD",
      "prices": [
        {"meter": "requests", "price": "1", "per": 1, "from": "2013-01-01"},
        {"meter": "prompt_tokens", "price": "1", "per": 1000, "from": "2013-01-01"},
        {"meter": "output_tokens", "price": "2", "per": 1000, "from": "2013-01-01"},
        {"meter": "reasoning_tokens", "price": "3", "per": 1000, "from": "2013-01-01"}]})");
  }
  void apply(const std::string& declaration) {
    resources::ApplyInput input;
    input.documents.push_back({.declaration = json::parse(declaration).as_object()});
    test::must(resources_.apply(call_, input));
    test::must(guard_.refresh(*db_, "p1", world_.clock.now()));
  }
  void serve(const std::function<void(RouteDeclaration&)>& change) {
    LiveRoute route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
    change(route.declaration);
    live_ = std::make_shared<const LiveRoute>(route);
    world_.serve(std::move(route));
  }
  Result<InferAnswer> infer(const std::string& flight = "f1", std::size_t rows = 1) {
    InferRequest request{.route = "flight-delay"};
    for (std::size_t row = 0; row < rows; ++row) request.rows.push_back({{"flight_id", flight}});
    return world_.gateway.infer(call_, request);
  }
  // A route whose guardrail asks model toxicity, which costs 10 a judgement.
  LiveRoute judged(guardrails::OnError on_error = guardrails::OnError::block) {
    apply(R"({"kind": "price_list", "name": "judges", "owner": "finance", "currency": "USD",
      "prices": [{"meter": "requests", "model": "toxicity", "price": "10", "from": "2013-01-01"}]})");
    LiveRoute route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
    const guardrails::GuardrailDeclaration declared{.name = "tox",
                                                    .side = guardrails::Side::input,
                                                    .rule = guardrails::What::classifier,
                                                    .action = guardrails::Action::block,
                                                    .model = "toxicity@1",
                                                    .threshold = 0.5,
                                                    .window = 20,
                                                    .on_error = on_error};
    route.guards = test::must(guardrails::Chain::make({declared}, {{"tox", words_}}));
    route.classifiers["tox"] =
        std::make_shared<const Deployment>(Deployment{.model = "toxicity", .version = 1});
    return route;
  }
  void post_all() {
    std::vector<costs::Usage> usages;
    for (const InferenceEvent& event : world_.events())
      for (costs::Usage& usage : usages_of(event)) usages.push_back(std::move(usage));
    test::must(costs_.post(call_, usages));
    test::must(guard_.refresh(*db_, "p1", world_.clock.now()));
  }
  costs::BudgetStatus status(std::size_t index = 0) {
    return guard_.list("p1", world_.clock.now()).at(index);
  }
  Wish wish(std::int64_t prompt, std::int64_t output) const {
    return {.call = call_,
            .route = *live_,
            .deployment = *live_->targets.front().deployment,
            .id = "c1",
            .prompt_tokens = prompt,
            .output_tokens = output,
            .at = world_.clock.now(),
            .deadline = world_.clock.now() + std::chrono::seconds(60)};
  }

  const test::TempDir directory_;
  test::World world_{directory_.path()};
  const Call call_ = test::call();
  const std::unique_ptr<sql::Database> db_ = test::database();
  costs::Guard guard_;
  traffic::Limiter limiter_;
  traffic::Health health_;
  resources::Service resources_{*db_, world_.clock};
  costs::Service costs_{*db_, world_.clock, &guard_};
  Admission admission_{guard_, limiter_, health_, world_.metrics, metered_of};
  const std::shared_ptr<WordModel> words_ = std::make_shared<WordModel>();
  std::shared_ptr<const LiveRoute> live_;
};

}  // namespace penstock::serving
