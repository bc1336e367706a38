#include "traffic/limiter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <random>
#include <thread>

namespace penstock::traffic {
namespace {

constexpr Timestamp start{Micros(1'700'000'000'000'000)};

std::optional<Permit> admitted(std::variant<Permit, Refusal> result) {
  if (auto* permit = std::get_if<Permit>(&result)) return std::move(*permit);
  return std::nullopt;
}
Refusal refused(std::variant<Permit, Refusal> result) {
  EXPECT_TRUE(std::holds_alternative<Refusal>(result));
  const auto* refusal = std::get_if<Refusal>(&result);
  return refusal ? *refusal : Refusal{};
}
Ask ask(std::string_view tenant = "acme", std::int64_t tokens = 0, std::string_view user = "u1") {
  return {.project = "p", .route = "chat", .tenant = tenant, .user = user, .tokens = tokens};
}

// Every admission ever made, looked at one by one.
struct Oracle {
  struct Past {
    Timestamp at;
    std::string tenant, user;
    std::int64_t tokens;
  };
  std::vector<Past> past;

  static bool counts(Timestamp then, Timestamp now) {
    return std::chrono::floor<std::chrono::seconds>(then) + std::chrono::seconds(61) > now;
  }
  bool fits(const Bound& bound, std::string_view tenant, std::string_view user, std::int64_t tokens,
            Timestamp now) const {
    std::int64_t requests = 0, taken = 0;
    for (const Past& one : past) {
      if (!counts(one.at, now) || (!tenant.empty() && one.tenant != tenant) ||
          (!user.empty() && one.user != user))
        continue;
      ++requests;
      taken += one.tokens;
    }
    return (!bound.requests_per_minute || requests + 1 <= *bound.requests_per_minute) &&
           (!bound.tokens_per_minute || taken + tokens <= *bound.tokens_per_minute);
  }
  bool fits(const RouteLimits& limits, const Ask& asked, Timestamp now) const {
    return fits(limits.route, "", "", asked.tokens, now) &&
           fits(limits.tenant, asked.tenant, "", asked.tokens, now) &&
           fits(limits.user, asked.tenant, asked.user, asked.tokens, now);
  }
  // The most in any 60 seconds, wherever they begin.
  std::int64_t most(bool tokens) const {
    std::int64_t best = 0;
    for (std::size_t i = 0; i < past.size(); ++i) {
      std::int64_t sum = 0;
      for (std::size_t j = i; j < past.size() && past[j].at < past[i].at + Micros(60'000'000); ++j)
        sum += tokens ? past[j].tokens : 1;
      best = std::max(best, sum);
    }
    return best;
  }
};

TEST(Limiter, DecidesAsAListOfEveryAdmissionWould) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto below = [&](std::int64_t most) {
      return std::uniform_int_distribution<std::int64_t>(0, most - 1)(random);
    };
    RouteLimits limits;
    if (below(4)) limits.route.requests_per_minute = 5 + below(60);
    if (below(2)) limits.route.tokens_per_minute = 500 + below(3000);
    if (below(2)) limits.tenant.requests_per_minute = 3 + below(30);
    if (below(2)) limits.user.tokens_per_minute = 200 + below(1000);
    Limiter limiter;
    Oracle oracle;
    Timestamp now = start;
    const std::array<std::string, 3> tenants{"acme", "bolt", "core"}, users{"u1", "u2", "u3"};
    for (int step = 0; step < 500; ++step) {
      now += Micros(below(2) ? below(50'000) : below(3'000'000));
      const std::string& tenant = tenants[static_cast<std::size_t>(below(3))];
      const std::string& user = users[static_cast<std::size_t>(below(3))];
      const Ask asked = ask(tenant, below(150), user);
      const bool fits = oracle.fits(limits, asked, now);
      auto result = limiter.admit(asked, limits, now);
      ASSERT_EQ(std::holds_alternative<Permit>(result), fits) << "step " << step;
      if (fits) oracle.past.push_back({now, tenant, user, asked.tokens});
      if (const auto* refusal = std::get_if<Refusal>(&result); refusal && refusal->retry_after) {
        // To the microsecond: refused just before, let in just then.
        const Timestamp then = now + *refusal->retry_after;
        EXPECT_FALSE(oracle.fits(limits, asked, then - Micros(1)));
        EXPECT_TRUE(oracle.fits(limits, asked, then));
      }
    }
    EXPECT_LE(oracle.most(false), limits.route.requests_per_minute.value_or(500));
    EXPECT_LE(oracle.most(true), limits.route.tokens_per_minute.value_or(500 * 150));
  }
}

TEST(Limiter, NeverLetsMoreInHoweverManyCallAtOnce) {
  RouteLimits limits;
  limits.route.requests_per_minute = 1'000;
  limits.tenant.tokens_per_minute = 4'000;
  limits.user.concurrent = 5'000;
  Limiter limiter;
  std::atomic<std::int64_t> admitted_calls{0}, tokens{0};
  {
    std::vector<std::jthread> callers;
    for (int thread = 0; thread < 8; ++thread)
      callers.emplace_back([&, thread] {
        const std::string tenant = thread % 2 ? "acme" : "bolt";
        for (int i = 0; i < 1'000; ++i) {
          auto permit = admitted(limiter.admit(ask(tenant, 10), limits, start));
          if (!permit) continue;
          ++admitted_calls;
          tokens += 10;
        }
      });
  }
  // Each tenant's tokens end at 400 calls, the route's requests at 1,000.
  EXPECT_EQ(admitted_calls, 800);
  EXPECT_EQ(tokens, 8'000);
}

TEST(Limiter, CountsCallsThatRunAndForgetsThemWhenTheyEnd) {
  RouteLimits limits;
  limits.tenant.concurrent = 3;
  Limiter limiter;
  std::atomic<int> running{0}, most{0};
  std::atomic<int> done{0};
  {
    std::vector<std::jthread> callers;
    for (int thread = 0; thread < 8; ++thread)
      callers.emplace_back([&] {
        for (int i = 0; i < 2'000; ++i) {
          auto permit = admitted(limiter.admit(ask(), limits, start));
          if (!permit) continue;
          const int now = ++running;
          int seen = most.load();
          while (now > seen && !most.compare_exchange_weak(seen, now)) {
          }
          ++done;
          --running;
        }
      });
  }
  EXPECT_LE(most, 3);
  EXPECT_GT(done, 0);
  std::vector<Permit> held;
  for (int i = 0; i < 3; ++i) held.push_back(*admitted(limiter.admit(ask(), limits, start)));
  EXPECT_EQ(refused(limiter.admit(ask(), limits, start)).reason, Reason::concurrent);
  EXPECT_TRUE(admitted(limiter.admit(ask("bolt"), limits, start)));
  held.pop_back();
  EXPECT_TRUE(admitted(limiter.admit(ask(), limits, start)));
}

TEST(Limiter, TakesNothingOfOneBoundWhereAnotherRefuses) {
  RouteLimits limits;
  limits.route.requests_per_minute = 10;
  limits.tenant.requests_per_minute = 2;
  Limiter limiter;
  int let_in = 0;
  for (int i = 0; i < 50; ++i)
    let_in += admitted(limiter.admit(ask("acme"), limits, start)) ? 1 : 0;
  EXPECT_EQ(let_in, 2);
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 2; ++j)
      EXPECT_TRUE(admitted(limiter.admit(ask("t" + std::to_string(i)), limits, start)));
  EXPECT_EQ(refused(limiter.admit(ask("last"), limits, start)).reason, Reason::requests);
}

TEST(Limiter, TakesTheWorstCaseAndSettlesIt) {
  RouteLimits limits;
  limits.route.tokens_per_minute = 1'000;
  Limiter limiter;
  auto first = admitted(limiter.admit(ask("a", 900), limits, start));
  ASSERT_TRUE(first);
  const Refusal refusal = refused(limiter.admit(ask("a", 200), limits, start));
  EXPECT_EQ(refusal.reason, Reason::tokens);
  EXPECT_EQ(error_of(refusal).code, Code::resource_exhausted);
  EXPECT_EQ(error_of(refusal).message,
            "the limit of 1000 tokens a minute on route chat is reached; try again in 61 s");
  EXPECT_EQ(retry_after_of(error_of(refusal)), 61);
  EXPECT_FALSE(retry_after_of(Error{Code::internal, "another"}));
  first->settle(300, start + Micros(1));
  first->settle(0, start + Micros(1));  // once
  EXPECT_FALSE(admitted(limiter.admit(ask("a", 701), limits, start)));
  auto second = admitted(limiter.admit(ask("a", 600), limits, start + Micros(2)));
  ASSERT_TRUE(second);
  second->settle(5'000, start + Micros(3));  // the upstream took more than was said
  EXPECT_FALSE(admitted(limiter.admit(ask("a", 1), limits, start + std::chrono::seconds(60))));
  EXPECT_TRUE(admitted(limiter.admit(ask("a", 1'000), limits, start + std::chrono::seconds(61))));
  // One that never fits is told so, not to come again.
  EXPECT_FALSE(refused(limiter.admit(ask("a", 1'001), limits, start)).retry_after);
}

TEST(Limiter, ForgetsUsersWhoAreGoneAndBoundsThoseItTellsApart) {
  RouteLimits limits;
  limits.user.requests_per_minute = 1;
  Limiter limiter({.keys_max = 640});
  Timestamp now = start;
  for (int i = 0; i < 20'000; ++i) {
    now += std::chrono::milliseconds(500);
    EXPECT_TRUE(admitted(limiter.admit(ask("acme", 0, "u" + std::to_string(i)), limits, now)));
  }
  EXPECT_LE(limiter.keys(), 640u + 64u);
  // Too many at once: those without room share one limit, and never exceed it.
  int let_in = 0;
  for (int i = 0; i < 5'000; ++i)
    let_in += admitted(limiter.admit(ask("acme", 0, "v" + std::to_string(i)), limits, now)) ? 1 : 0;
  EXPECT_LE(let_in, 641);
  EXPECT_LE(limiter.keys(), 704u);
}

TEST(Limiter, AsksNothingWhereThereAreNoLimits) {
  Limiter limiter;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(admitted(limiter.admit(ask(), RouteLimits{}, start)));
  EXPECT_EQ(limiter.keys(), 0u);
}

}  // namespace
}  // namespace penstock::traffic
