// No order of calls, posts, refreshes and restarts spends more than a hard budget.
#include "costs/guard.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "costs/service.h"
#include "tests/support/fixture.h"

namespace penstock::costs {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

class GuardTest : public testing::Test {
 protected:
  GuardTest() {
    for (resources::KindHandler& kind : costs_.kinds()) resources_.add(std::move(kind));
    clock_.set(*from_rfc3339("2026-05-10T10:00:00Z"));
    apply(R"({"kind": "price_list", "name": "standard", "owner": "finance", "currency": "USD",
      "prices": [{"meter": "output_tokens", "price": "1", "per": 1, "from": "2013-01-01"}]})");
  }
  Result<void> try_to_apply(const std::string& declaration) {
    resources::ApplyInput input;
    input.documents.push_back({.declaration = json::parse(declaration).as_object()});
    TRY(resources_.apply(call_, input));
    return guard_->refresh(*db_, call_.project, clock_.now());
  }
  void apply(const std::string& declaration) { test::must(try_to_apply(declaration)); }
  void refresh() { test::must(guard_->refresh(*db_, call_.project, clock_.now())); }
  Usage usage(const std::string& id, std::int64_t cost, Timestamp at) const {
    return {.source = "inference",
            .id = id,
            .meter = Meter::output_tokens,
            .quantity = cost,
            .at = at,
            .tenant = "acme",
            .route = "chat",
            .model = "m",
            .version = 2};
  }
  Spend spend(std::string_view id, std::int64_t worst) const {
    return {.project = call_.project,
            .id = id,
            .tenant = "acme",
            .route = "chat",
            .model = "m",
            .version = 2,
            .worst = Money::whole(worst),
            .at = clock_.now(),
            .deadline = clock_.now() + seconds(60)};
  }
  Reservation reserve(std::string_view id, std::int64_t worst) {
    return guard_->reserve(spend(id, worst), clock_.now());
  }
  BudgetStatus status(std::size_t index = 0) {
    return guard_->list(call_.project, clock_.now()).at(index);
  }

  const Call call_ = test::call();
  ManualClock clock_;
  const std::unique_ptr<sql::Database> db_ = test::database();
  resources::Service resources_{*db_, clock_};
  std::unique_ptr<Guard> guard_ = std::make_unique<Guard>();
  Service costs_{*db_, clock_, guard_.get()};
};

TEST_F(GuardTest, ReservesTheWorstAndSettlesWhatItCost) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100",
            "hard": true, "action": "stop"})");
  auto first = reserve("a", 60);
  EXPECT_EQ(first.decision, Decision::allow);
  EXPECT_TRUE(first.hard);
  const auto refused = reserve("b", 41);
  EXPECT_EQ(refused.decision, Decision::stop);
  EXPECT_EQ(refused.message, "budget day has 40 of 100 left, and this call may cost 41");
  EXPECT_EQ(*refused.retry_after, hours(14));  // at midnight
  { const auto hung_up = reserve("c", 40); }
  first.settle(Money::whole(25), clock_.now());
  auto second = reserve("d", 75);
  EXPECT_EQ(second.decision, Decision::allow);
  EXPECT_EQ(status().pending, Money::whole(25));
  EXPECT_EQ(status().reserved, Money::whole(75));
  test::must(costs_.post(call_, {usage("a", 25, clock_.now())}));
  EXPECT_EQ(status().pending, Money::whole(25));  // the ledger's side is as of the last refresh
  refresh();
  EXPECT_EQ(status().spent, Money::whole(25));
  EXPECT_EQ(status().pending, Money{});
  EXPECT_EQ(reserve("e", 1).decision, Decision::stop);
}

// What the calls cost, each remembered for ever.
struct Remembered {
  enum { running, ended, gone } state = running;
  std::int64_t amount = 0;
  Timestamp ended_at;
  bool posted = false;
  Reservation reservation;
};

TEST_F(GuardTest, IsNeverOverspentWhateverTheOrder) {
  apply(R"({"kind": "budget", "name": "all", "owner": "ana", "period": "month", "limit": "3000",
            "hard": true, "action": "stop"})");
  apply(R"({"kind": "budget", "name": "chat", "owner": "ana", "parent": "all", "route": "chat",
            "period": "day", "limit": "400", "hard": true, "action": "stop"})");
  std::mt19937 random(11);
  const auto below = [&](std::uint32_t most) { return static_cast<std::int64_t>(random() % most); };
  std::vector<std::unique_ptr<Remembered>> calls;
  const auto spent_since = [&](Timestamp since) {
    std::int64_t sum = 0;
    for (const auto& one : calls)
      if (one->state == Remembered::running ||
          (one->state == Remembered::ended && one->ended_at >= since))
        sum += one->amount;
    return sum;
  };
  const auto day = [&] {
    return Timestamp(std::chrono::floor<std::chrono::days>(clock_.now()).time_since_epoch());
  };
  const auto post_some = [&](std::size_t most) {
    std::vector<Usage> usages;
    for (std::size_t i = 0; i < calls.size() && usages.size() < most; ++i) {
      Remembered& one = *calls[i];
      if (one.state != Remembered::ended || one.posted) continue;
      one.posted = true;
      usages.push_back(usage("call-" + std::to_string(i), one.amount, one.ended_at));
    }
    if (!usages.empty()) test::must(costs_.post(call_, usages));
  };
  int allowed = 0, refused = 0;
  for (int step = 0; step < 6'000; ++step) {
    Remembered& any =
        calls.empty()
            ? *calls.emplace_back(std::make_unique<Remembered>())
            : *calls[static_cast<std::size_t>(below(static_cast<std::uint32_t>(calls.size())))];
    const std::int64_t dice = below(100);
    if (dice < 50) {
      const std::int64_t worst = 1 + below(40);
      auto one = std::make_unique<Remembered>();
      one->amount = worst;
      const std::string id = "call-" + std::to_string(calls.size());
      Spend asked = spend(id, worst);
      asked.deadline = clock_.now() + hours(1'000);
      one->reservation = guard_->reserve(asked, clock_.now());
      if (one->reservation.decision != Decision::allow) {
        ++refused;
        continue;
      }
      ++allowed;
      calls.push_back(std::move(one));
      ASSERT_LE(spent_since(day()), 400) << "step " << step;
      ASSERT_LE(spent_since(*from_rfc3339("2026-05-01")), 3'000) << "step " << step;
    } else if (dice < 80) {
      if (any.state != Remembered::running) continue;
      any.amount = below(static_cast<std::uint32_t>(any.amount + 1));
      any.state = Remembered::ended;
      any.ended_at = clock_.now();
      any.reservation.settle(Money::whole(any.amount), clock_.now());
    } else if (dice < 84) {
      if (any.state != Remembered::running) continue;
      any.state = Remembered::gone;
      any.reservation = {};
    } else if (dice < 88) {
      post_some(static_cast<std::size_t>(1 + below(20)));
    } else if (dice < 92) {
      refresh();
    } else {
      clock_.advance(seconds(below(4'000)));
      if (clock_.now() > *from_rfc3339("2026-05-31T12:00:00Z")) break;
    }
  }
  EXPECT_GT(allowed, 200);
  EXPECT_GT(refused, 200);
  // All in the ledger, and nothing in flight: both sides agree to the last digit.
  for (auto& one : calls) {
    if (one->state != Remembered::running) continue;
    one->state = Remembered::gone;
    one->reservation = {};
  }
  post_some(calls.size());
  refresh();
  EXPECT_EQ(status(0).spent, Money::whole(spent_since(*from_rfc3339("2026-05-01"))));
  EXPECT_EQ(status(0).pending, Money{});
  EXPECT_EQ(status(0).reserved, Money{});
}

TEST_F(GuardTest, HoldsUnderCallersAtOnceWhileLinesArePosted) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "5000",
            "hard": true, "action": "stop"})");
  std::atomic<std::int64_t> spent{0}, running{0}, most{0};
  std::mutex turn;
  std::vector<Usage> to_post;
  std::atomic<int> left{4};
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread)
      threads.emplace_back([&, thread] {
        std::mt19937 random(static_cast<unsigned>(thread));
        for (int i = 0; i < 1'000; ++i) {
          const std::string id = std::to_string(thread) + "-" + std::to_string(i);
          const auto worst = static_cast<std::int64_t>(1 + random() % 20);
          auto one = reserve(id, worst);
          if (one.decision != Decision::allow) continue;
          const std::int64_t now = spent + (running += worst);
          std::int64_t seen = most;
          while (now > seen && !most.compare_exchange_weak(seen, now)) {
          }
          const auto actual =
              static_cast<std::int64_t>(random() % static_cast<unsigned>(worst + 1));
          running -= worst;
          spent += actual;
          one.settle(Money::whole(actual), clock_.now());
          const std::lock_guard lock(turn);
          to_post.push_back(usage(id, actual, clock_.now()));
        }
        --left;
      });
    while (left > 0) {
      std::vector<Usage> usages;
      {
        const std::lock_guard lock(turn);
        usages.swap(to_post);
      }
      if (!usages.empty()) test::must(costs_.post(call_, usages));
      refresh();
    }
  }
  EXPECT_LE(spent, 5'000);
  EXPECT_LE(most, 5'000);
  EXPECT_GE(spent, 4'900);  // refused only near its end
  test::must(costs_.post(call_, to_post));
  refresh();
  EXPECT_EQ(status().spent, Money::whole(spent));
  EXPECT_EQ(status().pending, Money{});
}

TEST_F(GuardTest, LoadsTheLedgerAtStartAndRollsOver) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100",
            "hard": true, "action": "stop"})");
  test::must(costs_.post(
      call_, {usage("a", 90, clock_.now()), usage("old", 50, clock_.now() - hours(24))}));
  Guard after;
  test::must(after.refresh_all(*db_, clock_.now()));
  EXPECT_EQ(after.reserve(spend("b", 11), clock_.now()).decision, Decision::stop);
  auto late = after.reserve(spend("c", 10), clock_.now());
  EXPECT_EQ(late.decision, Decision::allow);
  clock_.advance(hours(14));
  // A call that runs over midnight counts on both sides until it ends.
  EXPECT_EQ(after.reserve(spend("d", 91), clock_.now()).decision, Decision::stop);
  EXPECT_EQ(after.reserve(spend("e", 90), clock_.now()).decision, Decision::allow);
}

TEST_F(GuardTest, TakesTheWorstWhereACallNeverSaysWhatItCost) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100",
            "hard": true, "action": "stop"})");
  const auto lost = reserve("a", 70);
  clock_.advance(seconds(110));
  EXPECT_EQ(reserve("b", 31).decision, Decision::stop);
  EXPECT_EQ(status().reserved, Money::whole(70));
  clock_.advance(seconds(11));
  EXPECT_EQ(reserve("b", 31).decision, Decision::stop);
  EXPECT_EQ(status().reserved, Money{});
  EXPECT_EQ(status().pending, Money::whole(70));
}

TEST_F(GuardTest, CountsMoreThanItCanRememberUntilThePeriodEnds) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "300000",
            "hard": true, "action": "stop"})");
  constexpr int places = 200'000, more = 10;
  std::vector<Usage> usages;
  for (int call = 0; call < places + more; ++call) {
    const std::string id = "call-" + std::to_string(call);
    reserve(id, 1).settle(Money::whole(1), clock_.now());
    if (call >= places - more) usages.push_back(usage(id, 1, clock_.now()));
  }
  EXPECT_EQ(status().pending, Money::whole(places));
  EXPECT_EQ(status().spent, Money::whole(more));
  EXPECT_EQ(reserve("x", 300'000 - places - more + 1).decision, Decision::stop);
  // Those without a place are counted twice once they are posted, rather than not at all before.
  test::must(costs_.post(call_, usages));
  refresh();
  EXPECT_EQ(status().pending, Money::whole(places - more));
  EXPECT_EQ(status().spent, Money::whole(2 * more + more));
  clock_.advance(hours(24));
  EXPECT_EQ(status().pending, Money{});
  EXPECT_EQ(status().spent, Money{});
}

TEST_F(GuardTest, KeepsAnAmountThatIsTooLargeForOnePlace) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day",
            "limit": "1000000000", "hard": true, "action": "stop"})");
  const Money large = Money::whole(25'000'000) + Money{7};
  reserve("a", 30'000'000).settle(large, clock_.now());
  reserve("b", 1).settle(Money::whole(1), clock_.now());
  EXPECT_EQ(status().pending, large + Money::whole(1));
  test::must(costs_.post(call_, {usage("a", 2, clock_.now())}));
  refresh();
  EXPECT_EQ(status().pending, Money::whole(1));
  EXPECT_EQ(status().spent, Money::whole(2));
}

TEST_F(GuardTest, FindsOneThatIsPostedBeforeItEnds) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100",
            "hard": true, "action": "stop"})");
  auto one = reserve("a", 60);
  test::must(costs_.post(call_, {usage("a", 25, clock_.now())}));
  refresh();
  EXPECT_EQ(status().spent, Money::whole(25));
  EXPECT_EQ(status().reserved, Money::whole(60));
  one.settle(Money::whole(25), clock_.now());
  EXPECT_EQ(status().pending, Money::whole(25));  // twice until the next refresh, never not at all
  refresh();
  EXPECT_EQ(status().spent, Money::whole(25));
  EXPECT_EQ(status().pending, Money{});
}

TEST_F(GuardTest, StopsWhatNoPriceCoversUnderAHardBudgetAlone) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100",
            "hard": true, "action": "stop"})");
  Spend unpriced = spend("a", 0);
  unpriced.worst.reset();
  const auto refused = guard_->reserve(unpriced, clock_.now());
  EXPECT_EQ(refused.decision, Decision::stop);
  EXPECT_NE(refused.message.find("no price covers a call of model m"), std::string::npos);
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100"})");
  EXPECT_EQ(guard_->reserve(unpriced, clock_.now()).decision, Decision::allow);
}

TEST_F(GuardTest, ThrottlesDowngradesAndStopsSoftOnes) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100",
            "action": "throttle", "throttle_per_minute": 2})");
  EXPECT_EQ(reserve("a", 1'000).decision, Decision::allow);
  test::must(costs_.post(call_, {usage("p", 150, clock_.now())}));
  refresh();
  clock_.advance(hours(1));
  EXPECT_EQ(reserve("b", 1).decision, Decision::allow);
  EXPECT_EQ(reserve("c", 1).decision, Decision::allow);
  const auto throttled = reserve("d", 1);
  EXPECT_EQ(throttled.decision, Decision::throttle);
  EXPECT_EQ(*throttled.retry_after, seconds(61));
  clock_.advance(*throttled.retry_after);
  EXPECT_EQ(reserve("d", 1).decision, Decision::allow);

  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100",
            "model": "m", "action": "downgrade", "downgrade_to": 1})");
  auto down = reserve("e", 1);
  EXPECT_EQ(down.decision, Decision::downgrade);
  EXPECT_EQ(down.version, 1);
  EXPECT_EQ(guard_->reserve(spend("e", 1), clock_.now(), true).decision, Decision::allow);

  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100",
            "action": "stop"})");
  EXPECT_EQ(reserve("f", 1).decision, Decision::stop);
  auto notices = guard_->take_notices();
  EXPECT_FALSE(notices.empty());
  test::must(tell_notices(*db_, notices, clock_.now()));
  EXPECT_TRUE(notices.empty());
  EXPECT_EQ(test::count(*db_, "incidents WHERE dedup_key LIKE 'budget:day:stopped:%'"), 1);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'costs.budget.stopped'"), 1);
  EXPECT_EQ(reserve("f", 1).decision, Decision::stop);
  EXPECT_TRUE(guard_->take_notices().empty());  // once a period
}

TEST_F(GuardTest, DowngradesAHardOneToWhatStillFits) {
  apply(R"({"kind": "budget", "name": "day", "owner": "ana", "period": "day", "limit": "100",
            "hard": true, "route": "chat", "action": "downgrade", "downgrade_to": 1,
            "warn_at": 1.0})");
  const auto held = reserve("a", 60);
  EXPECT_EQ(held.decision, Decision::allow);
  EXPECT_EQ(reserve("b", 50).decision, Decision::downgrade);
  EXPECT_EQ(guard_->reserve(spend("b", 40), clock_.now(), true).decision, Decision::allow);
  EXPECT_EQ(guard_->reserve(spend("c", 50), clock_.now(), true).decision, Decision::stop);
}

TEST_F(GuardTest, CountsWhatOtherModelsCostWhereItIsTheirs) {
  apply(R"({"kind": "budget", "name": "all", "owner": "ana", "period": "day", "limit": "100",
            "hard": true, "action": "stop"})");
  apply(R"({"kind": "budget", "name": "judge", "owner": "ana", "period": "day", "limit": "30",
            "model": "j", "hard": true, "action": "stop"})");
  apply(R"({"kind": "budget", "name": "own", "owner": "ana", "period": "day", "limit": "100",
            "model": "m", "hard": true, "action": "stop"})");
  const auto with = [&](std::string_view id, std::int64_t worst, std::int64_t judge) {
    const std::vector<Part> others{{"j", Money::whole(judge)}};
    Spend asked = spend(id, worst);
    asked.others = others;
    return guard_->reserve(asked, clock_.now());
  };
  const auto reserved = [&](std::size_t index) { return status(index).reserved; };
  auto first = with("a", 10, 20);
  EXPECT_EQ(first.decision, Decision::allow);
  EXPECT_EQ(reserved(0), Money::whole(30));
  EXPECT_EQ(reserved(1), Money::whole(20));
  EXPECT_EQ(reserved(2), Money::whole(10));
  EXPECT_EQ(with("b", 1, 11).budget, "judge");
  EXPECT_EQ(with("b", 81, 0).budget, "all") << "30 are reserved by both";
  // More than was thought, as far as each of them goes.
  EXPECT_TRUE(first.extend({"j", Money::whole(10)}, clock_.now()));
  EXPECT_FALSE(first.extend({"j", Money::whole(1)}, clock_.now()));
  EXPECT_TRUE(first.extend({"m", Money::whole(60)}, clock_.now()));
  EXPECT_FALSE(first.extend({"m", Money::whole(1)}, clock_.now()));
  EXPECT_EQ(reserved(0), Money::whole(100));
  // It fails, and another route stands in: what it has used stays.
  first.keep({{"j", Money::whole(5)}});
  EXPECT_EQ(reserved(0), Money::whole(5));
  EXPECT_EQ(reserved(1), Money::whole(5));
  EXPECT_EQ(reserved(2), Money{});
  first.settle({{"j", Money::whole(6)}}, "a#toxicity", clock_.now());
  EXPECT_EQ(status(1).pending, Money::whole(6));
  // Nothing but the judge has a line, and by that line the call is known.
  Usage judged = usage("a#toxicity", 6, clock_.now());
  judged.source = "inference.node";
  judged.model = "j";
  test::must(costs_.post(call_, {judged}));
  refresh();
  for (const std::size_t index : {0U, 1U}) {
    EXPECT_EQ(status(index).spent, Money::whole(6));
    EXPECT_EQ(status(index).pending + status(index).reserved, Money{});
  }
  EXPECT_EQ(status(2).spent, Money{});
}

TEST_F(GuardTest, KeepsTheTreeATree) {
  apply(R"({"kind": "budget", "name": "acme", "owner": "ana", "tenant": "acme", "limit": "100"})");
  apply(R"({"kind": "budget", "name": "chat", "owner": "ana", "tenant": "acme", "route": "chat",
            "parent": "acme", "limit": "200"})");
  EXPECT_EQ(status(1).note, "its limit is above that of its parent acme");
  struct Case {
    std::string field, declaration;
  };
  const Case cases[] = {
      {"parent", R"("name": "x", "parent": "none", "limit": "1")"},
      {"parent", R"("name": "acme", "tenant": "acme", "parent": "chat", "limit": "1")"},
      {"parent", R"("name": "self", "parent": "self", "limit": "1")"},
      {"tenant", R"("name": "x", "parent": "acme", "tenant": "bolt", "limit": "1")"},
      {"tenant", R"("name": "x", "parent": "acme", "limit": "1")"},
      {"tenant", R"("name": "acme", "tenant": "bolt", "limit": "1")"},  // chat would fall out
      {"limit", R"("name": "x", "limit": "0")"},
      {"warn_at", R"("name": "x", "limit": "1", "warn_at": 1.5)"},
      {"throttle_per_minute", R"("name": "x", "limit": "1", "action": "throttle")"},
      {"downgrade_to", R"("name": "x", "limit": "1", "route": "r", "action": "downgrade")"},
      {"model", R"("name": "x", "limit": "1", "action": "downgrade", "downgrade_to": 1)"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.declaration);
    const auto got = try_to_apply(R"({"kind": "budget", "owner": "ana", )" + c.declaration + "}");
    ASSERT_FALSE(got);
    ASSERT_FALSE(got.error().violations.empty());
    EXPECT_NE(got.error().violations.front().field.find(c.field), std::string::npos)
        << got.error().violations.front().field;
  }
}

}  // namespace
}  // namespace penstock::costs
