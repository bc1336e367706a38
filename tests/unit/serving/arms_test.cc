#include "serving/arms.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>
#include <random>

#include "serving/spread.h"

namespace penstock::serving {
namespace {

ArmTally arm(std::int64_t rewards, double sum, std::int64_t between = 0, double squares = 0) {
  return {.rewards = rewards, .reward_sum = sum, .reward_squares = squares, .between = between};
}

TEST(ArmsTest, SaysWhatRewardsSay) {
  EXPECT_FALSE(estimate(arm(0, 0)).mean);
  // Beta(4, 8): its 2.5% and 97.5% quantiles, as scipy.stats.beta.ppf gives them.
  const Estimate few = estimate(arm(10, 3));
  EXPECT_EQ(few.interval, Interval::credible);
  EXPECT_DOUBLE_EQ(*few.mean, 0.3);
  EXPECT_NEAR(*few.lower, 0.10926344, 1e-7);
  EXPECT_NEAR(*few.upper, 0.60974257, 1e-7);
  const Estimate other = estimate(arm(1'000, 2'500, 1'000, 7'250));
  EXPECT_EQ(other.interval, Interval::confidence_sequence);
  EXPECT_DOUBLE_EQ(*other.mean, 2.5);
  EXPECT_GT(*other.upper - *other.lower, 2 * 1.96 / std::sqrt(1'000.0)) << "wider: it holds always";
  EXPECT_LT(*other.upper - *other.lower, 4 * 1.96 / std::sqrt(1'000.0));
  EXPECT_EQ(estimate(arm(1, 2.5, 1, 6.25)).interval, Interval::none);
}

TEST(ArmsTest, TellsTheChanceToBeBest) {
  const auto alike = best_chances({arm(100, 50), arm(100, 50)}, 1);
  EXPECT_NEAR(alike[0], 0.5, 0.02);
  EXPECT_NEAR(alike[0] + alike[1], 1, 1e-9);
  const auto clear = best_chances({arm(500, 50), arm(500, 100), arm(500, 60)}, 1);
  EXPECT_GT(clear[1], 0.99);
  EXPECT_EQ(clear, best_chances({arm(500, 50), arm(500, 100), arm(500, 60)}, 1))
      << "the same seed, the same draws";
  const auto numbers = best_chances({arm(100, 500, 100, 2'600), arm(100, 600, 100, 3'700)}, 1);
  EXPECT_GT(numbers[1], 0.99);
  EXPECT_TRUE(best_chances({}, 1).empty());
}

TEST(ArmsTest, MovesWeightsWithinTheirBounds) {
  std::mt19937 random(5);
  for (int i = 0; i < 2'000; ++i) {
    const std::size_t arms = 2 + random() % 6;
    const Bounds bounds{.floor = static_cast<std::int64_t>(random() % 1'500),
                        .step = static_cast<std::int64_t>(1 + random() % 3'000)};
    std::vector<std::int64_t> now(arms, 10'000 / static_cast<std::int64_t>(arms));
    now[0] += 10'000 - std::accumulate(now.begin(), now.end(), std::int64_t{0});
    std::vector<double> chances;
    for (std::size_t one = 0; one < arms; ++one)
      chances.push_back(static_cast<double>(random() % 100));
    chances[0] += 1;
    const auto floor = std::min(bounds.floor, 10'000 / static_cast<std::int64_t>(arms));
    for (int turn = 0; turn < 12; ++turn) {
      const auto next = next_weights(now, chances, bounds);
      ASSERT_EQ(std::accumulate(next.begin(), next.end(), std::int64_t{0}), 10'000);
      for (std::size_t one = 0; one < arms; ++one) {
        ASSERT_LE(std::abs(next[one] - now[one]), bounds.step);
        ASSERT_GE(next[one], floor);
      }
      now = next;
    }
  }
  // A canary that began below the floor is brought up to it and no faster than the step.
  EXPECT_EQ(next_weights({9'900, 100}, {1, 0}, {.floor = 500, .step = 200}),
            (std::vector<std::int64_t>{9'700, 300}));
  EXPECT_EQ(next_weights({10'000}, {1}, {}), (std::vector<std::int64_t>{10'000}));
}

// Rewards that come late, of two arms of which one is better: it is found, and the calls that the
// other one gets cost less than an equal split would.
TEST(ArmsTest, FindsTheBetterArmAtLessRegretThanAnEqualSplit) {
  constexpr int seeds = 20, turns = 40, calls = 400, late = 2;
  constexpr double rates[] = {0.20, 0.26};
  double regret = 0, equal = 0;
  int found = 0;
  for (unsigned seed = 0; seed < seeds; ++seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform;
    std::vector<ArmTally> tallies = {arm(0, 0), arm(0, 0)};
    std::vector<std::int64_t> weights = {5'000, 5'000};
    std::vector<std::vector<ArmTally>> waiting;
    for (int turn = 0; turn < turns; ++turn) {
      std::vector<ArmTally> rewards = {arm(0, 0), arm(0, 0)};
      for (int call = 0; call < calls; ++call) {
        const std::size_t to = uniform(random) * 10'000 < static_cast<double>(weights[0]) ? 0 : 1;
        rewards[to].rewards += 1;
        rewards[to].reward_sum += uniform(random) < rates[to] ? 1 : 0;
        regret += rates[1] - rates[to];
        equal += (rates[1] - rates[0]) / 2;
      }
      waiting.push_back(rewards);
      if (waiting.size() <= late) continue;
      for (std::size_t one = 0; one < 2; ++one) {
        tallies[one].rewards += waiting[waiting.size() - 1 - late][one].rewards;
        tallies[one].reward_sum += waiting[waiting.size() - 1 - late][one].reward_sum;
      }
      weights = next_weights(weights, best_chances(tallies, seed), {.floor = 500, .step = 1'000});
      ASSERT_GE(std::min(weights[0], weights[1]), 500);
    }
    found += weights[1] >= 9'000 ? 1 : 0;
  }
  EXPECT_GE(found, seeds * 9 / 10);
  EXPECT_LT(regret, equal * 0.6);
}

TEST(SpreadTest, KnowsQuantilesOfDifferencesOfBothSigns) {
  Spread spread;
  EXPECT_FALSE(spread.quantile(0.5));
  for (int i = -500; i <= 500; ++i) spread.add(i);
  spread.add(std::nan(""));
  EXPECT_EQ(spread.count, 1'001);
  EXPECT_DOUBLE_EQ(*spread.mean(), 0);
  EXPECT_EQ(*spread.quantile(0.5), 0);
  EXPECT_NEAR(*spread.quantile(0.95), 450, 450 * 0.026);
  EXPECT_NEAR(*spread.quantile(0.05), -450, 450 * 0.026);
  EXPECT_NEAR(*spread.quantile(1), 500, 500 * 0.026);
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) spread.add(std::bit_cast<double>(random()));
  EXPECT_LE(spread.buckets.size(), 2'000u) << "whatever comes";
}

}  // namespace
}  // namespace penstock::serving
