#include "traffic/queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

namespace penstock::traffic {
namespace {

constexpr Timestamp start{Micros(1'700'000'000'000'000)};
constexpr Timestamp never = Timestamp::max();

Ask ask(std::string_view tenant, int priority = 5, std::int64_t tokens = 0) {
  return {.project = "p", .route = "r", .tenant = tenant, .priority = priority, .tokens = tokens};
}

// Remembers who came to run, in which order, and keeps their places.
struct Log {
  std::vector<std::string> ran, refused;
  std::vector<Place> places;
  ~Log() { run_all(start); }
  Told named(std::string name) {
    return [this, name](std::variant<Place, Refusal> result) {
      if (auto* place = std::get_if<Place>(&result)) {
        ran.push_back(name);
        places.push_back(std::move(*place));
      } else {
        refused.push_back(name + ":" + std::string(name_of(std::get<Refusal>(result).reason)));
      }
    };
  }
  // Lets the one that runs end, until nobody runs.
  void run_all(Timestamp now) {
    while (!places.empty()) {
      Place place = std::move(places.back());
      places.pop_back();
      place.leave(now);
    }
  }
};

TEST(Queue, ServesTheMostUrgentFirstAndTenantsInTurn) {
  Queue queue({.max_concurrency = 1, .max_waiting = 100, .max_wait = std::chrono::hours(1)});
  Log log;
  auto first = queue.enter(ask("a"), never, start, log.named("first"));
  ASSERT_TRUE(std::holds_alternative<Place>(first));
  for (int i = 0; i < 4; ++i)
    (void)queue.enter(ask("greedy"), never, start, log.named("g" + std::to_string(i)));
  (void)queue.enter(ask("b"), never, start, log.named("b0"));
  (void)queue.enter(ask("c"), never, start, log.named("c0"));
  (void)queue.enter(ask("greedy", 1), never, start, log.named("low"));
  (void)queue.enter(ask("b", 9), never, start, log.named("high"));
  EXPECT_EQ(queue.counts().waiting, 8);
  std::get<Place>(first).leave(start);
  log.run_all(start);
  EXPECT_EQ(log.ran, (std::vector<std::string>{"high", "g0", "b0", "c0", "g1", "g2", "g3", "low"}));
  EXPECT_EQ(queue.counts().running, 0);
}

TEST(Queue, SharesByTokensBetweenTenants) {
  Queue queue({.max_concurrency = 1, .max_waiting = 1'000, .max_wait = std::chrono::hours(1)});
  Log log;
  auto first = queue.enter(ask("a"), never, start, log.named("first"));
  for (int i = 0; i < 100; ++i) {
    (void)queue.enter(ask("large", 5, 9 * 64), never, start, log.named("large"));  // worth 10
    (void)queue.enter(ask("small", 5, 64), never, start, log.named("small"));      // worth 2
  }
  std::get<Place>(first).leave(start);
  std::map<std::string, int> ran;
  while (ran["small"] < 100) {
    ASSERT_FALSE(log.places.empty());
    ++ran[log.ran.back()];
    Place place = std::move(log.places.back());
    log.places.pop_back();
    place.leave(start);
  }
  EXPECT_NEAR(ran["large"], 20, 2);
}

TEST(Queue, RefusesAtOnceWhatWouldWaitTooLong) {
  Queue queue({.max_concurrency = 2, .max_waiting = 1'000, .max_wait = std::chrono::seconds(2)});
  // Calls take 100 ms; two at once: a place becomes free every 50 ms.
  for (int i = 0; i < 200; ++i) {
    auto place = queue.enter(ask("a"), never, start, nullptr);
    std::get<Place>(place).leave(start + Micros(100'000));
  }
  Log log;
  std::vector<std::variant<Place, Refusal, Waiting>> running;
  for (int i = 0; i < 2; ++i) running.push_back(queue.enter(ask("a"), never, start, nullptr));
  int waiting = 0;
  std::optional<Refusal> refusal;
  for (int i = 0; i < 100 && !refusal; ++i) {
    auto entered =
        queue.enter(ask("a"), start + Micros(1'000'000), start, log.named(std::to_string(i)));
    if (auto* refused = std::get_if<Refusal>(&entered))
      refusal = *refused;
    else
      ++waiting;
  }
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->reason, Reason::wait_too_long);
  EXPECT_EQ(waiting, 20);
  EXPECT_EQ(error_of(*refusal).code, Code::unavailable);
  EXPECT_EQ(retry_after_seconds(*refusal->retry_after), 2);  // 1.05 s
  // A more urgent one passes those who wait, so it is let in.
  EXPECT_TRUE(std::holds_alternative<Waiting>(
      queue.enter(ask("a", 9), start + Micros(1'000'000), start, log.named("urgent"))));
}

TEST(Queue, GivesWayInAFullQueueToTheMoreUrgentAndToTenantsWithLess) {
  Queue queue({.max_concurrency = 1, .max_waiting = 4, .max_wait = std::chrono::hours(1)});
  Log log;
  auto first = queue.enter(ask("a"), never, start, nullptr);
  for (int i = 0; i < 4; ++i)
    (void)queue.enter(ask("greedy"), never, start, log.named("g" + std::to_string(i)));
  const auto again = queue.enter(ask("greedy"), never, start, log.named("g4"));
  EXPECT_EQ(std::get<Refusal>(again).reason, Reason::queue_full);
  (void)queue.enter(ask("b"), never, start, log.named("b0"));
  (void)queue.enter(ask("c", 8), never, start, log.named("c0"));
  EXPECT_EQ(log.refused, (std::vector<std::string>{"g3:displaced", "g2:displaced"}));
  EXPECT_TRUE(
      std::holds_alternative<Refusal>(queue.enter(ask("d", 2), never, start, log.named("low"))));
  EXPECT_EQ(queue.counts().waiting, 4);
}

TEST(Queue, EndsWaitsThatAreOverAndThoseGivenUp) {
  Queue queue({.max_concurrency = 1, .max_waiting = 10, .max_wait = std::chrono::seconds(1)});
  Log log;
  auto first = queue.enter(ask("a"), never, start, nullptr);
  (void)queue.enter(ask("a"), start + Micros(300), start, log.named("short"));
  auto given_up = queue.enter(ask("b"), never, start, log.named("given up"));
  (void)queue.enter(ask("c"), never, start, log.named("long"));
  EXPECT_TRUE(std::get<Waiting>(given_up).cancel());
  EXPECT_FALSE(std::get<Waiting>(given_up).cancel());
  EXPECT_EQ(queue.expire(start + Micros(299)), start + Micros(300));
  EXPECT_TRUE(log.refused.empty());
  EXPECT_EQ(queue.expire(start + Micros(300)), start + Micros(1'000'000));
  EXPECT_EQ(log.refused, (std::vector<std::string>{"short:wait_too_long"}));
  std::get<Place>(first).leave(start + Micros(500));
  EXPECT_EQ(log.ran, std::vector<std::string>{"long"});
}

TEST(Queue, NeverRunsMoreThanItMayAndLosesNoCall) {
  constexpr int places = 4;
  Queue queue({.max_concurrency = places, .max_waiting = 64, .max_wait = std::chrono::seconds(30)});
  std::atomic<int> running{0}, most{0}, ran{0}, refused{0};
  {
    std::vector<std::jthread> callers;
    for (int thread = 0; thread < 12; ++thread)
      callers.emplace_back([&, thread] {
        const std::string tenant = "t" + std::to_string(thread % 3);
        for (int i = 0; i < 1'000; ++i) {
          auto entered = queue.enter(ask(tenant, i % 10), never, start);
          if (!std::holds_alternative<Place>(entered)) {
            ++refused;
            continue;
          }
          const int now = ++running;
          int seen = most.load();
          while (now > seen && !most.compare_exchange_weak(seen, now)) {
          }
          if (i % 7 == 0) std::this_thread::yield();
          ++ran;
          --running;
          std::get<Place>(entered).leave(start);
        }
      });
  }
  EXPECT_LE(most, places);
  EXPECT_EQ(ran + refused, 12'000);
  EXPECT_EQ(refused, 0);  // twelve callers never fill 64 places to wait in
  EXPECT_EQ(queue.counts().running, 0);
  EXPECT_EQ(queue.counts().waiting, 0);
}

TEST(Queue, TellsEachWaiterOnceUnderCancelsAndExpiries) {
  Queue queue({.max_concurrency = 2, .max_waiting = 50, .max_wait = std::chrono::seconds(1)});
  std::atomic<int> told{0}, cancelled{0}, waited{0};
  std::mutex turn;
  std::vector<Place> kept;
  {
    std::vector<std::jthread> callers;
    for (int thread = 0; thread < 4; ++thread)
      callers.emplace_back([&, thread] {
        std::mt19937 random(static_cast<unsigned>(thread));
        for (int i = 0; i < 3'000; ++i) {
          const Timestamp now = start + Micros(i * 100);
          auto entered =
              queue.enter(ask("t" + std::to_string(random() % 5), static_cast<int>(random() % 10)),
                          now + Micros(static_cast<int>(random() % 5'000)), now,
                          [&](std::variant<Place, Refusal> result) {
                            ++told;
                            if (auto* place = std::get_if<Place>(&result)) {
                              const std::lock_guard lock(turn);
                              kept.push_back(std::move(*place));
                            }
                          });
          if (auto* waiting = std::get_if<Waiting>(&entered)) {
            ++waited;
            if (random() % 3 == 0 && waiting->cancel()) ++cancelled;
          } else if (auto* place = std::get_if<Place>(&entered)) {
            place->leave(now);
          }
          std::vector<Place> ended;
          {
            const std::lock_guard lock(turn);
            ended.swap(kept);
          }
          for (Place& place : ended) place.leave(now);
          if (random() % 10 == 0) (void)queue.expire(now);
        }
      });
  }
  while (queue.counts().running > 0) {
    std::vector<Place> ended;
    ended.swap(kept);
    ASSERT_FALSE(ended.empty());
    for (Place& place : ended) place.leave(start);
  }
  (void)queue.expire(never);
  EXPECT_EQ(told + cancelled, waited);
  EXPECT_EQ(queue.counts().waiting, 0);
}

}  // namespace
}  // namespace penstock::traffic
