// Calls to language models that wait in their route's queue, driven by hand.
#include "api/openai/gate.h"
#include "tests/unit/openai/world.h"

namespace penstock::test {
namespace {

class QueueTest : public LanguageTest {
 protected:
  // A call that a test drives itself.
  struct Going {
    explicit Going(std::unique_ptr<Exchange> given) : exchange(std::move(given)) {}
    std::unique_ptr<Exchange> exchange;
    int woken = 0;
  };

  std::unique_ptr<Going> begin(const std::string& tenant = "acme", const std::string& priority = "",
                               const std::string& model = "helper") {
    api::Request request{.body = chat_body("", model)};
    if (!priority.empty()) request.headers.emplace_back("x-penstock-priority", priority);
    Call call = test::call();
    call.tenant = tenant;
    call.deadline = world_.clock.now() + std::chrono::seconds(60);
    return std::make_unique<Going>(std::make_unique<Exchange>(plane_, Task::chat, call, request));
  }
  // Whether it waits; then it is heard when it is woken.
  static bool waits(Going& going, api::Step step) {
    auto* pending = std::get_if<api::Wait>(&step);
    if (pending) pending->on([&going] { ++going.woken; });
    return pending != nullptr;
  }
  static bool waits(Going& going) { return waits(going, going.exchange->next()); }
  static bool tries(Going& going) {
    return std::holds_alternative<api::Attempt>(going.exchange->next());
  }
  void finish(Going& going) {
    going.exchange->head(200, {{"content-type", "application/json"}}, false);
    going.exchange->whole({200, {}, chat_answer});
    going.exchange->ended(api::Ending::answered);
  }
  serving::LiveRoute queued(const std::string& name, std::int64_t places, std::int64_t waiting) {
    serving::LiveRoute route = world_.route(name, {{}});
    route.declaration.queue = serving::QueueOptions{
        .max_concurrency = places, .max_waiting = waiting, .max_wait = std::chrono::seconds(10)};
    return route;
  }
  // Route helper, whose upstream is asked once, and spare in its stead, with a queue before it.
  void serve_a_spare_with_one_place() {
    serving::LiveRoute asked = world_.route("helper", {{.upstream = "first"}});
    asked.declaration.fallbacks = {"spare"};
    asked.declaration.retries = serving::RetryOptions{.attempts = 1};
    std::vector<serving::LiveRoute> routes;
    routes.push_back(std::move(asked));
    routes.push_back(queued("spare", 1, 8));
    world_.serve(std::move(routes));
  }

  traffic::Limiter limiter_;
  traffic::Health health_;
  costs::Guard guard_;
  Metrics metrics_;
  serving::Admission admission_{guard_, limiter_, health_, metrics_,
                                [](const auto&) { return std::vector<costs::Metered>(); }};
  Gate gate_{admission_};
  Plane plane_{world_.table,      world_.clock,      gate_, world_.mirrors, world_.plane.put,
               world_.plane.keep, world_.plane.tools};
};

TEST_F(QueueTest, WaitsForAPlaceAndTellsHowLong) {
  serve(queued("helper", 1, 8));
  const auto first = begin(), second = begin();
  EXPECT_TRUE(tries(*first));
  EXPECT_TRUE(waits(*second));
  EXPECT_TRUE(waits(*second)) << "asked too early, it waits on";
  EXPECT_EQ(second->woken, 0);
  world_.clock.advance(std::chrono::milliseconds(250));
  finish(*first);
  EXPECT_EQ(second->woken, 1);
  EXPECT_TRUE(tries(*second));
  finish(*second);
  const auto events = world_.take_events();
  EXPECT_EQ(events.at(0).queue_micros, 0);
  EXPECT_EQ(events.at(1).queue_micros, 250'000);
  EXPECT_NE(metrics_.expose().find("penstock_queue_wait_seconds_count"), std::string::npos);
}

TEST_F(QueueTest, TheUrgentComeFirstAndTenantsTakeTurns) {
  serve(queued("helper", 1, 16));
  const auto running = begin();
  ASSERT_TRUE(tries(*running));
  std::vector<std::unique_ptr<Going>> all;
  const std::vector<std::pair<std::string, std::string>> asked = {
      {"crowd", "5"}, {"crowd", "5"}, {"crowd", "5"}, {"alone", "5"}, {"crowd", "9"}};
  for (const auto& [tenant, priority] : asked) {
    all.push_back(begin(tenant, priority));
    ASSERT_TRUE(waits(*all.back()));
  }
  std::vector<std::size_t> order;
  Going* now = running.get();
  while (order.size() < all.size()) {
    finish(*now);
    std::size_t next = all.size();
    for (std::size_t at = 0; at < all.size(); ++at)
      if (all[at]->woken == 1 && std::find(order.begin(), order.end(), at) == order.end())
        next = at;
    ASSERT_LT(next, all.size());
    order.push_back(next);
    now = all[next].get();
    ASSERT_TRUE(tries(*now)) << next;
  }
  finish(*now);
  EXPECT_EQ(order.front(), 4U) << "the urgent one";
  EXPECT_LE(std::find(order.begin(), order.end(), 3U) - order.begin(), 2)
      << "a tenant with one call does not wait for all of another's";
}

TEST_F(QueueTest, WaitsNoLongerThanItsTimeAndSaysWhenToComeAgain) {
  serve(queued("helper", 1, 8));
  const auto first = begin(), second = begin();
  ASSERT_TRUE(tries(*first));
  ASSERT_TRUE(waits(*second));
  world_.clock.advance(std::chrono::seconds(11));
  const auto step = second->exchange->next();
  const auto* refused = std::get_if<api::Response>(&step);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 503);
  second->exchange->ended(api::Ending::answered);
  finish(*first);
  EXPECT_EQ(second->woken, 0);
  EXPECT_EQ(world_.take_events().at(0).error, "unavailable");
  const auto third = begin();
  EXPECT_TRUE(tries(*third)) << "nobody holds a place";
  finish(*third);
}

TEST_F(QueueTest, WhoLeavesFreesThePlaceThatHeHadOrWouldHaveHad) {
  serve(queued("helper", 1, 8));
  const auto first = begin(), second = begin(), third = begin(), fourth = begin();
  ASSERT_TRUE(tries(*first));
  ASSERT_TRUE(waits(*second));
  ASSERT_TRUE(waits(*third));
  second->exchange->ended(api::Ending::hung_up);  // while it waits
  finish(*first);
  EXPECT_EQ(second->woken, 0);
  EXPECT_EQ(third->woken, 1);
  third->exchange->ended(api::Ending::hung_up);  // with its place, before it took it
  EXPECT_TRUE(tries(*fourth));
  finish(*fourth);
  const auto events = world_.take_events();
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events.at(0).error, "deadline_exceeded") << "it was not answered, so nobody pays";
}

TEST_F(QueueTest, AFullQueueRefusesAtOnce) {
  serve(queued("helper", 1, 1));
  const auto first = begin(), second = begin(), third = begin();
  ASSERT_TRUE(tries(*first));
  ASSERT_TRUE(waits(*second));
  EXPECT_TRUE(std::holds_alternative<api::Response>(third->exchange->next()));
  third->exchange->ended(api::Ending::answered);
  finish(*first);
  EXPECT_TRUE(tries(*second));
  finish(*second);
}

TEST_F(QueueTest, AFallbackWaitsInItsOwnQueue) {
  serve_a_spare_with_one_place();
  const auto before = begin("acme", "", "spare");
  ASSERT_TRUE(tries(*before));
  const auto call = begin();
  ASSERT_TRUE(tries(*call));
  EXPECT_EQ(call->exchange->head(500, {}, false), api::Reading::retry);
  ASSERT_TRUE(waits(*call));
  finish(*before);
  EXPECT_EQ(call->woken, 1);
  EXPECT_TRUE(tries(*call));
  finish(*call);
  EXPECT_EQ(world_.take_events().back().fallback_of, "helper");
}

TEST_F(QueueTest, AFallbackThatDoesNotLetItInLeavesTheFirstFailure) {
  serve_a_spare_with_one_place();
  const auto before = begin("acme", "", "spare");
  ASSERT_TRUE(tries(*before));
  const auto call = begin();
  ASSERT_TRUE(tries(*call));
  ASSERT_EQ(call->exchange->head(500, {}, false), api::Reading::retry);
  ASSERT_TRUE(waits(*call));
  world_.clock.advance(std::chrono::seconds(11));
  const auto step = call->exchange->next();
  const auto* refused = std::get_if<api::Response>(&step);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 500);
  EXPECT_NE(refused->body.find("answered with status 500"), std::string::npos) << refused->body;
  call->exchange->ended(api::Ending::answered);
  finish(*before);
  const auto events = world_.take_events();
  ASSERT_EQ(events.size(), 2U) << "its failure is told once";
  EXPECT_EQ(events[0].route + " " + events[0].error, "helper unavailable");
  EXPECT_EQ(events[0].id.find(".failed"), std::string::npos);
}

}  // namespace
}  // namespace penstock::test
