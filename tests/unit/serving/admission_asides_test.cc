// Budgets of calls that ask other models on their way: the nodes of graphs, and guardrails.
#include <thread>

#include "graphs/plan.h"
#include "tests/unit/serving/admission_fixture.h"

namespace penstock::serving {
namespace {

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

}  // namespace
}  // namespace penstock::serving
