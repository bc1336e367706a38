// Limits, budgets and queues as calls on routes meet them.
#include "serving/admission.h"

#include <thread>

#include "serving/choose.h"
#include "serving/decide.h"
#include "tests/unit/serving/admission_fixture.h"

namespace penstock::serving {
namespace {

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
