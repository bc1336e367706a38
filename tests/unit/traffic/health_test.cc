#include "traffic/health.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "traffic/retry.h"

namespace penstock::traffic {
namespace {

using std::chrono::seconds;
constexpr Timestamp start{Micros(1'700'000'000'000'000)};
constexpr Micros quick = std::chrono::milliseconds(10);

BreakerState state_of(const Health& health, std::string_view upstream, Timestamp now) {
  for (const UpstreamHealth& one : health.list(now))
    if (one.upstream == upstream) return one.breaker;
  return BreakerState::closed;
}

TEST(Health, OpensAfterFailuresInARowProbesOnceAndCloses) {
  Health health;
  EXPECT_TRUE(health.may_try("a", start));  // unknown is well
  for (int i = 0; i < 4; ++i) health.tell("a", Outcome::failed, quick, start);
  health.tell("a", Outcome::answered, quick, start);
  for (int i = 0; i < 4; ++i) health.tell("a", Outcome::timed_out, quick, start);
  EXPECT_TRUE(health.may_try("a", start));
  health.tell("a", Outcome::failed, quick, start);
  EXPECT_FALSE(health.may_try("a", start + seconds(5) - Micros(1)));
  EXPECT_EQ(health.wait("a", start + seconds(1)), seconds(4));
  EXPECT_EQ(state_of(health, "a", start), BreakerState::open);

  const Timestamp then = start + seconds(5);
  EXPECT_TRUE(health.may_try("a", then));
  EXPECT_FALSE(health.may_try("a", then));  // one probe
  // A call that began long before says nothing of now.
  health.tell("a", Outcome::answered, seconds(30), then + seconds(1));
  EXPECT_FALSE(health.may_try("a", then + seconds(1)));
  health.tell("a", Outcome::failed, quick, then + seconds(1));
  EXPECT_EQ(health.wait("a", then + seconds(1)), seconds(10));  // twice as long
  const Timestamp last = then + seconds(11);
  EXPECT_TRUE(health.may_try("a", last));
  health.tell("a", Outcome::abandoned, quick, last + quick);
  EXPECT_TRUE(health.may_try("a", last + quick));  // the probe said nothing: another
  health.tell("a", Outcome::answered, quick, last + quick * 2);
  EXPECT_EQ(state_of(health, "a", last + seconds(1)), BreakerState::closed);
  EXPECT_TRUE(health.may_try("a", last + quick * 2));
}

TEST(Health, OpensByErrorRateAndGivesUpASilentProbe) {
  Health health;
  for (int i = 0; i < 10; ++i) {
    health.tell("a", Outcome::answered, quick, start);
    health.tell("a", Outcome::failed, quick, start);
  }
  EXPECT_EQ(state_of(health, "a", start), BreakerState::open);
  EXPECT_TRUE(health.may_try("a", start + seconds(5)));
  EXPECT_FALSE(health.may_try("a", start + seconds(64)));
  EXPECT_TRUE(health.may_try("a", start + seconds(65)));
  // Old failures are forgotten: 19 of them spread over minutes open nothing.
  for (int i = 0; i < 19; ++i) {
    health.tell("b", Outcome::failed, quick, start + seconds(20 * i));
    health.tell("b", Outcome::answered, quick, start + seconds(20 * i));
  }
  EXPECT_EQ(state_of(health, "b", start), BreakerState::closed);
}

TEST(Health, LetsOneProbeThroughHoweverManyAsk) {
  Health health;
  for (int i = 0; i < 5; ++i) health.tell("a", Outcome::failed, quick, start);
  std::atomic<int> probes{0};
  {
    std::vector<std::jthread> callers;
    for (int thread = 0; thread < 8; ++thread)
      callers.emplace_back([&] {
        for (int i = 0; i < 1'000; ++i) probes += health.may_try("a", start + seconds(6)) ? 1 : 0;
      });
  }
  EXPECT_EQ(probes, 1);
}

TEST(Health, ChecksOpenABreakerAndCloseItByAProbe) {
  Health health;
  health.tell_check("a", false, start);
  health.tell_check("a", false, start);
  EXPECT_TRUE(health.may_try("a", start));
  health.tell_check("a", false, start);
  EXPECT_FALSE(health.may_try("a", start));
  health.tell_check("a", false, start + seconds(4));
  EXPECT_FALSE(health.may_try("a", start + seconds(8)));
  health.tell_check("a", true, start + seconds(8));
  EXPECT_TRUE(health.may_try("a", start + seconds(8)));
  EXPECT_FALSE(health.may_try("a", start + seconds(8)));
  health.tell("a", Outcome::answered, quick, start + seconds(8) + quick);
  EXPECT_EQ(state_of(health, "a", start + seconds(9)), BreakerState::closed);
}

void feed(Health& health, std::string_view upstream, int calls, int failures, Micros took,
          Timestamp now) {
  for (int i = 0; i < calls; ++i)  // never five failures in a row: the breaker stays out of it
    health.tell(upstream,
                i % (calls / std::max(1, failures)) == 0 && failures > 0 ? Outcome::failed
                                                                         : Outcome::answered,
                took, now);
}

TEST(Health, EjectsTheOutlierForLongerEachTimeAndNeverAll) {
  Health health;
  health.set_groups({{"chat", {"a", "b", "c"}}, {"alone", {"a"}}});
  Timestamp now = start;
  feed(health, "a", 40, 1, quick, now);
  feed(health, "b", 40, 1, quick, now);
  feed(health, "c", 40, 13, quick, now);
  now += seconds(1);
  health.tell("a", Outcome::answered, quick, now);
  EXPECT_FALSE(health.may_try("c", now, "chat"));
  EXPECT_TRUE(health.may_try("c", now, "alone"));  // of another group, where nobody stands in
  EXPECT_TRUE(health.may_try("c", now));
  EXPECT_EQ(health.wait("c", now, "chat"), seconds(30));
  EXPECT_EQ(health.list(now)[2].ejected_from, std::vector<std::string>{"chat"});
  // By now b is slow: but of three, no more than one may sit out.
  feed(health, "b", 40, 0, seconds(3), now);
  now += seconds(1);
  health.tell("a", Outcome::answered, quick, now);
  EXPECT_TRUE(health.may_try("b", now, "chat"));
  // It comes back, and goes for longer when it has not mended.
  now = start + seconds(31);
  EXPECT_TRUE(health.may_try("c", now, "chat"));
  feed(health, "a", 40, 0, quick, now);
  feed(health, "c", 40, 0, seconds(1), now);
  now += seconds(2);
  health.tell("a", Outcome::answered, quick, now);
  EXPECT_EQ(health.wait("c", now, "chat"), seconds(60));
  // With the others broken, a bad one is better than none.
  for (int i = 0; i < 5; ++i) {
    health.tell("a", Outcome::failed, quick, now);
    health.tell("b", Outcome::failed, quick, now);
  }
  EXPECT_TRUE(health.may_try("c", now, "chat"));
}

TEST(Outliers, LeaveAtLeastHalfWhateverHappens) {
  std::mt19937 random(7);
  for (int round = 0; round < 2'000; ++round) {
    std::vector<Seen> group(1 + random() % 8);
    for (Seen& seen : group) {
      seen.calls = random() % 100;
      seen.failures = seen.calls ? random() % (seen.calls + 1) : 0;
      seen.mean_micros = static_cast<double>(random() % 1'000'000);
      seen.out = false;
    }
    const auto out = outliers(group, {});
    EXPECT_LE(out.size(), group.size() / 2);
    for (const std::size_t index : out) EXPECT_GE(group[index].calls, 20);
  }
  // All equally bad: nobody is the outlier.
  EXPECT_TRUE(outliers({{100, 60, 1e5}, {100, 60, 1e5}, {100, 60, 1e5}}, {}).empty());
  EXPECT_EQ(outliers({{100, 1, 1e4}, {100, 40, 1e4}, {100, 90, 1e4}, {100, 1, 1e4}}, {}),
            (std::vector<std::size_t>{2, 1}));
}

TEST(RetryBudget, NeverGivesMoreThanItsShareOfCalls) {
  RetryBudget budget(0.2, 10);
  std::atomic<std::int64_t> taken{0};
  {
    std::vector<std::jthread> callers;
    for (int thread = 0; thread < 4; ++thread)
      callers.emplace_back([&] {
        for (int i = 0; i < 5'000; ++i) {
          budget.call();
          if (budget.take()) ++taken;
          if (budget.take()) ++taken;
        }
      });
  }
  EXPECT_EQ(taken, 10 + 4'000);
  RetryBudget none(0);
  none.call();
  EXPECT_FALSE(none.take());
}

TEST(Backoff, SpreadsOverADoublingPause) {
  const Micros pause = std::chrono::milliseconds(25);
  EXPECT_EQ(backoff(1, pause, 0), Micros(0));
  EXPECT_EQ(backoff(1, pause, 0.5), Micros(12'500));
  EXPECT_EQ(backoff(3, pause, 0.5), Micros(50'000));
  EXPECT_LE(backoff(1'000, pause, 0.999), backoff_max);
}

}  // namespace
}  // namespace penstock::traffic
