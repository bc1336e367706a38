// What the tests of a release show over thousands of simulated releases (guarantee G7). Seeds are
// fixed; what was observed is printed, since a bound that holds with room to spare says little.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <gtest/gtest.h>

#include "release/evidence.h"

namespace penstock::release {
namespace {

using Random = std::mt19937_64;

constexpr int looks = 60;             // one a minute
constexpr int calls_per_look = 3000;  // 50 a second
constexpr double base_rate = 0.01;
constexpr double alpha = 0.05;

struct Scene {
  double ratio = 1;                                           // canary rate / baseline rate
  std::function<double(int)> rho = [](int) { return 0.1; };   // by look
  std::function<double(int)> outage = [](int) { return 1; };  // times base_rate, on both arms
  double lost = 0;                                            // share of canary calls never seen
};

std::int64_t draw(Random& random, std::int64_t of, double chance) {
  return std::binomial_distribution<std::int64_t>(of, chance)(random);
}

RateLook look_at(const Scene& scene, int look, Random& random) {
  const double rate = base_rate * scene.outage(look);
  RateLook seen{.rho = scene.rho(look)};
  seen.canary_calls = draw(random, calls_per_look, seen.rho);
  seen.baseline_calls = calls_per_look - seen.canary_calls;
  seen.canary_calls -= draw(random, seen.canary_calls, scene.lost);
  seen.canary_bad = draw(random, seen.canary_calls, std::min(1.0, rate * scene.ratio));
  seen.baseline_bad = draw(random, seen.baseline_calls, rate);
  return seen;
}

// At which look each thing happened first; `never` where it did not.
constexpr int never = 1'000'000;
struct Outcome {
  int harmful = never, proven_safe = never, broken = never;
};

std::vector<Outcome> simulate(const RatePlan& plan, const Scene& scene, int releases,
                              std::uint64_t seed) {
  Random random(seed);
  std::vector<Outcome> outcomes;
  outcomes.reserve(static_cast<std::size_t>(releases));
  for (int release = 0; release < releases; ++release) {
    RateTest test(plan);
    Outcome outcome;
    for (int look = 1; look <= looks; ++look) {
      test.add(look_at(scene, look, random));
      if (test.state().harmful) outcome.harmful = std::min(outcome.harmful, look);
      if (test.state().proven_safe) outcome.proven_safe = std::min(outcome.proven_safe, look);
      if (test.state().broken) outcome.broken = std::min(outcome.broken, look);
    }
    outcomes.push_back(outcome);
  }
  return outcomes;
}

double share(const std::vector<Outcome>& outcomes, int Outcome::*what) {
  const auto happened = std::count_if(outcomes.begin(), outcomes.end(),
                                      [&](const Outcome& one) { return one.*what != never; });
  return static_cast<double>(happened) / static_cast<double>(outcomes.size());
}

int median(const std::vector<Outcome>& outcomes, int Outcome::*what) {
  std::vector<int> at;
  at.reserve(outcomes.size());
  for (const Outcome& one : outcomes) at.push_back(one.*what);
  std::nth_element(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(at.size() / 2), at.end());
  return at[at.size() / 2];
}

// What a share whose true value is at most `level` stays below in all but one of 700 runs.
double at_most(double level, int releases) {
  return level + 3 * std::sqrt(level * (1 - level) / releases);
}

const RatePlan plan{.null_ratio = 1, .safe_ratio = 2, .alpha = alpha, .beta = alpha};

TEST(ReleaseSimulation, AGoodCanaryIsHardlyEverRolledBack) {
  constexpr int releases = 4000;
  const auto outcomes = simulate(plan, {}, releases, 1);
  const double false_rollbacks = share(outcomes, &Outcome::harmful);
  std::printf("R = 1: rolled back %.2f%%, proven safe %.2f%% (median look %d), broken %.3f%%\n",
              100 * false_rollbacks, 100 * share(outcomes, &Outcome::proven_safe),
              median(outcomes, &Outcome::proven_safe), 100 * share(outcomes, &Outcome::broken));
  EXPECT_LE(false_rollbacks, alpha) << "the guarantee";
  EXPECT_LE(false_rollbacks, at_most(0.01, releases)) << "the claim of the design";
  EXPECT_GE(share(outcomes, &Outcome::proven_safe), 0.99);
  EXPECT_LE(share(outcomes, &Outcome::broken), at_most(1e-4, releases));

  const auto better = simulate(plan, {.ratio = 0.7}, 1000, 2);
  EXPECT_LE(share(better, &Outcome::harmful), false_rollbacks) << "inside the null";
}

// The tests that people use instead, on the same traffic: the simulation can tell.
TEST(ReleaseSimulation, RepeatedZTestsAndFixedLimitsWouldRollBackGoodCanaries) {
  constexpr int releases = 2000;
  Random random(3);
  int by_z_test = 0, by_limit = 0, by_this = 0;
  for (int release = 0; release < releases; ++release) {
    RateTest test(plan);
    bool is_z_over = false, is_limit_over = false;
    for (int look = 1; look <= looks; ++look) {
      const RateLook seen = look_at({}, look, random);
      test.add(seen);
      const RateState& sum = test.state();
      const auto canary = static_cast<double>(sum.canary_calls);
      const auto baseline = static_cast<double>(sum.baseline_calls);
      const double left = static_cast<double>(sum.canary_bad) / canary;
      const double right = static_cast<double>(sum.baseline_bad) / baseline;
      const double pooled =
          static_cast<double>(sum.canary_bad + sum.baseline_bad) / (canary + baseline);
      const double error = std::sqrt(pooled * (1 - pooled) * (1 / canary + 1 / baseline));
      is_z_over = is_z_over || left - right > 1.645 * error;
      is_limit_over = is_limit_over || static_cast<double>(seen.canary_bad) >
                                           0.02 * static_cast<double>(seen.canary_calls);
    }
    by_z_test += is_z_over, by_limit += is_limit_over, by_this += test.state().harmful;
  }
  std::printf("R = 1: z test at each look %.1f%%, limit of 2%% %.1f%%, e-process %.2f%%\n",
              100.0 * by_z_test / releases, 100.0 * by_limit / releases,
              100.0 * by_this / releases);
  EXPECT_GE(by_z_test, releases * 0.2);
  EXPECT_GE(by_limit, releases * 0.2);
  EXPECT_LE(by_this, releases * alpha);
}

TEST(ReleaseSimulation, LookingAfterEveryBadEventIsJustAsSafe) {
  constexpr int releases = 500, bad_events = 1800;
  RatePlan every_event = plan;
  every_event.assignment_level = 0;  // only bad events are drawn here
  Random random(4);
  int rolled_back = 0;
  for (int release = 0; release < releases; ++release) {
    RateTest test(every_event);
    for (int i = 0; i < bad_events && !test.state().harmful; ++i) {
      const std::int64_t is_canary = draw(random, 1, 0.1);
      test.add({0.1, is_canary, 1 - is_canary, is_canary, 1 - is_canary, 0});
    }
    rolled_back += test.state().harmful;
  }
  std::printf("R = 1: rolled back %.2f%% with a look at each of %d bad events\n",
              100.0 * rolled_back / releases, bad_events);
  EXPECT_LE(rolled_back, releases * alpha);
}

TEST(ReleaseSimulation, OutagesAndChangesOfRhoAreNoEvidence) {
  constexpr int releases = 2000;
  const auto stages = [](int look) { return look <= 20 ? 0.1 : look <= 40 ? 0.25 : 0.5; };
  const auto outage = [](int look) { return look > 35 && look <= 45 ? 8.0 : 1.0; };
  const auto good = simulate(plan, {.rho = stages, .outage = outage}, releases, 5);
  const auto edge = simulate(plan, {2, stages, outage}, releases, 6);
  std::printf("stages and an outage: R = 1 rolled back %.2f%%, R = R_1 proven safe %.2f%%\n",
              100 * share(good, &Outcome::harmful), 100 * share(edge, &Outcome::proven_safe));
  EXPECT_LE(share(good, &Outcome::harmful), alpha);
  EXPECT_LE(share(edge, &Outcome::proven_safe), alpha);
  EXPECT_GE(share(edge, &Outcome::harmful), 0.999);
}

TEST(ReleaseSimulation, ARegressedCanaryIsStopped) {
  for (const auto& [ratio, requests_at_most] :
       {std::pair{1.5, 90'000}, std::pair{2.0, 24'000}, std::pair{5.0, 6'000}}) {
    const auto outcomes = simulate(plan, {.ratio = ratio}, 1000, 7);
    const int requests = median(outcomes, &Outcome::harmful) * calls_per_look;
    const double expected =
        bad_events_needed(ratio, 1, 0.1, alpha) / (base_rate * (0.1 * ratio + 0.9));
    std::printf("R = %.1f: stopped %.2f%%, median after %d requests (planned %.0f)\n", ratio,
                100 * share(outcomes, &Outcome::harmful), requests, expected);
    EXPECT_GE(share(outcomes, &Outcome::harmful), 0.99);
    EXPECT_LE(requests, requests_at_most);
    EXPECT_GE(requests, expected / 2) << "the plan promised too little";
    EXPECT_LE(requests, expected * 2 + calls_per_look) << "the plan promised too much";
  }
}

TEST(ReleaseSimulation, ACanaryAtTheMarginIsHardlyEverProvenSafe) {
  for (const double ratio : {2.0, 2.5}) {
    const auto outcomes = simulate(plan, {.ratio = ratio}, 2000, 8);
    std::printf("R_1 = 2, R = %.1f: proven safe %.2f%%\n", ratio,
                100 * share(outcomes, &Outcome::proven_safe));
    EXPECT_LE(share(outcomes, &Outcome::proven_safe), alpha);
  }
}

// A canary that loses most of its events loses its bad ones too; the counts against rho show it.
TEST(ReleaseSimulation, LostEventsBreakTheTest) {
  const auto outcomes = simulate(plan, {.lost = 0.7}, 500, 9);
  std::printf("7 of 10 canary events lost: broken %.1f%%, median look %d\n",
              100 * share(outcomes, &Outcome::broken), median(outcomes, &Outcome::broken));
  EXPECT_EQ(share(outcomes, &Outcome::broken), 1);
  EXPECT_LE(median(outcomes, &Outcome::broken), 2);
}

// ---- Means -------------------------------------------------------------------------------------

Moments costs(Random& random, std::int64_t count, double mean) {
  Moments moments;
  for (std::int64_t i = 0; i < count; ++i)
    moments.add(std::exponential_distribution(1 / mean)(random));
  return moments;
}

TEST(MeanSimulation, SkewedCostsKeepTheLevelAndARiseIsSeen) {
  constexpr int releases = 400, calls = 300;
  Random random(10);
  int outside = 0, harmful = 0, wrongly_safe = 0, seen = 0;
  for (int release = 0; release < releases; ++release) {
    const MeanPlan same{.worse = Worse::either, .safe_margin = 0.2};
    const MeanPlan raised{.harm_margin = 0.1, .safe_margin = 0.5};
    AsymptoticMeanTest null(same), edge(raised);
    bool is_outside = false;
    for (int look = 1; look <= looks; ++look) {
      const double rho = look <= 30 ? 0.1 : 0.5;
      const double drift = look <= 30 ? 1 : 1.5;
      const std::int64_t canary = draw(random, calls, rho);
      const Moments baseline = costs(random, calls - canary, drift);
      null.add({rho, costs(random, canary, drift), baseline, 0});
      Moments risen = costs(random, canary, drift);
      risen.mean += 0.5;
      edge.add({rho, risen, baseline, 0});
      const Interval interval = null.interval(alpha);
      is_outside = is_outside || interval.lower > 0 || interval.upper < 0;
    }
    outside += is_outside, harmful += null.state().harmful;
    wrongly_safe += edge.state().proven_safe, seen += edge.state().harmful;
  }
  std::printf(
      "costs: interval missed %.2f%%, rolled back %.2f%%, wrongly safe %.2f%%, seen %.1f%%\n",
      100.0 * outside / releases, 100.0 * harmful / releases, 100.0 * wrongly_safe / releases,
      100.0 * seen / releases);
  EXPECT_LE(outside, releases * at_most(alpha, releases));
  EXPECT_LE(harmful, releases * at_most(alpha, releases));
  EXPECT_LE(wrongly_safe, releases * at_most(alpha, releases));
  EXPECT_GE(seen, releases * 0.95);
}

Moments outcomes_of(std::int64_t count, std::int64_t bad) {
  if (count == 0) return {};
  const double rate = static_cast<double>(bad) / static_cast<double>(count);
  return {count, rate, static_cast<double>(bad) * (1 - rate)};
}

TEST(MeanSimulation, BoundedValuesKeepTheLevelThroughDriftAndStages) {
  constexpr int releases = 2000;
  Random random(11);
  int harmful = 0, outside = 0, wrongly_safe = 0, seen = 0;
  for (int release = 0; release < releases; ++release) {
    const MeanPlan bounded{.safe_margin = 0.05, .expected_mean = 0.2};
    BoundedMeanTest null(bounded), edge(bounded);
    bool is_outside = false;
    for (int look = 1; look <= looks; ++look) {
      const double rho = look <= 20 ? 0.1 : look <= 40 ? 0.25 : 0.5;
      const double mean = look <= 30 ? 0.2 : 0.4;
      const std::int64_t on_canary = draw(random, calls_per_look, rho);
      const std::int64_t others = calls_per_look - on_canary;
      const Moments baseline = outcomes_of(others, draw(random, others, mean));
      null.add({rho, outcomes_of(on_canary, draw(random, on_canary, mean)), baseline, 0});
      edge.add({rho, outcomes_of(on_canary, draw(random, on_canary, mean + 0.05)), baseline, 0});
      if (look % 10 == 0) {
        const Interval interval = null.interval(alpha);
        is_outside = is_outside || interval.lower > 0 || interval.upper < 0;
      }
    }
    harmful += null.state().harmful, outside += is_outside;
    wrongly_safe += edge.state().proven_safe, seen += edge.state().harmful;
  }
  std::printf(
      "bounded: interval missed %.2f%%, rolled back %.2f%%, wrongly safe %.2f%%, seen %.1f%%\n",
      100.0 * outside / releases, 100.0 * harmful / releases, 100.0 * wrongly_safe / releases,
      100.0 * seen / releases);
  EXPECT_LE(harmful, releases * alpha);
  EXPECT_LE(outside, releases * alpha);
  EXPECT_LE(wrongly_safe, releases * alpha);
  EXPECT_GE(seen, releases * 0.95);
}

TEST(QuantileSimulation, TheTrueQuantileStaysWithinTheLevels) {
  constexpr int runs = 300, values = 3000;
  Random random(12);
  for (const double p : {0.5, 0.9, 0.99}) {
    int missed = 0, missed_by_fixed = 0;
    for (int run = 0; run < runs; ++run) {
      // Below the sample's quantile of a level means: fewer than that share lies at or under it.
      int under = 0;
      bool is_missed = false, is_missed_by_fixed = false;
      for (int count = 1; count <= values; ++count) {
        under += static_cast<int>(draw(random, 1, p));
        const Interval levels = quantile_levels(p, count, alpha);
        is_missed = is_missed || under < levels.lower * count || under > levels.upper * count;
        is_missed_by_fixed =
            is_missed_by_fixed ||
            (count >= 100 && std::abs(under - p * count) > 1.96 * std::sqrt(p * (1 - p) * count));
      }
      missed += is_missed, missed_by_fixed += is_missed_by_fixed;
    }
    std::printf("quantile %.2f: missed in %.2f%%, by a fixed-sample interval in %.1f%%\n", p,
                100.0 * missed / runs, 100.0 * missed_by_fixed / runs);
    EXPECT_LE(missed, runs * alpha);
    EXPECT_GE(missed_by_fixed, runs * 0.2) << "the runs are too tame to show anything";
  }
}

}  // namespace
}  // namespace penstock::release
