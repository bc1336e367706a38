// Several servers, one hard budget: together they never spend more than it, whatever order their
// calls, posts, turns and ends come in.
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "costs/guard.h"
#include "costs/service.h"
#include "tests/support/fixture.h"

namespace penstock::costs {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

// One server, as far as budgets go.
struct Server {
  Server(sql::Database& database, const Clock& its_clock, const std::string& name, int life = 1)
      : db(database), clock(its_clock) {
    guard.lease_as({.holder = name + "-" + std::to_string(life), .server = name, .shared = true});
  }
  void turn() { test::must(guard.refresh(db, "p1", clock.now())); }
  Reservation reserve(const std::string& id, std::int64_t worst) {
    return guard.reserve({.project = "p1",
                          .id = id,
                          .tenant = "acme",
                          .route = "chat",
                          .model = "m",
                          .version = 1,
                          .worst = Money::whole(worst),
                          .at = clock.now(),
                          .deadline = clock.now() + hours(1'000)},
                         clock.now());
  }
  void post(const std::vector<std::pair<std::string, std::int64_t>>& calls) {
    std::vector<Usage> usages;
    for (const auto& [id, cost] : calls)
      usages.push_back({.source = "inference",
                        .id = id,
                        .meter = Meter::output_tokens,
                        .quantity = cost,
                        .at = clock.now(),
                        .tenant = "acme",
                        .route = "chat",
                        .model = "m",
                        .version = 1});
    if (!usages.empty()) test::must(costs.post(test::call(), usages));
  }
  BudgetStatus status() { return guard.list("p1", clock.now()).at(0); }

  sql::Database& db;
  const Clock& clock;
  Guard guard;
  Service costs{db, clock, &guard};
};

class LeasesTest : public testing::Test {
 protected:
  LeasesTest() {
    for (resources::KindHandler& kind : costs_.kinds()) resources_.add(std::move(kind));
    clock_.set(*from_rfc3339("2026-05-10T10:00:00Z"));
    apply(R"({"kind": "price_list", "name": "standard", "owner": "finance", "currency": "USD",
      "prices": [{"meter": "output_tokens", "price": "1", "per": 1, "from": "2013-01-01"}]})");
  }
  void apply(const std::string& declaration) {
    resources::ApplyInput input;
    input.documents.push_back({.declaration = json::parse(declaration).as_object()});
    test::must(resources_.apply(call_, input));
  }
  void budget(int limit) {
    apply(R"({"kind": "budget", "name": "all", "owner": "ana", "period": "month", "limit": ")" +
          std::to_string(limit) + R"(", "hard": true, "action": "stop"})");
  }
  std::unique_ptr<Server> server(const std::string& name, int life = 1) {
    auto made = std::make_unique<Server>(*db_, clock_, name, life);
    made->turn();
    return made;
  }
  std::int64_t rows(const std::string& where = "1 = 1") {
    return test::count(*db_, "budget_leases WHERE " + where);
  }

  const Call call_ = test::call();
  ManualClock clock_;
  const std::unique_ptr<sql::Database> db_ = test::database();
  resources::Service resources_{*db_, clock_};
  Service costs_{*db_, clock_};
};

TEST_F(LeasesTest, OneAsksForMoreOfWhatTheOtherDoesNotNeed) {
  budget(1'000);
  const auto one = server("one"), two = server("two");
  EXPECT_EQ(*one->status().portion, Money::whole(20));
  EXPECT_EQ(*two->status().elsewhere, Money::whole(20));
  const auto early = one->reserve("a", 300);
  EXPECT_EQ(early.decision, Decision::throttle);
  EXPECT_EQ(*early.retry_after, seconds(1));
  EXPECT_NE(early.message.find("20 of it at this moment"), std::string::npos) << early.message;
  EXPECT_TRUE(one->guard.hungry());
  one->turn();
  EXPECT_FALSE(one->guard.hungry());
  auto call = one->reserve("a", 300);
  EXPECT_EQ(call.decision, Decision::allow);
  EXPECT_TRUE(call.hard);
  // Nothing of it was a verdict on the budget.
  EXPECT_TRUE(one->guard.take_notices().empty());
  // The other sees what is left once it asks, and no call may have more.
  EXPECT_EQ(two->reserve("b", 700).decision, Decision::throttle);
  two->turn();
  EXPECT_EQ(two->reserve("b", 700).decision, Decision::throttle);
  EXPECT_EQ(two->reserve("b", 1'001).decision, Decision::stop);
  call.settle(Money::whole(100), clock_.now());
  one->post({{"a", 100}});
  one->turn();
  one->turn();  // it has not needed anything since
  two->turn();
  EXPECT_EQ(one->status().spent, Money::whole(100));
  EXPECT_EQ(two->reserve("b", 700).decision, Decision::allow);
  EXPECT_EQ(two->reserve("c", 901).decision, Decision::stop);
}

TEST_F(LeasesTest, TheLastOfABudgetGoesToWhoeverAsks) {
  budget(100);
  std::vector<std::unique_ptr<Server>> servers;
  for (const char* name : {"a", "b", "c", "d"}) servers.push_back(server(name));
  std::int64_t spent = 0;
  // One of them alone has calls; the others only take their turns.
  for (int i = 0; i < 400; ++i) {
    const std::string id = std::to_string(i);
    auto call = servers[0]->reserve(id, 1);
    if (call.decision == Decision::allow) {
      ++spent;
      call.settle(Money::whole(1), clock_.now());
      servers[0]->post({{id, 1}});
    }
    for (const auto& one : servers) one->turn();
  }
  EXPECT_EQ(spent, 100);
}

TEST_F(LeasesTest, WhoStopsGivesBackAndWhoIsKilledDoesNot) {
  budget(1'000);
  auto one = server("one"), two = server("two");
  auto running = two->reserve("b", 15);
  ASSERT_EQ(running.decision, Decision::allow);
  two->turn();
  test::must(one->guard.give_back(*db_, clock_.now()));
  EXPECT_EQ(rows("server = 'one'"), 0);
  EXPECT_EQ(*one->status().portion, Money{});
  // Killed: nobody else may spend what it holds.
  const Money held = *two->status().portion;
  EXPECT_GT(held, Money::whole(15));
  const auto three = server("three");
  EXPECT_EQ(*three->status().elsewhere, held);
  clock_.advance(std::chrono::minutes(11));
  three->turn();
  three->turn();
  EXPECT_EQ(test::count(*db_, "incidents WHERE dedup_key LIKE 'budget:all:silent:%'"), 1);
  // Its next life gives back all but what ran, and says what that was.
  auto next = std::make_unique<Server>(*db_, clock_, "two", 2);
  test::must(next->guard.recover(*db_, clock_.now()));
  next->turn();
  EXPECT_EQ(next->status().unsettled, Money::whole(15));
  EXPECT_EQ(test::count(*db_,
                        "incidents WHERE dedup_key = 'budget:all:unsettled:two-1' AND "
                        "title LIKE '%up to 15:%'"),
            1);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'costs.budget.unsettled'"), 1);
  three->turn();
  EXPECT_EQ(three->status().unsettled, Money::whole(15));
  EXPECT_EQ(*three->status().elsewhere, *next->status().portion);
  EXPECT_EQ(three->reserve("c", 986).decision, Decision::stop);
  // A third life has nothing to say of the first.
  Server third(*db_, clock_, "two", 3);
  test::must(third.guard.recover(*db_, clock_.now()));
  EXPECT_EQ(rows("holder = 'two-2'"), 0);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'costs.budget.unsettled'"), 1);
}

TEST_F(LeasesTest, APersonFreesWhatAServerHoldsThatIsGoneForGood) {
  budget(1'000);
  auto one = server("one"), gone = server("gone");
  auto running = gone->reserve("b", 15);
  ASSERT_EQ(running.decision, Decision::allow);
  gone->turn();
  const Money held = *gone->status().portion;
  ASSERT_GT(held, Money::whole(15));
  const auto free = [&](const std::string& name) {
    return one->costs.free_leases(test::call("user:ana"), {name, "its disk is broken"});
  };
  EXPECT_EQ(free("gone").error().code, Code::failed_precondition) << "it may live";
  EXPECT_EQ(free("nobody").error().code, Code::not_found);
  clock_.advance(std::chrono::minutes(11));
  one->turn();
  one->turn();
  EXPECT_EQ(test::count(*db_, "incidents WHERE title LIKE '%penstock budgets free gone'"), 1);
  EXPECT_EQ(*one->status().elsewhere, held);

  const FreedLeases freed = test::must(free("gone"));
  ASSERT_EQ(freed.leases.size(), 1u);
  EXPECT_EQ(freed.leases[0].budget, "all");
  EXPECT_EQ(freed.leases[0].unsettled, Money::whole(15)) << "its provider bills what ran";
  EXPECT_EQ(freed.leases[0].freed, held - Money::whole(15));
  EXPECT_EQ(test::count(*db_,
                        "audit_events WHERE action = 'costs.budget.freed' AND subject = "
                        "'server:gone' AND actor = 'user:ana'"),
            1);
  one->turn();
  EXPECT_EQ(*one->status().elsewhere, Money{});
  EXPECT_EQ(one->status().unsettled, Money::whole(15));
  EXPECT_EQ(one->reserve("c", 986).decision, Decision::stop);
  one->turn();
  EXPECT_EQ(one->reserve("d", 985).decision, Decision::throttle) << "it asks for a larger portion";
  one->turn();
  EXPECT_EQ(one->reserve("e", 985).decision, Decision::allow);
  EXPECT_EQ(free("gone").error().code, Code::not_found) << "once";

  // It was only cut off after all: it holds again what is left, and that is nothing.
  gone->turn();
  EXPECT_NE(gone->reserve("f", 10).decision, Decision::allow);
  gone->turn();
  EXPECT_NE(gone->reserve("g", 10).decision, Decision::allow);
}

TEST_F(LeasesTest, ACallThatTheLogKeptIsSettledAfterAll) {
  budget(1'000);
  auto one = server("one");
  auto logged = one->reserve("logged", 10), lost = one->reserve("lost", 4);
  one->turn();
  Server next(*db_, clock_, "one", 2);
  next.post({{"logged", 3}});  // of the durable log, at the next start
  test::must(next.guard.recover(*db_, clock_.now()));
  next.turn();
  EXPECT_EQ(next.status().spent, Money::whole(3));
  EXPECT_EQ(next.status().unsettled, Money::whole(4));
  // It counts until the period ends.
  clock_.advance(hours(24 * 40));
  next.turn();
  EXPECT_EQ(next.status().unsettled, Money{});
  EXPECT_EQ(rows("unsettled = TRUE"), 0);
}

TEST_F(LeasesTest, AServerAloneWritesOnlyWhatRuns) {
  budget(100);
  Server alone(*db_, clock_, "alone");
  alone.guard.lease_as({.holder = "alone-1", .server = "alone"});
  alone.turn();
  auto call = alone.reserve("a", 100);
  EXPECT_EQ(call.decision, Decision::allow);  // all of it is its own
  EXPECT_FALSE(alone.status().portion);
  alone.turn();
  EXPECT_EQ(rows(), 1);
  {
    Server next(*db_, clock_, "alone", 2);
    next.guard.lease_as({.holder = "alone-2", .server = "alone"});
    test::must(next.guard.recover(*db_, clock_.now()));
    next.turn();
    EXPECT_EQ(next.status().unsettled, Money::whole(100));
    EXPECT_EQ(next.reserve("b", 1).decision, Decision::stop);
  }
}

class LeasesOrderTest : public LeasesTest, public testing::WithParamInterface<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Seeds, LeasesOrderTest, testing::Values(3u, 5u, 8u));

// What a call cost or may cost, for ever, in one place that knows all servers.
struct Known {
  Reservation reservation;
  std::size_t server = 0;
  std::string id;
  std::int64_t amount = 0;
  bool running = true, posted = false;
};

TEST_P(LeasesOrderTest, IsNeverOverspentWhateverTheOrder) {
  budget(2'000);
  std::mt19937 random(GetParam());
  const auto below = [&](std::uint32_t most) { return static_cast<std::int64_t>(random() % most); };
  std::vector<std::unique_ptr<Server>> servers, dead;
  std::vector<std::unique_ptr<Known>> calls;
  for (int i = 0; i < 4; ++i) servers.push_back(server("s" + std::to_string(i)));
  const auto total = [&] {
    std::int64_t sum = 0;
    for (const auto& one : calls) sum += one->amount;
    return sum;
  };
  int allowed = 0, refused = 0, deaths = 0;
  for (int step = 0; step < 4'000; ++step) {
    const auto at = static_cast<std::size_t>(below(4));
    const std::int64_t dice = below(200);
    if (dice < 90) {
      auto one = std::make_unique<Known>();
      one->id = std::to_string(step);
      one->server = at;
      one->amount = 1 + below(30);
      one->reservation = servers[at]->reserve(one->id, one->amount);
      if (one->reservation.decision != Decision::allow) {
        ++refused;
        continue;
      }
      ++allowed;
      calls.push_back(std::move(one));
      ASSERT_LE(total(), 2'000) << "step " << step;
    } else if (dice < 150 && !calls.empty()) {
      Known& one =
          *calls[static_cast<std::size_t>(below(static_cast<std::uint32_t>(calls.size())))];
      if (!one.running) continue;
      one.running = false;
      one.amount = below(static_cast<std::uint32_t>(one.amount + 1));
      one.reservation.settle(Money::whole(one.amount), clock_.now());
    } else if (dice < 165) {
      std::vector<std::pair<std::string, std::int64_t>> posts;
      for (const auto& one : calls) {
        if (one->server != at || one->running || one->posted) continue;
        one->posted = true;
        posts.emplace_back(one->id, one->amount);
      }
      servers[at]->post(posts);
    } else if (dice < 199) {
      servers[at]->turn();
    } else if (deaths < 3) {
      // It is gone with all that it knew; what its calls cost, nobody ever hears.
      for (const auto& one : calls)
        if (one->server == at) {
          one->running = false;
          one->posted = true;
        }
      dead.push_back(std::exchange(servers[at], server("after" + std::to_string(++deaths))));
    }
  }
  EXPECT_GT(allowed, 150);
  EXPECT_GT(refused, 100);
  EXPECT_EQ(deaths, 3);
  EXPECT_GE(total(), 1'000);  // what the dead hold is lost, and not much more
}

TEST_F(LeasesTest, HoldsUnderServersAtOnce) {
  budget(3'000);
  std::atomic<std::int64_t> spent{0}, running{0}, most{0};
  std::vector<std::unique_ptr<Server>> servers;
  for (const char* name : {"a", "b", "c"}) servers.push_back(server(name));
  {
    std::vector<std::jthread> threads;
    for (std::size_t at = 0; at < servers.size(); ++at)
      threads.emplace_back([&, at] {
        Server& own = *servers[at];
        std::mt19937 random(static_cast<unsigned>(at));
        std::mutex turn;
        std::vector<std::pair<std::string, std::int64_t>> to_post;
        std::atomic<bool> over{false};
        std::jthread background([&] {
          while (!over) {
            std::vector<std::pair<std::string, std::int64_t>> now;
            {
              const std::lock_guard lock(turn);
              now.swap(to_post);
            }
            own.post(now);
            own.turn();
          }
        });
        int refused = 0;
        for (int i = 0; refused < 5'000; ++i) {
          const std::string id = std::to_string(at) + "-" + std::to_string(i);
          const auto worst = static_cast<std::int64_t>(1 + random() % 20);
          auto one = own.reserve(id, worst);
          if (one.decision == Decision::stop) break;
          if (one.decision != Decision::allow) {
            ++refused;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            continue;
          }
          const std::int64_t sum = (running += worst) + spent;
          std::int64_t seen = most;
          while (sum > seen && !most.compare_exchange_weak(seen, sum)) {
          }
          const auto actual =
              static_cast<std::int64_t>(random() % static_cast<unsigned>(worst + 1));
          running -= worst;
          spent += actual;
          one.settle(Money::whole(actual), clock_.now());
          const std::lock_guard lock(turn);
          to_post.emplace_back(id, actual);
        }
        over = true;
        background.join();
        own.post(to_post);
      });
  }
  EXPECT_LE(spent, 3'000);
  EXPECT_LE(most, 3'000);
  EXPECT_GE(spent, 2'500);
  for (const auto& one : servers) one->turn();
  EXPECT_EQ(servers[0]->status().spent, Money::whole(spent));
  for (const auto& one : servers) test::must(one->guard.give_back(*db_, clock_.now()));
  EXPECT_EQ(rows(), 0);
}

}  // namespace
}  // namespace penstock::costs
