#include <cmath>
#include <limits>
#include <random>
#include <gtest/gtest.h>

#include "release/evidence.h"

namespace penstock::release {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

Moments moments_of(const std::vector<double>& values) {
  Moments moments;
  for (const double value : values) moments.add(value);
  return moments;
}

std::vector<double> draw(std::mt19937_64& random, int count, double low, double high) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = std::uniform_real_distribution(low, high)(random);
  return values;
}

TEST(Moments, AgreeWithTwoPassesHoweverTheyAreMerged) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 50; ++round) {
    const std::vector<double> values = draw(random, 1 + round * 7, 1e6, 1e6 + 1);
    long double sum = 0, squares = 0;
    for (const double value : values) sum += value;
    const long double mean = sum / static_cast<long double>(values.size());
    for (const double value : values) squares += (value - mean) * (value - mean);

    Moments merged;
    for (std::size_t at = 0; at < values.size();) {
      Moments part;
      for (std::size_t size = random() % 20; size > 0 && at < values.size(); --size)
        part.add(values[at++]);
      merged.merge(part);
    }
    EXPECT_EQ(merged.count, static_cast<std::int64_t>(values.size()));
    EXPECT_NEAR(merged.mean, static_cast<double>(mean), 1e-9);
    EXPECT_NEAR(merged.m2, static_cast<double>(squares), 1e-6 * (1 + merged.m2));
  }
  EXPECT_EQ(Moments{}.variance(), 0);
  EXPECT_EQ(moments_of({5}).variance(), 0);
  EXPECT_DOUBLE_EQ(moments_of({1, 3}).variance(), 2);
}

TEST(AsymptoticMeanTest, HasTheIntervalOfThePaper) {
  // 400 canary values of variance 4, 600 baseline values of variance 9.
  AsymptoticMeanTest test(MeanPlan{.safe_margin = 1, .tightest_at = 1000});
  test.add({0.4, {400, 10, 4.0 * 399}, {600, 9.5, 9.0 * 599}, 0});
  const double variance = 4.0 / 400 + 9.0 / 600, influence = std::sqrt(1000 * variance);
  const double squared = -2 * std::log(0.05), r2 = (squared + std::log(squared) + 1) / 1000;
  const double half = influence * std::sqrt(2 * (1000 * r2 + 1) / (1000.0 * 1000.0 * r2) *
                                            std::log(std::sqrt(1000 * r2 + 1) / 0.05));
  EXPECT_NEAR(test.interval(0.05).lower, 0.5 - half, 1e-12);
  EXPECT_NEAR(test.interval(0.05).upper, 0.5 + half, 1e-12);
  EXPECT_GT(half, 1.96 * std::sqrt(variance)) << "looking often has its price";
  EXPECT_LT(half, 1.7 * 1.96 * std::sqrt(variance)) << "but no more than this, where tuned";
}

TEST(AsymptoticMeanTest, IsTightestWhereItIsTold) {
  const auto half = [](std::int64_t tightest_at, std::int64_t calls) {
    AsymptoticMeanTest test(MeanPlan{.safe_margin = 1, .tightest_at = tightest_at});
    const auto squares = static_cast<double>(calls - 1);
    test.add({0.5, {calls, 0, squares}, {calls, 0, squares}, 0});
    return test.interval(0.05).upper;
  };
  EXPECT_LT(half(2000, 1000), half(200, 1000));
  EXPECT_LT(half(2000, 1000), half(20'000, 1000));
}

TEST(AsymptoticMeanTest, IsNotFooledByADriftWhileRhoChanges) {
  std::mt19937_64 random(17);
  AsymptoticMeanTest test(MeanPlan{.worse = Worse::either, .safe_margin = 0.5});
  Moments canary, baseline;
  for (const auto& [rho, level] : {std::pair{0.1, 10.0}, std::pair{0.5, 20.0}}) {
    const int calls = 20'000, on_canary = static_cast<int>(calls * rho);
    const Moments left = moments_of(draw(random, on_canary, level - 1, level + 1));
    const Moments right = moments_of(draw(random, calls - on_canary, level - 1, level + 1));
    test.add({rho, left, right, 0});
    canary.merge(left), baseline.merge(right);
  }
  EXPECT_GT(canary.mean - baseline.mean, 3) << "what pooling would have said";
  EXPECT_LT(std::abs(test.interval(0.05).upper), 0.2);
  EXPECT_EQ(test.verdict(), Verdict::proven_safe);
}

MeanLook gap(double difference, double spread = 1) {
  const double squares = spread * 4999;
  return {0.5, {5000, 10 + difference, squares}, {5000, 10, squares}, 0};
}

TEST(AsymptoticMeanTest, JudgesByTheMarginsAndTheDirection) {
  struct Case {
    std::string what;
    double difference;
    Worse worse;
    Verdict verdict;
  };
  const Case cases[] = {
      {"cost went up", 0.5, Worse::higher, Verdict::harmful},
      {"cost went down", -0.5, Worse::higher, Verdict::proven_safe},
      {"cost is the same", 0, Worse::higher, Verdict::proven_safe},
      {"cost is in between", 0.15, Worse::higher, Verdict::undecided},
      {"score went down", -0.5, Worse::lower, Verdict::harmful},
      {"score went up", 0.5, Worse::lower, Verdict::proven_safe},
      {"score is in between", -0.15, Worse::lower, Verdict::undecided},
      {"shifted up", 0.5, Worse::either, Verdict::harmful},
      {"shifted down", -0.5, Worse::either, Verdict::harmful},
      {"not shifted", 0, Worse::either, Verdict::proven_safe},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    AsymptoticMeanTest test(MeanPlan{.worse = c.worse, .harm_margin = 0.1, .safe_margin = 0.2});
    EXPECT_EQ(test.add(gap(c.difference)), c.verdict);
  }
}

TEST(AsymptoticMeanTest, WaitsForEnoughCallsAndKeepsItsVerdicts) {
  AsymptoticMeanTest test(MeanPlan{.safe_margin = 1, .calls_at_least = 100});
  EXPECT_EQ(test.verdict(), Verdict::no_data);
  EXPECT_EQ(test.add({}), Verdict::no_data);
  EXPECT_EQ(test.add({0.5, {}, {99, 1, 9}, 0}), Verdict::no_data);
  EXPECT_EQ(test.add({0.5, {99, 50, 9}, {99, 1, 9}, 0}), Verdict::undecided);
  EXPECT_EQ(test.interval(0.05).lower, -infinity);
  EXPECT_EQ(test.add({0.5, {1, 50, 0}, {}, 0}), Verdict::harmful);
  EXPECT_EQ(test.add({0.5, {1'000'000, 1, 9}, {1'000'000, 1, 9}, 0}), Verdict::harmful);
}

TEST(MeanTests, RefuseImpossibleLooksAndCountNothingOfThem) {
  struct Case {
    std::string what;
    MeanLook look;
    bool is_only_unbounded;  // impossible only for values in [0, 1]
  };
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const Case cases[] = {
      {"rho 0", {0, {1, 0.5, 0}, {1, 0.5, 0}, 0}, false},
      {"rho 1", {1, {1, 0.5, 0}, {1, 0.5, 0}, 0}, false},
      {"rho is no number", {nan, {1, 0.5, 0}, {1, 0.5, 0}, 0}, false},
      {"negative count", {0.5, {-1, 0.5, 0}, {1, 0.5, 0}, 0}, false},
      {"too many", {0.5, {1, 0.5, 0}, {most, 0.5, 0}, 0}, false},
      {"mean is no number", {0.5, {1, nan, 0}, {1, 0.5, 0}, 0}, false},
      {"infinite mean", {0.5, {1, 0.5, 0}, {1, infinity, 0}, 0}, false},
      {"negative squares", {0.5, {9, 0.5, -1}, {1, 0.5, 0}, 0}, false},
      {"squares are no number", {0.5, {9, 0.5, nan}, {1, 0.5, 0}, 0}, false},
      {"a mean of nothing", {0.5, {0, 0.5, 0}, {1, 0.5, 0}, 0}, false},
      {"another version answered", {0.5, {1, 0.5, 0}, {1, 0.5, 0}, 1}, false},
      {"mean above 1", {0.5, {1, 1.01, 0}, {1, 0.5, 0}, 0}, true},
      {"mean below 0", {0.5, {1, 0.5, 0}, {1, -0.01, 0}, 0}, true},
      {"more spread than [0, 1] has", {0.5, {4, 0.5, 1.01}, {1, 0.5, 0}, 0}, true},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const MeanPlan plan{.safe_margin = 0.1};
    AsymptoticMeanTest asymptotic(plan);
    MeanState before = asymptotic.state();
    before.broken = !c.is_only_unbounded;
    EXPECT_EQ(asymptotic.add(c.look) == Verdict::broken, !c.is_only_unbounded);
    if (!c.is_only_unbounded) {
      EXPECT_EQ(asymptotic.state(), before);
    }

    BoundedMeanTest bounded(plan);
    BoundedState untouched = bounded.state();
    untouched.broken = true;
    EXPECT_EQ(bounded.add(c.look), Verdict::broken);
    EXPECT_EQ(bounded.state(), untouched);
  }
}

TEST(AsymptoticMeanTest, RefusesToRememberMoreRhosThanItsLimit) {
  AsymptoticMeanTest test(MeanPlan{.safe_margin = 0.1});
  for (int i = 1; i <= 64; ++i)
    EXPECT_EQ(test.add({i / 100.0, {1, 0, 0}, {1, 0, 0}, 0}), Verdict::undecided);
  EXPECT_EQ(test.add({0.64, {1, 0, 0}, {1, 0, 0}, 0}), Verdict::undecided) << "a known one";
  EXPECT_EQ(test.add({0.65, {1, 0, 0}, {1, 0, 0}, 0}), Verdict::broken);
}

TEST(MeanTests, NameTheFaultOfAPlanAndAreBrokenByIt) {
  const std::pair<MeanPlan, std::string> cases[] = {
      {{.safe_margin = 1, .alpha = 0}, "alpha must be above 0 and at most 0.5"},
      {{.safe_margin = 1, .beta = 1}, "beta must be above 0 and at most 0.5"},
      {{.harm_margin = -1, .safe_margin = 1}, "harm_margin must be at least 0"},
      {{.harm_margin = nan, .safe_margin = 1}, "harm_margin must be at least 0"},
      {{.harm_margin = 1, .safe_margin = 1}, "safe_margin must be above harm_margin"},
      {{.safe_margin = infinity}, "safe_margin must be above harm_margin"},
      {{.safe_margin = 1, .tightest_at = 0}, "tightest_at must be at least 1"},
      {{.safe_margin = 1, .calls_at_least = 1}, "calls_at_least must be at least 2"},
      {{.safe_margin = 1, .expected_mean = 2}, "expected_mean must be between 0 and 1"},
  };
  for (const auto& [plan, fault] : cases) {
    EXPECT_EQ(fault_of(plan), fault);
    EXPECT_EQ(AsymptoticMeanTest(plan).add(gap(5)), Verdict::broken);
    EXPECT_EQ(BoundedMeanTest(plan).add({0.5, {9, 1, 0}, {9, 0, 0}, 0}), Verdict::broken);
  }
  EXPECT_EQ(fault_of(MeanPlan{.safe_margin = 1}), "");
}

// One call after the other in long double, with the guess of the mean frozen per look.
struct SlowBounded {
  long double effect = 0, widths = 0, squares = 0, baseline_sum = 0;
  int baseline_count = 0;

  void add(double rho, const std::vector<double>& canary, const std::vector<double>& baseline) {
    const long double guess = (100 * 0.5L + baseline_sum) / (100 + baseline_count);
    const long double width = std::max(guess, 1 - guess) / std::min(rho, 1 - rho);
    const auto call = [&](long double phi) {
      EXPECT_LE(std::abs(phi), width * (1 + 1e-12L)) << "not within its bound";
      effect += phi / width, widths += 1 / width, squares += phi / width * phi / width;
    };
    for (const double value : canary) call((value - guess) / rho);
    for (const double value : baseline) call(-(value - guess) / (1 - rho));
    for (const double value : baseline) baseline_sum += value, ++baseline_count;
  }
  double log_e(long double difference, int sign) const {
    long double sum = 0;
    for (int k = 0; k < 24; ++k) {
      const long double u = 1e-4L * std::pow(9000.0L, static_cast<long double>(k) / 23);
      sum += std::exp(u * sign * (effect - difference * widths) - (-std::log(1 - u) - u) * squares);
    }
    return static_cast<double>(std::log(sum / 24));
  }
};

TEST(BoundedMeanTest, AgreesWithAWalkOverSingleCalls) {
  std::mt19937_64 random(23);
  for (const Worse worse : {Worse::higher, Worse::lower, Worse::either}) {
    BoundedMeanTest test(MeanPlan{.worse = worse, .harm_margin = 0.02, .safe_margin = 0.1});
    SlowBounded slow;
    for (const double rho : {0.1, 0.1, 0.3, 0.5, 0.9}) {
      const auto canary = draw(random, 40, 0.2, 1), baseline = draw(random, 90, 0, 0.9);
      test.add({rho, moments_of(canary), moments_of(baseline), 0});
      slow.add(rho, canary, baseline);
      const double up = slow.log_e(0.02, 1), down = slow.log_e(-0.02, -1);
      const double below = slow.log_e(0.1, -1), above = slow.log_e(-0.1, 1);
      const double both = std::log((std::exp(up) + std::exp(down)) / 2);
      const double harm = worse == Worse::higher ? up : worse == Worse::lower ? down : both;
      const double safe = worse == Worse::higher  ? below
                          : worse == Worse::lower ? above
                                                  : std::min(below, above);
      EXPECT_NEAR(test.harm_log_e(), harm, 1e-9);
      EXPECT_NEAR(test.safe_log_e(), safe, 1e-9);
    }
    const Interval interval = test.interval(0.1);
    EXPECT_NEAR(slow.log_e(interval.lower, 1), std::log(20), 1e-6);
    EXPECT_NEAR(slow.log_e(interval.upper, -1), std::log(20), 1e-6);
    EXPECT_LT(interval.lower, 0.15);
    EXPECT_GT(interval.upper, 0.15);
  }
}

// No limit theorem, so it may speak of what never happened: the ratio of two rates of 0 is
// unknown, but their difference is small.
TEST(BoundedMeanTest, ProvesSafeWhatNeverFails) {
  const MeanPlan plan{.safe_margin = 0.01, .expected_mean = 0};
  BoundedMeanTest test(plan);
  EXPECT_EQ(test.verdict(), Verdict::no_data);
  EXPECT_EQ(test.add({0.1, {}, {100'000, 0, 0}, 0}), Verdict::no_data) << "a silent canary";
  BoundedMeanTest both(plan);
  EXPECT_EQ(both.add({0.1, {100, 0, 0}, {900, 0, 0}, 0}), Verdict::undecided);
  EXPECT_EQ(both.add({0.1, {1900, 0, 0}, {17'100, 0, 0}, 0}), Verdict::proven_safe);
  EXPECT_EQ(both.add({0.1, {500, 1, 0}, {4500, 0, 0}, 0}), Verdict::harmful);
  EXPECT_EQ(both.add({0.1, {1'000'000, 0, 0}, {9'000'000, 0, 0}, 0}), Verdict::harmful);
}

TEST(BoundedMeanTest, KnowsNothingBeforeItsFirstCall) {
  const Interval interval = BoundedMeanTest(MeanPlan{.safe_margin = 0.1}).interval(0.05);
  EXPECT_EQ(interval.lower, -1);
  EXPECT_EQ(interval.upper, 1);
}

TEST(MeanStateText, ReadsBackToTheBitAndGoesOnAlike) {
  std::mt19937_64 random(29);
  AsymptoticMeanTest asymptotic(MeanPlan{.worse = Worse::either, .safe_margin = 0.1});
  BoundedMeanTest bounded(MeanPlan{.worse = Worse::lower, .safe_margin = 1.0 / 3});
  for (int round = 0; round < 100; ++round) {
    const auto state = mean_state_from(to_text(asymptotic.state()));
    const auto bounded_state = bounded_state_from(to_text(bounded.state()));
    ASSERT_TRUE(state && bounded_state);
    EXPECT_EQ(*state, asymptotic.state());
    EXPECT_EQ(*bounded_state, bounded.state());

    AsymptoticMeanTest again(*state);
    BoundedMeanTest bounded_again(*bounded_state);
    const MeanLook look{0.1 + 0.1 * static_cast<double>(random() % 8),
                        moments_of(draw(random, 10, 0, 1)), moments_of(draw(random, 20, 0, 1)), 0};
    EXPECT_EQ(again.add(look), asymptotic.add(look));
    EXPECT_EQ(bounded_again.add(look), bounded.add(look));
    EXPECT_EQ(again.state(), asymptotic.state());
    EXPECT_EQ(bounded_again.state(), bounded.state());
  }
  EXPECT_EQ(asymptotic.state().strata.size(), 8U);
}

TEST(MeanStateText, RefusesWhatItDidNotWrite) {
  AsymptoticMeanTest test(MeanPlan{.safe_margin = 0.1});
  test.add({0.5, {3, 0.5, 0.1}, {4, 0.5, 0.1}, 0});
  const std::string text = to_text(test.state());
  ASSERT_EQ(text, "mean/1 0 0 0.1 0.05 0.05 10000 200 0.5 0 0 0 1 0.5 3 0.5 0.1 4 0.5 0.1");
  EXPECT_TRUE(mean_state_from(text));
  for (const char* const wrong : {
           "mean/1 0 0 0.1 0.05 0.05 10000 200 0.5 0 0 0 2 0.5 3 0.5 0.1 4 0.5 0.1",
           "mean/1 0 0 0.1 0.05 0.05 10000 200 0.5 0 0 0 -1 0.5 3 0.5 0.1 4 0.5 0.1",
           "mean/1 0 0 0.1 0.05 0.05 10000 200 0.5 0 0 0 9000000000000000000",
           "mean/1 0 0 0.1 0.05 0.05 10000 200 0.5 0 0 0 1 1.5 3 0.5 0.1 4 0.5 0.1",
           "mean/1 0 0 0.1 0.05 0.05 10000 200 0.5 0 0 0 1 0.5 -3 0.5 0.1 4 0.5 0.1",
           "mean/1 0 0 0.1 0.05 0.05 10000 200 0.5 0 0 0 1 0.5 3 0.5 -0.1 4 0.5 0.1",
           "mean/1 3 0 0.1 0.05 0.05 10000 200 0.5 0 0 0 1 0.5 3 0.5 0.1 4 0.5 0.1",
           "mean/1 0 0 0.1 0.05 0.05 10000 200 0.5 2 0 0 1 0.5 3 0.5 0.1 4 0.5 0.1",
           "mean/1 0 0 0.1 0.05 0.05 10000 200 0.5 0 0 0 1 0.5 3 inf 0.1 4 0.5 0.1",
           "mean/1 0 0 0.1 0.05 0.05 10000 200 0.5 0 0 0 1 0.5 3 0.5 0.1 4 0.5 0.1 ",
           "bounded/1 0 0 0.1 0.05 0.05 10000 200 0.5",
       })
    EXPECT_FALSE(mean_state_from(wrong)) << wrong;
  BoundedState state;
  state.square_sum = -1;
  EXPECT_FALSE(bounded_state_from(to_text(state)));
}

TEST(QuantileLevels, FollowTheFormulaAndStayWithinZeroAndOne) {
  const double l = (1.4 * std::log(std::log(2.1 * 10'000)) + std::log(10 / 0.05)) / 10'000;
  const double half = 1.5 * std::sqrt(0.9 * 0.1 * l) + 0.8 * l;
  EXPECT_NEAR(quantile_levels(0.9, 10'000, 0.05).lower, 0.9 - half, 1e-12);
  EXPECT_NEAR(quantile_levels(0.9, 10'000, 0.05).upper, 0.9 + half, 1e-12);
  EXPECT_EQ(quantile_levels(0.99, 100, 0.05).upper, 1);
  EXPECT_EQ(quantile_levels(0.01, 100, 0.05).lower, 0);
  for (const double p : {0.0, 1.0, nan}) EXPECT_EQ(quantile_levels(p, 100, 0.05).lower, 0);
  EXPECT_EQ(quantile_levels(0.5, 0, 0.05).upper, 1);
}

}  // namespace
}  // namespace penstock::release
