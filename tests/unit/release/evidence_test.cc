#include "release/evidence.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <gtest/gtest.h>

namespace penstock::release {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

// The definition, spelled out: a direct product over single events, in long double.
long double slow_e(const std::vector<RateLook>& looks, double null_ratio, bool is_mirrored) {
  const auto share = [](long double ratio, long double rho) {
    return rho * ratio / (rho * ratio + 1 - rho);
  };
  long double sum = 0;
  for (int k = 0; k < 24; ++k) {
    const long double multiple = 1.1L * std::pow(20 / 1.1L, static_cast<long double>(k) / 23);
    const long double ratio = is_mirrored ? null_ratio / multiple : null_ratio * multiple;
    long double product = 1;
    for (const RateLook& look : looks) {
      const long double q = share(ratio, look.rho), p = share(null_ratio, look.rho);
      for (std::int64_t i = 0; i < look.canary_bad; ++i) product *= q / p;
      for (std::int64_t i = 0; i < look.baseline_bad; ++i) product *= (1 - q) / (1 - p);
    }
    sum += product;
  }
  return sum / 24;
}

// Bad events among a million calls that fall on the arms just as rho has it.
RateLook events(double rho, std::int64_t canary_bad, std::int64_t baseline_bad) {
  const std::int64_t canary_calls = std::llround(rho * 1e6);
  return {rho, canary_calls, 1'000'000 - canary_calls, canary_bad, baseline_bad, 0};
}

TEST(RateTest, AgreesWithTheProductOverSingleEvents) {
  struct Case {
    std::string what;
    RatePlan plan;
    std::vector<RateLook> looks;
  };
  const Case cases[] = {
      {"no event", {}, {events(0.1, 0, 0)}},
      {"one on the canary", {}, {events(0.1, 1, 0)}},
      {"one on the baseline", {}, {events(0.1, 0, 1)}},
      {"a few", {1, 2, 0.05, 0.05}, {events(0.1, 3, 11)}},
      {"two stages", {1, 1.5, 0.01, 0.05}, {events(0.1, 4, 20), events(0.5, 17, 15)}},
      {"another null", {1.2, 3, 0.05, 0.05}, {events(0.01, 2, 90), events(0.3, 30, 60)}},
      {"a null below 1", {0.5, 0.9, 0.05, 0.05}, {events(0.9, 60, 9)}},
      {"edges of rho", {}, {events(2e-6, 1, 40), events(1 - 2e-6, 40, 1)}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    RateTest test(c.plan);
    for (const RateLook& look : c.looks) test.add(look);
    const auto harm = static_cast<double>(std::log(slow_e(c.looks, c.plan.null_ratio, false)));
    const auto safe = static_cast<double>(std::log(slow_e(c.looks, c.plan.safe_ratio, true)));
    EXPECT_NEAR(test.harm_log_e(), harm, 1e-11 * (1 + std::abs(harm)));
    EXPECT_NEAR(test.safe_log_e(), safe, 1e-11 * (1 + std::abs(safe)));
  }
}

TEST(RateTest, DoesNotDependOnTheOrderOrTheSizeOfItsLooks) {
  std::mt19937_64 random(7);
  std::vector<RateLook> single;
  RateTest bulk(RatePlan{});
  for (const double rho : {0.1, 0.25, 0.5}) {
    bulk.add({rho, 40, 60, 7, 13, 0});
    for (int i = 0; i < 100; ++i) {
      const bool is_canary = i < 40, is_bad = is_canary ? i < 7 : i < 53;
      single.push_back({rho, is_canary, !is_canary, is_canary && is_bad, !is_canary && is_bad, 0});
    }
  }
  for (int round = 0; round < 20; ++round) {
    std::shuffle(single.begin(), single.end(), random);
    RateTest test(RatePlan{});
    for (const RateLook& look : single) test.add(look);
    EXPECT_NEAR(test.harm_log_e(), bulk.harm_log_e(), 1e-11);
    EXPECT_NEAR(test.safe_log_e(), bulk.safe_log_e(), 1e-11);
    EXPECT_EQ(test.state().canary_calls, 120);
    EXPECT_EQ(test.state().baseline_calls, 180);
    EXPECT_EQ(test.state().canary_bad, 21);
    EXPECT_EQ(test.state().baseline_bad, 39);
  }
}

TEST(RateTest, SpeaksAtExactlyTheFirstEventThatCrosses) {
  struct Case {
    std::string what;
    int canary_events;  // of every ten
    Verdict verdict;
  };
  // Small steps, so that a threshold a little off would show as another event.
  for (const Case& c : {Case{"harm", 7, Verdict::harmful}, {"safety", 4, Verdict::proven_safe}}) {
    SCOPED_TRACE(c.what);
    RateTest test(RatePlan{});
    std::vector<RateLook> seen;
    int crossed = 0;
    for (int i = 1; i <= 400 && crossed == 0; ++i) {
      const bool is_canary = i * 7 % 10 < c.canary_events;
      seen.push_back(events(0.5, is_canary, !is_canary));
      const bool is_safety = c.verdict == Verdict::proven_safe;
      if (slow_e(seen, is_safety ? 1.5 : 1, is_safety) >= 20) crossed = i;
      EXPECT_EQ(test.add(seen.back()) == c.verdict, crossed > 0) << "after event " << i;
    }
    EXPECT_GT(crossed, 20);
  }
}

TEST(RateTest, ProvesSafetyOnlyBelowTheMargin) {
  RateTest test(RatePlan{1, 2, 0.05, 0.05});
  EXPECT_EQ(test.add({0.5, 1000, 1000, 10, 10, 0}), Verdict::undecided);
  EXPECT_EQ(test.add({0.5, 9000, 9000, 90, 90, 0}), Verdict::proven_safe);
  EXPECT_LT(test.harm_log_e(), 0);
}

// What one event multiplies each product by has a mean of at most 1 all over the null.
TEST(RateTest, IsASupermartingaleOverItsWholeNull) {
  for (const double rho : {0.001, 0.1, 0.5, 0.9, 0.999})
    for (const RatePlan plan : {RatePlan{1, 1.5, 0.05, 0.05}, RatePlan{1.3, 4, 0.05, 0.05}}) {
      RateTest on_canary(plan), on_baseline(plan);
      on_canary.add(events(rho, 1, 0));
      on_baseline.add(events(rho, 0, 1));
      const auto mean = [&](const Grid RateState::*products, std::size_t k, double ratio) {
        const double share = rho * ratio / (rho * ratio + 1 - rho);
        return share * std::exp((on_canary.state().*products)[k]) +
               (1 - share) * std::exp((on_baseline.state().*products)[k]);
      };
      const auto harm = &RateState::harm_log_products, safe = &RateState::safe_log_products;
      for (std::size_t k = 0; k < grid_size; ++k) {
        EXPECT_NEAR(mean(harm, k, plan.null_ratio), 1, 1e-12);
        EXPECT_NEAR(mean(safe, k, plan.safe_ratio), 1, 1e-12);
        for (const double below : {0.0, 0.1, 0.5, 0.9, 0.99})
          EXPECT_LT(mean(harm, k, plan.null_ratio * below), 1);
        for (const double above : {1.01, 1.1, 2.0, 10.0, 1000.0})
          EXPECT_LT(mean(safe, k, plan.safe_ratio * above), 1);
        EXPECT_GT(mean(harm, k, plan.null_ratio * 1.01), 1) << "no power";
        EXPECT_GT(mean(safe, k, plan.safe_ratio / 1.01), 1) << "no power";
      }
    }
}

TEST(RateTest, FindsMoreHarmAndLessSafetyInMoreBadCanaryEvents) {
  for (const double rho : {0.05, 0.5, 0.95})
    for (int baseline_bad : {0, 5, 50}) {
      double harm = -infinity, safe = infinity;
      for (int canary_bad = 0; canary_bad < 60; ++canary_bad) {
        RateTest test(RatePlan{});
        test.add(events(rho, canary_bad, baseline_bad));
        EXPECT_GT(test.harm_log_e(), harm);
        EXPECT_LT(test.safe_log_e(), safe);
        harm = test.harm_log_e(), safe = test.safe_log_e();
      }
    }
}

TEST(RateTest, KeepsItsVerdicts) {
  const RateLook bad = events(0.1, 40, 0), good = {0.1, 100'000, 900'000, 100, 9'000, 0};
  const RateLook impossible{0.1, 1, 1, 2, 0, 0};
  {
    RateTest test(RatePlan{});
    EXPECT_EQ(test.add(bad), Verdict::harmful);
    EXPECT_EQ(test.add(good), Verdict::harmful);
    EXPECT_LT(test.harm_log_e(), 0);
    EXPECT_GT(test.state().harm_log_e_max, log_threshold(0.05));
    EXPECT_EQ(test.add(impossible), Verdict::harmful);
  }
  {
    RateTest test(RatePlan{});
    EXPECT_EQ(test.add(impossible), Verdict::broken);
    EXPECT_EQ(test.add(good), Verdict::broken) << "a proof of safety does not mend it";
    EXPECT_TRUE(test.state().proven_safe);
  }
  {
    RateTest test(RatePlan{});
    EXPECT_EQ(test.add(impossible), Verdict::broken);
    EXPECT_EQ(test.add(bad), Verdict::harmful) << "harm shows even so";
  }
  {
    RateTest test(RatePlan{});
    EXPECT_EQ(test.add(good), Verdict::proven_safe);
    EXPECT_EQ(test.add(events(0.1, 100, 0)), Verdict::proven_safe) << "not enough yet";
    EXPECT_EQ(test.add(events(0.1, 3000, 0)), Verdict::harmful);
  }
}

TEST(RateTest, CallsMissingDataMissing) {
  RateTest test(RatePlan{});
  EXPECT_EQ(test.verdict(), Verdict::no_data);
  EXPECT_EQ(test.add({}), Verdict::no_data) << "a look at nothing, before there is any rho";
  EXPECT_EQ(test.add({0.1, 0, 60, 0, 60, 0}), Verdict::no_data) << "the canary is silent";
  EXPECT_GT(test.safe_log_e(), log_threshold(0.05)) << "and not safe, though it never failed";

  RateTest no_baseline(RatePlan{});
  EXPECT_EQ(no_baseline.add({0.1, 3, 0, 1, 0, 0}), Verdict::no_data);

  RateTest lost(RatePlan{});
  EXPECT_EQ(lost.add({0.1, 1, 999, 0, 90, 0}), Verdict::broken) << "nor is one that loses events";

  RateTest no_failures(RatePlan{});
  EXPECT_EQ(no_failures.add({0.5, 1'000'000, 1'000'000, 0, 0, 0}), Verdict::undecided);
  EXPECT_EQ(no_failures.safe_log_e(), 0);
}

TEST(RateTest, RefusesImpossibleLooksAndCountsNothingOfThem) {
  struct Case {
    std::string what;
    RateLook look;
  };
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const Case cases[] = {
      {"rho 0", {0, 1, 9, 0, 0, 0}},
      {"rho 1", {1, 1, 9, 0, 0, 0}},
      {"rho below 0", {-0.1, 1, 9, 0, 0, 0}},
      {"rho above 1", {1.1, 1, 9, 0, 0, 0}},
      {"rho is no number", {nan, 1, 9, 0, 0, 0}},
      {"infinite rho", {infinity, 1, 9, 0, 0, 0}},
      {"negative canary calls", {0.1, -1, 9, 0, 0, 0}},
      {"negative baseline calls", {0.1, 1, -9, 0, 0, 0}},
      {"negative canary bad", {0.1, 1, 9, -1, 0, 0}},
      {"negative baseline bad", {0.1, 1, 9, 0, -1, 0}},
      {"more canary bad than calls", {0.1, 1, 9, 2, 0, 0}},
      {"more baseline bad than calls", {0.1, 1, 9, 0, 10, 0}},
      {"bad events of no calls", {0.1, 0, 0, 1, 1, 0}},
      {"another version answered", {0.1, 1, 9, 0, 0, 1}},
      {"only another version answered", {0.1, 0, 0, 0, 0, 1}},
      {"negative calls of another version", {0.1, 1, 9, 0, 0, -1}},
      {"more calls than there can be", {0.1, most, 9, 0, 0, 0}},
      {"more baseline calls than there can be", {0.1, 1, most, 0, 0, 0}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    RateTest test(RatePlan{});
    test.add(events(0.1, 1, 9));
    RateState expected = test.state();
    expected.broken = true;
    EXPECT_EQ(test.add(c.look), Verdict::broken);
    EXPECT_EQ(test.state(), expected);
  }
}

TEST(RateTest, NeverLetsItsTotalsOverflow) {
  RateTest test(RatePlan{});
  const RateLook huge{0.5, 1'000'000'000'000, 1'000'000'000'000, 0, 0, 0};
  EXPECT_EQ(test.add(huge), Verdict::undecided);
  for (auto RateState::*calls : {&RateState::canary_calls, &RateState::baseline_calls}) {
    RateState state;
    state.*calls = 999'999'999'999'999'999;
    EXPECT_EQ(RateTest(state).add(huge), Verdict::broken);
  }
}

TEST(RateTest, NamesTheFaultOfAPlanAndIsBrokenByIt) {
  struct Case {
    RatePlan plan;
    std::string fault;
  };
  const Case cases[] = {
      {{1, 1.5, 0, 0.05}, "alpha must be above 0 and at most 0.5"},
      {{1, 1.5, 0.6, 0.05}, "alpha must be above 0 and at most 0.5"},
      {{1, 1.5, nan, 0.05}, "alpha must be above 0 and at most 0.5"},
      {{1, 1.5, 0.05, -1}, "beta must be above 0 and at most 0.5"},
      {{0, 1.5, 0.05, 0.05}, "null_ratio must be a positive number"},
      {{infinity, 1.5, 0.05, 0.05}, "null_ratio must be a positive number"},
      {{1, nan, 0.05, 0.05}, "safe_ratio must be a positive number"},
      {{1, 1, 0.05, 0.05}, "safe_ratio must be above null_ratio"},
      {{1, 1.5, 0.05, 0.05, 1}, "assignment_level must be 0, or above 0 and at most 0.5"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(fault_of(c.plan), c.fault);
    RateTest test(c.plan);
    EXPECT_EQ(test.verdict(), Verdict::broken);
    EXPECT_EQ(test.add(events(0.1, 50, 0)), Verdict::broken);
    EXPECT_EQ(test.state().canary_calls, 0);
  }
  EXPECT_EQ(fault_of(RatePlan{}), "");
}

TEST(RateTest, ChecksThatCallsFallAsRhoSays) {
  struct Case {
    std::string what;
    RateLook look;
    double level;
    Verdict verdict;
  };
  const Case cases[] = {
      {"as expected", {0.1, 10'000, 90'000, 0, 0, 0}, 1e-4, Verdict::undecided},
      {"three deviations off", {0.1, 10'285, 89'715, 0, 0, 0}, 1e-4, Verdict::undecided},
      {"too few", {0.1, 9'000, 91'000, 0, 0, 0}, 1e-4, Verdict::broken},
      {"too many", {0.1, 11'000, 89'000, 0, 0, 0}, 1e-4, Verdict::broken},
      {"swapped", {0.1, 90, 10, 0, 0, 0}, 1e-4, Verdict::broken},
      {"not checked", {0.1, 90, 10, 0, 0, 0}, 0, Verdict::undecided},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    RateTest test(RatePlan{1, 1.5, 0.05, 0.05, c.level});
    EXPECT_EQ(test.add(c.look), c.verdict);
  }
}

RateTest random_test(std::mt19937_64& random, int looks) {
  RateTest test(RatePlan{1, 1.7, 0.05 / 3, 0.05 / 7});
  for (int i = 0; i < looks; ++i)
    test.add(events(std::uniform_real_distribution(0.01, 0.99)(random),
                    std::uniform_int_distribution(0, 9)(random),
                    std::uniform_int_distribution(0, 90)(random)));
  return test;
}

TEST(StateText, ReadsBackToTheBitAndGoesOnAlike) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 200; ++round) {
    RateTest test = random_test(random, round);
    const auto restored = rate_state_from(to_text(test.state()));
    ASSERT_TRUE(restored) << to_text(test.state());
    EXPECT_EQ(*restored, test.state());
    for (std::size_t k = 0; k < grid_size; ++k)
      EXPECT_EQ(std::bit_cast<std::uint64_t>(restored->harm_log_products[k]),
                std::bit_cast<std::uint64_t>(test.state().harm_log_products[k]));
    RateTest again(*restored);
    for (std::int64_t i = 0; i < 10; ++i) {
      const RateLook look = events(0.3, i, 3 * i);
      EXPECT_EQ(again.add(look), test.add(look));
    }
    EXPECT_EQ(to_text(again.state()), to_text(test.state()));
  }
}

TEST(StateText, RefusesWhatItDidNotWrite) {
  std::mt19937_64 random(5);
  const std::string text = to_text(random_test(random, 3).state());
  ASSERT_TRUE(rate_state_from(text));
  for (std::size_t length = 0; length < text.size(); ++length) {
    const auto cut = rate_state_from(text.substr(0, length));
    EXPECT_TRUE(!cut || to_text(*cut) == text.substr(0, length)) << length;
  }
  const auto replaced = [&](std::string_view from, std::string_view to) {
    std::string changed = text;
    const auto at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return at == std::string::npos ? changed : changed.replace(at, from.size(), to);
  };
  EXPECT_FALSE(rate_state_from(""));
  EXPECT_FALSE(rate_state_from("rate/1"));
  EXPECT_FALSE(rate_state_from(text + " 1"));
  EXPECT_FALSE(rate_state_from(text + " "));
  EXPECT_FALSE(rate_state_from(replaced("rate/1", "rate/2")));
  EXPECT_FALSE(rate_state_from(replaced("rate/1", "mean/1")));
  EXPECT_FALSE(rate_state_from(replaced("rate/1 1 1.7", "rate/1 1.0 1.7")));
  EXPECT_FALSE(rate_state_from(replaced("rate/1 1 1.7", "rate/1 x 1.7")));
  EXPECT_FALSE(rate_state_from(replaced("rate/1 1 1.7", "rate/1 nan 1.7")));
  EXPECT_FALSE(mean_state_from(text));
  EXPECT_FALSE(bounded_state_from(text));

  RateState state;
  state.canary_bad = 1;
  EXPECT_FALSE(rate_state_from(to_text(state))) << "a bad event of no call";
  state = {};
  state.harm_log_products[3] = infinity;
  EXPECT_FALSE(rate_state_from(to_text(state)));
  state = {};
  state.baseline_calls = -1;
  EXPECT_FALSE(rate_state_from(to_text(state)));
}

TEST(LogMeanExp, NeitherOverflowsNorLosesTheLargest) {
  EXPECT_NEAR(log_mean_exp(std::array{std::log(1.0), std::log(3.0)}), std::log(2.0), 1e-15);
  EXPECT_NEAR(log_mean_exp(std::array{5000.0, 5000.0}), 5000, 1e-9);
  EXPECT_NEAR(log_mean_exp(std::array{5000.0, -5000.0}), 5000 - std::log(2.0), 1e-9);
  EXPECT_NEAR(log_mean_exp(std::array{-5000.0, -infinity}), -5000 - std::log(2.0), 1e-9);
  EXPECT_EQ(log_mean_exp(std::array{-infinity, -infinity}), -infinity);
}

TEST(Detectable, FollowsTheFormulaOfTheDesign) {
  // q = 0.2 / 1.1 for R = 2 at 10%: (ln 20 + ln 24 / 2) / KL(q || 0.1).
  const double q = 0.2 / 1.1;
  const double divergence = q * std::log(q / 0.1) + (1 - q) * std::log((1 - q) / 0.9);
  EXPECT_NEAR(bad_events_needed(2, 1, 0.1, 0.05), (std::log(20) + std::log(24) / 2) / divergence,
              1e-9);

  const RatePlan plan{1, 2, 0.05, 0.05};
  const Traffic traffic{50, 0.01, 0.1, 3600};
  const Detectable hour = detectable(plan, traffic);
  ASSERT_TRUE(hour.ratio);
  EXPECT_NEAR(hour.calls, 180'000, 1) << "the smallest one uses the whole window";
  EXPECT_NEAR(hour.seconds, 3600, 0.1);
  EXPECT_NEAR(bad_events_needed(*hour.ratio, 1, 0.1, 0.05), hour.bad_events, 1e-6);
  EXPECT_NEAR(hour.bad_events, 180'000 * 0.01 * (0.1 * *hour.ratio + 0.9), 0.1);

  double last = infinity;
  for (const double seconds : {300.0, 600.0, 3600.0, 36'000.0}) {
    const Detectable found = detectable(plan, {50, 0.01, 0.1, seconds});
    ASSERT_TRUE(found.ratio) << seconds;
    EXPECT_LT(*found.ratio, last) << "more traffic shows less";
    last = *found.ratio;
  }
  EXPECT_DOUBLE_EQ(detectable(plan, {1e6, 0.01, 0.5, 1e6}).ratio.value_or(0), 1.1)
      << "no finer than the grid";
}

TEST(Detectable, SaysWhenNothingCanBeSeen) {
  const RatePlan plan{1, 2, 0.05, 0.05};
  EXPECT_FALSE(detectable(plan, {0.01, 0.01, 0.1, 60}).ratio) << "too little traffic";
  EXPECT_GT(detectable(plan, {0.01, 0.01, 0.1, 60}).seconds, 60) << "but how long it would take";
  EXPECT_FALSE(detectable(plan, {1e6, 0.95, 0.1, 3600}).ratio) << "the baseline always fails";
  for (const Traffic traffic :
       {Traffic{0, 0.01, 0.1, 60}, Traffic{50, 0, 0.1, 60}, Traffic{50, 1, 0.1, 60},
        Traffic{50, 0.01, 0, 60}, Traffic{50, 0.01, 1, 60}, Traffic{50, 0.01, 0.1, 0},
        Traffic{nan, 0.01, 0.1, 60}, Traffic{50, 0.01, 0.1, infinity}}) {
    EXPECT_FALSE(detectable(plan, traffic).ratio);
    EXPECT_EQ(detectable(plan, traffic).calls, infinity);
  }
  EXPECT_FALSE(detectable({1, 1, 0.05, 0.05}, {50, 0.01, 0.1, 3600}).ratio);
  EXPECT_EQ(bad_events_needed(1, 1, 0.1, 0.05), infinity);
}

TEST(SplitAlpha, GivesEveryGuardAndSegmentItsShareAndNoMoreThanAll) {
  const std::vector<std::string> guards{"errors", "slow", "refusals"}, segments{"all", "new"};
  const auto shares = split_alpha(0.05, guards, segments);
  ASSERT_EQ(shares.size(), 6U);
  EXPECT_EQ(shares[0].guard + shares[0].segment, "errorsall");
  EXPECT_EQ(shares[5].guard + shares[5].segment, "refusalsnew");
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0,
                                     [](double so_far, const auto& s) { return so_far + s.alpha; });
  EXPECT_LE(sum, 0.05);
  EXPECT_NEAR(sum, 0.05, 1e-15);
  EXPECT_TRUE(split_alpha(0.05, guards, {}).empty());
}

}  // namespace
}  // namespace penstock::release
