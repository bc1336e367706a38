// Limits, budgets and queues as calls on routes meet them.
#include "serving/admission.h"

#include <gtest/gtest.h>

#include <thread>

#include "costs/service.h"
#include "graphs/plan.h"
#include "guardrails/chain.h"
#include "serving/choose.h"
#include "serving/decide.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

// As monitor/metering.h has it, in short.
std::vector<costs::Usage> usages_of(const InferenceEvent& event) {
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

std::vector<costs::Metered> metered_of(const InferenceEvent& event) {
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

TEST_F(AdmissionTest, LetsEveryCallInWhereNothingIsDeclared) {
  serve([](RouteDeclaration&) {});
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(infer());
}

TEST_F(AdmissionTest, HoldsRateLimitsOfTabularCallsAndSaysWhenToComeAgain) {
  serve([](RouteDeclaration& route) {
    route.limits = {{.per = LimitScope::tenant, .requests_per_minute = 5},
                    {.per = LimitScope::tenant, .requests_per_minute = 3}};
  });
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(infer());
  const auto refused = infer();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::resource_exhausted);
  EXPECT_NE(refused.error().message.find("3 requests a minute for tenant t1"), std::string::npos);
  const auto wait = traffic::retry_after_of(refused.error());
  ASSERT_TRUE(wait);
  EXPECT_GT(*wait, 50);
  EXPECT_LE(*wait, 61);
  EXPECT_NE(world_.metrics.expose().find("penstock_refused_total{project=\"p1\","
                                         "route=\"flight-delay\",reason=\"requests\"} 1"),
            std::string::npos);
  // A refused call leaves no event.
  EXPECT_EQ(world_.events().size(), 3u);
}

TEST_F(AdmissionTest, ReadsUserAndPriorityOfACallsHeaders) {
  serve([](RouteDeclaration& route) {
    route.limits = {{.per = LimitScope::user, .requests_per_minute = 1}};
  });
  const auto from = [&](std::string_view user) {
    InferRequest request{.route = "flight-delay", .rows = {{{"flight_id", "f1"}}}};
    request.header = [user](std::string_view name) {
      return name == user_header ? user : std::string_view();
    };
    return world_.gateway.infer(call_, request);
  };
  EXPECT_TRUE(from("ana"));
  EXPECT_TRUE(from("bo"));
  const auto refused = from("ana");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::resource_exhausted);

  InferRequest request;
  EXPECT_EQ(priority_of(request), traffic::priority_default);
  for (const auto& [said, is] :
       {std::pair("0", 0), {"9", 9}, {"", 5}, {"10", 5}, {"-1", 5}, {"high", 5}}) {
    request.header = [text = said](std::string_view name) {
      return name == priority_header ? std::string_view(text) : std::string_view();
    };
    EXPECT_EQ(priority_of(request), is) << said;
  }
  request.priority = 8;
  EXPECT_EQ(priority_of(request), 8) << "what was given goes before the header";
}

TEST_F(AdmissionTest, HoldsAHardBudgetOfTabularCallsByTheRow) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "5",
            "hard": true, "action": "stop"})");
  serve([](RouteDeclaration&) {});
  EXPECT_TRUE(infer("f1", 3));
  EXPECT_FALSE(infer("f1", 3));
  EXPECT_FALSE(infer("broken", 2));  // failed, and cost nothing
  EXPECT_TRUE(infer("f1", 2));
  const auto refused = infer();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::resource_exhausted);
  EXPECT_NE(refused.error().message.find("budget day has 0 of 5 left"), std::string::npos);
  EXPECT_TRUE(traffic::retry_after_of(refused.error()));
  post_all();
  EXPECT_EQ(status().spent, Money::whole(5));
  EXPECT_EQ(status().pending + status().reserved, Money{});
}

TEST_F(AdmissionTest, ReservesTheDearestThatTokensMayBeAndSettlesTheEvent) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100",
            "hard": true, "action": "stop"})");
  serve([](RouteDeclaration& route) {
    route.limits = {{.per = LimitScope::user, .tokens_per_minute = 20'000}};
  });
  auto entered = admission_.enter(wish(10'000, 10'000), world_.clock);
  ASSERT_TRUE(entered);
  EXPECT_TRUE(entered->must_be_bounded);
  // A request, the prompt, and an output that may all be reasoning: 1 + 10 + 30.
  EXPECT_EQ(guard_.list("p1", world_.clock.now()).at(0).reserved, Money::whole(41));
  EXPECT_FALSE(admission_.enter(wish(1, 0), world_.clock));  // no tokens are left
  const InferenceEvent event{
      .id = "c1",
      .event_time = world_.clock.now(),
      .project = "p1",
      .tenant = "t1",
      .route = "flight-delay",
      .model = "flight-delay",
      .generation = Generation{.prompt_tokens = 5'000, .output_tokens = 1'000}};
  entered->held.settle({&event, 1}, world_.clock.now());
  const auto status = guard_.list("p1", world_.clock.now()).at(0);
  EXPECT_EQ(status.reserved, Money{});
  EXPECT_EQ(status.pending, Money::whole(8));
  EXPECT_TRUE(admission_.enter(wish(7'000, 7'000), world_.clock));
  EXPECT_FALSE(admission_.enter(wish(7'000, 7'001), world_.clock));
}

// A long prompt makes the output dearer, too, and a month that used much may make all of it so.
TEST_F(AdmissionTest, AHardBudgetReservesTheDearestTierThatACallMayReach) {
  apply(
      R"({"kind": "price_list", "name": "tiers", "owner": "finance", "currency": "USD", "prices": [
        {"meter": "output_tokens", "model": "flight-delay", "price": "2", "per": 1000,
         "from": "2013-01-01"},
        {"meter": "reasoning_tokens", "model": "flight-delay", "price": "2", "per": 1000,
         "from": "2013-01-01"},
        {"meter": "output_tokens", "model": "flight-delay", "price": "8", "per": 1000,
         "from": "2013-01-01", "above_call_tokens": 4000},
        {"meter": "output_tokens", "model": "flight-delay", "price": "1", "per": 1000,
         "from": "2013-01-01", "above_call_tokens": 8000},
        {"meter": "requests", "model": "flight-delay", "price": "3", "from": "2013-01-01",
         "above_month_quantity": 1000000}]})");
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100",
            "hard": true, "action": "stop"})");
  serve([](RouteDeclaration&) {});
  const auto reserved = [&](std::int64_t prompt, std::int64_t output) {
    const auto held = admission_.enter(wish(prompt, output), world_.clock);
    EXPECT_TRUE(held);
    return guard_.list("p1", world_.clock.now()).at(0).reserved;
  };
  EXPECT_EQ(reserved(4'000, 1'000), Money::whole(3 + 4 + 2));
  EXPECT_EQ(reserved(5'000, 1'000), Money::whole(3 + 5 + 8));
  EXPECT_EQ(reserved(9'000, 1'000), Money::whole(3 + 9 + 8)) << "a shorter prompt is dearer";
  auto entered = admission_.enter(wish(9'000, 1'000), world_.clock);
  const InferenceEvent event{
      .id = "c1",
      .event_time = world_.clock.now(),
      .project = "p1",
      .tenant = "t1",
      .route = "flight-delay",
      .model = "flight-delay",
      .generation = Generation{.prompt_tokens = 5'000, .output_tokens = 1'000}};
  entered->held.settle({&event, 1}, world_.clock.now());
  EXPECT_EQ(status().pending, Money::whole(3 + 5 + 8));
}

TEST_F(AdmissionTest, SendsCallsToACheaperVersion) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "2",
            "route": "flight-delay", "action": "downgrade", "downgrade_to": 2})");
  LiveRoute route = world_.route(
      {{"flight-delay", 1, weight_total, Arm::live}, {"flight-delay", 2, 0, Arm::canary}});
  world_.serve(std::move(route));
  EXPECT_EQ(test::must(infer()).predictions.front().version, 1);
  EXPECT_EQ(test::must(infer()).predictions.front().version, 1);
  EXPECT_EQ(test::must(infer()).predictions.front().version, 2);
}

TEST_F(AdmissionTest, ShedsAnOverloadEarlyAndKeepsItsQueueBounded) {
  serve([](RouteDeclaration& route) {
    route.queue = {
        .max_concurrency = 2, .max_waiting = 3, .max_wait = std::chrono::milliseconds(200)};
  });
  std::atomic<int> running{0}, most{0}, ran{0}, refused{0}, without_header{0};
  {
    std::vector<std::jthread> callers;
    for (int thread = 0; thread < 12; ++thread)
      callers.emplace_back([&] {
        for (int i = 0; i < 20; ++i) {
          auto entered = admission_.enter(wish(0, 0), world_.clock);
          if (!entered) {
            ++refused;
            if (!traffic::retry_after_of(entered.error()) ||
                entered.error().code != Code::unavailable)
              ++without_header;
            continue;
          }
          const int now = ++running;
          int seen = most;
          while (now > seen && !most.compare_exchange_weak(seen, now)) {
          }
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
          ++ran;
          --running;
          entered->held.settle({}, world_.clock.now());
        }
      });
  }
  EXPECT_LE(most, 2);
  EXPECT_EQ(ran + refused, 240);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(without_header, 0);
  admission_.measure(world_.clock.now());
  EXPECT_NE(world_.metrics.expose().find(
                "penstock_queue_waiting{project=\"p1\",route=\"flight-delay\"} 0"),
            std::string::npos);
}

TEST_F(AdmissionTest, GivesBackWhatARefusedCallHadTaken) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "1000",
            "hard": true, "action": "stop"})");
  serve([](RouteDeclaration& route) {
    route.queue = {.max_concurrency = 1, .max_waiting = 0};
    route.limits = {{.per = LimitScope::route, .tokens_per_minute = 1'000, .concurrent = 10}};
  });
  auto first = admission_.admit(wish(100, 100), world_.clock.now());
  ASSERT_TRUE(std::holds_alternative<Grant>(first));
  for (int i = 0; i < 50; ++i) {
    const auto refused = admission_.admit(wish(100, 100), world_.clock.now());
    ASSERT_EQ(std::get<traffic::Refusal>(refused).reason, traffic::Reason::queue_full);
  }
  EXPECT_EQ(guard_.list("p1", world_.clock.now()).at(0).reserved,
            *money_from("1.4"));  // of the first alone
}

TEST_F(AdmissionTest, AHardBudgetReservesWhatTheGraphAsksFor) {
  apply(R"({"kind": "price_list", "name": "graphs", "owner": "finance", "currency": "USD",
    "prices": [{"meter": "retrieval_calls", "price": "10", "from": "2013-01-01"},
               {"meter": "reranker_calls", "price": "100", "from": "2013-01-01"}]})");
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "1000",
            "hard": true, "action": "stop"})");
  LiveRoute route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
  Deployment with_graph = *route.targets.front().deployment;
  with_graph.graph = test::must(graphs::Plan::make(test::must(graphs::read_graph(R"(
nodes:
  - {name: vector, kind: embed, route: e, text: "{{question}}"}
  - {name: near, kind: retrieve, view: v, feature: f, vector: vector}
  - {name: far, kind: retrieve, view: v, feature: f, vector: vector}
  - {name: best, kind: rerank, route: r, query: "{{question}}", passages: near}
messages: [{role: system, content: "{{best}}{{far}}"}]
)"))));
  route.targets.front().deployment = std::make_shared<const Deployment>(with_graph);
  live_ = std::make_shared<const LiveRoute>(route);
  const auto reserved = [&] { return guard_.list("p1", world_.clock.now()).at(0).reserved; };
  const auto held = admission_.admit(wish(100, 100), world_.clock.now());
  ASSERT_TRUE(std::holds_alternative<Grant>(held));
  EXPECT_EQ(reserved(), *money_from("121.4"));
  // Where it stands in for a route whose graph has run, those calls are on it too.
  Wish second = wish(100, 100);
  second.retrieval_calls = 3;
  second.reranker_calls = 1;
  const auto more = admission_.admit(second, world_.clock.now());
  ASSERT_TRUE(std::holds_alternative<Grant>(more));
  EXPECT_EQ(reserved(), *money_from("372.8"));
}

TEST_F(AdmissionTest, AHardBudgetReservesWhatGuardrailsMayAskAndMoreWhereTheyDo) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "60",
            "hard": true, "action": "stop"})");
  apply(R"({"kind": "budget", "name": "judge", "owner": "ana", "period": "day", "limit": "55",
            "model": "toxicity", "hard": true, "action": "stop"})");
  live_ = std::make_shared<const LiveRoute>(judged());
  const std::vector<guardrails::Judged> most{{"tox", 3, 3'000'000}};
  Wish asked = wish(0, 0);
  asked.judgements = most;
  auto entered = admission_.enter(asked, world_.clock);
  ASSERT_TRUE(entered);
  EXPECT_EQ(status(0).reserved, Money::whole(31));
  EXPECT_EQ(status(1).reserved, Money::whole(30));
  EXPECT_FALSE(admission_.enter(asked, world_.clock));
  const auto may = [&] { return entered->held.may_judge("tox", world_.clock.now()); };
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(may());
  EXPECT_EQ(status(0).reserved, Money::whole(31));
  EXPECT_TRUE(may());
  EXPECT_TRUE(may());
  EXPECT_EQ(status(0).reserved, Money::whole(51));
  EXPECT_FALSE(may()) << "of its own budget 5 are left";
  EXPECT_FALSE(may());
  EXPECT_TRUE(entered->held.may_judge("another", world_.clock.now()));
  entered = Error{Code::internal, "gone"};
  EXPECT_EQ(status(0).reserved + status(1).reserved, Money{});
}

TEST_F(AdmissionTest, GuardrailsThatDominateTheCostNeverOverspendAHardBudget) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "105",
            "hard": true, "action": "stop"})");
  world_.serve(judged());
  std::atomic<int> answered{0}, blocked{0}, refused{0};
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 6; ++caller)
      callers.emplace_back([&, caller] {
        for (int i = 0; i < 10; ++i) {
          const auto got = infer(i % 3 == 2 ? "vile" : "f" + std::to_string(caller * 10 + i));
          ++(got ? answered : got.error().code == Code::invalid_argument ? blocked : refused);
        }
      });
  }
  EXPECT_GT(refused, 0);
  EXPECT_EQ(words_->asked, answered + blocked) << "whom nobody pays nobody asks";
  EXPECT_EQ(status().reserved, Money{});
  EXPECT_EQ(status().pending, Money::whole(11 * answered + 10 * blocked));
  EXPECT_LE(status().pending, Money::whole(105));
  EXPECT_GT(status().pending, Money::whole(105 - 11));
  post_all();
  EXPECT_EQ(status().spent, Money::whole(11 * answered + 10 * blocked));
  EXPECT_EQ(status().pending, Money{}) << "of blocked calls the ledger has the judgement alone";
}

TEST_F(AdmissionTest, ALongValueIsPaidForByTheWindow) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "50",
            "hard": true, "action": "stop"})");
  world_.serve(judged());
  const std::string words = "many words of a long value, in windows of twenty characters";
  const auto refused = infer(words);  // 59 characters are five windows at most
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("50 left, and this call may cost 51"), std::string::npos)
      << refused.error().message;
  ASSERT_TRUE(infer(words.substr(0, 41)));
  EXPECT_EQ(status().pending, Money::whole(31)) << "it took three";
}

TEST_F(AdmissionTest, ARouteThatStandsInIsEnteredByItsOwnLimitsAndBudgets) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "25",
            "route": "second", "hard": true, "action": "stop"})");
  apply(R"({"kind": "budget", "name": "every", "owner": "ana", "period": "day", "limit": "1000",
            "hard": true, "action": "stop"})");
  LiveRoute asked = judged();
  asked.declaration.fallbacks = {"second"};
  LiveRoute second = judged();
  second.declaration.name = "second";
  second.features.read = [](const Entities&, Timestamp) -> Result<FeatureRow> {
    return FeatureRow{{1.0, std::nullopt}, {}};
  };
  auto table = std::make_shared<RoutingTable>();
  table->routes["p1/flight-delay"] = std::make_shared<const LiveRoute>(std::move(asked));
  table->routes["p1/second"] = std::make_shared<const LiveRoute>(std::move(second));
  world_.table.set(std::move(table));
  EXPECT_TRUE(infer("broken"));
  EXPECT_TRUE(infer("broken"));
  EXPECT_EQ(status(0).pending, Money::whole(22));
  const auto third = infer("broken");
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, Code::unavailable) << "the first one's error";
  // What was judged on the route that failed is spent as well: five times in all.
  EXPECT_EQ(status(1).pending, Money::whole(52));
  EXPECT_EQ(status(1).reserved, Money{});
  post_all();
  EXPECT_EQ(status(0).spent, Money::whole(22));
  EXPECT_EQ(status(1).spent, Money::whole(52));
  EXPECT_EQ(status(0).pending + status(1).pending, Money{});
}

TEST_F(AdmissionTest, ModelsOfAGraphAreReservedWithIt) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "1000",
            "hard": true, "action": "stop"})");
  LiveRoute route = judged();
  Deployment graph = *route.targets.front().deployment;
  graph.parts = {route.classifiers.at("tox"), route.classifiers.at("tox")};
  route.targets.front().deployment = std::make_shared<const Deployment>(graph);
  live_ = std::make_shared<const LiveRoute>(std::move(route));
  const auto entered = admission_.enter(wish(0, 0), world_.clock);
  ASSERT_TRUE(entered);
  EXPECT_EQ(status().reserved, Money::whole(21));
}

TEST_F(AdmissionTest, WhoWaitsInVainOrLeavesGivesBackWhatItHadTaken) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "1000",
            "hard": true, "action": "stop"})");
  serve([](RouteDeclaration& route) {
    route.queue = {.max_concurrency = 1, .max_waiting = 9, .max_wait = std::chrono::seconds(5)};
    route.limits = {{.per = LimitScope::route, .concurrent = 2}};
  });
  const auto reserved = [&] { return guard_.list("p1", world_.clock.now()).at(0).reserved; };
  auto first = admission_.admit(wish(100, 100), world_.clock.now());
  ASSERT_TRUE(std::holds_alternative<Grant>(first));
  {
    auto left = admission_.admit(wish(100, 100), world_.clock.now());
    ASSERT_TRUE(std::holds_alternative<Turn>(left));
    EXPECT_FALSE(std::get<Turn>(left).take(world_.clock.now()));
    EXPECT_EQ(reserved(), *money_from("2.8"));
  }
  EXPECT_EQ(reserved(), *money_from("1.4"));
  auto vain = admission_.admit(wish(100, 100), world_.clock.now());
  ASSERT_TRUE(std::holds_alternative<Turn>(vain));
  {
    const auto refused = std::get<Turn>(vain).take(world_.clock.now() + std::chrono::seconds(6));
    ASSERT_TRUE(refused);
    EXPECT_EQ(std::get<traffic::Refusal>(*refused).reason, traffic::Reason::wait_too_long);
  }
  vain = traffic::Refusal{};
  EXPECT_EQ(reserved(), *money_from("1.4"));
  // The next one is told by who leaves, and only once.
  auto next = admission_.admit(wish(100, 100), world_.clock.now());
  ASSERT_TRUE(std::holds_alternative<Turn>(next));
  int woken = 0;
  std::get<Turn>(next).on([&] { ++woken; });
  first = traffic::Refusal{};
  EXPECT_EQ(woken, 1);
  std::get<Turn>(next).on([&] { ++woken; });
  EXPECT_EQ(woken, 2) << "what has come is told at once";
  const auto granted = std::get<Turn>(next).take(world_.clock.now());
  ASSERT_TRUE(granted);
  EXPECT_TRUE(std::holds_alternative<Grant>(*granted));
}

}  // namespace
}  // namespace penstock::serving
