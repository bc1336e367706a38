#include "monitor/tally.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace penstock::monitor {
namespace {

// Expected values:
//   import numpy as np; from scipy.spatial import distance
//   def psi(r, c):
//     r, c = np.array(r, float) / sum(r), np.array(c, float) / sum(c)
//     for p in (r, c):  # as Evidently's get_binned_data fills zeroes
//       np.place(p, p == 0, min(p[p != 0]) / 10**6 if min(p[p != 0]) <= 0.0001 else 0.0001)
//     return np.sum((r - c) * np.log(r / c))
//   js = lambda r, c: distance.jensenshannon(np.array(r) / sum(r), np.array(c) / sum(c), base=2)
// with numpy 2.4.6 and scipy 1.17.1.
TEST(Distance, AgreesWithScipyAndEvidently) {
  struct Case {
    Counts reference, current;
    double psi, js;
  };
  const Case cases[] = {
      {{10, 20, 30, 40}, {40, 30, 20, 10}, 0.9128696382935673, 0.3918681606471552},
      {{100, 0, 50, 850}, {0, 200, 50, 750}, 2.2220214683281783, 0.39019953983133887},
      {{1, 19999, 30000, 50000, 0}, {10, 20, 30, 40, 0}, 0.9448680988292469, 0.23226519490704325},
      {{5, 5, 5}, {5, 5, 5}, 0, 0},
  };
  for (const Case& c : cases) {
    EXPECT_NEAR(*population_stability_index(c.reference, c.current), c.psi, 1e-12);
    EXPECT_NEAR(*jensen_shannon_distance(c.reference, c.current), c.js, 1e-12);
  }
  EXPECT_FALSE(population_stability_index({0, 0}, {1, 2}));
  EXPECT_FALSE(jensen_shannon_distance({1, 2}, {1, 2, 3}));
}

// np.searchsorted([0.1, 0.5, 0.9], [0.1, 0.5, 0.5000001, 2, -1], side="left")
TEST(Distance, CutsAsSearchsortedDoes) {
  const std::vector<double> edges = {0.1, 0.5, 0.9};
  std::vector<std::size_t> bins;
  for (const double value : {0.1, 0.5, 0.5000001, 2.0, -1.0}) bins.push_back(bin_of(edges, value));
  EXPECT_EQ(bins, (std::vector<std::size_t>{0, 1, 2, 3, 0}));
}

TEST(Distance, QuantileEdgesGiveBinsOfEqualCounts) {
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back((i * 7919) % 1000);
  const auto edges = quantile_edges(values, 20);
  ASSERT_EQ(edges.size(), 19u);
  Counts counts(20);
  for (const double value : values) ++counts[bin_of(edges, value)];
  EXPECT_EQ(counts, Counts(20, 50));

  EXPECT_EQ(quantile_edges({1, 1, 1, 2, 2, 3}, 20), (std::vector<double>{1, 2}));
  EXPECT_TRUE(quantile_edges({4, 4}, 20).empty());
  EXPECT_TRUE(quantile_edges({}, 20).empty());
}

TEST(Sketch, QuantilesAreTwoPercentOffAtMost) {
  std::mt19937 random(7);
  std::lognormal_distribution<double> latency(7, 1.5);
  Sketch sketch, left, right;
  std::vector<double> values;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(std::max(latency(random), 1.0));
    sketch.add(values.back());
    (i % 3 ? left : right).add(values.back());
  }
  std::sort(values.begin(), values.end());
  left.merge(right);
  for (const double q : {0.01, 0.5, 0.9, 0.99, 1.0}) {
    const double exact = values[static_cast<std::size_t>(std::ceil(q * 20'000)) - 1];
    EXPECT_NEAR(*sketch.quantile(q) / exact, 1, 0.02) << q;
    EXPECT_EQ(left.quantile(q), sketch.quantile(q));
  }
  EXPECT_EQ(sketch.total(), 20'000);
  EXPECT_FALSE(Sketch().quantile(0.5));
  Sketch odd;
  odd.add(std::nan(""));
  EXPECT_EQ(odd.total(), 0);
  odd.add(-5);
  odd.add(1e300);
  EXPECT_EQ(odd.total(), 2);
  EXPECT_LT(odd.counts.size(), 720u) << "bounded whatever comes";
}

TEST(Tally, CountsWhatHappened) {
  Tally tally;
  serving::InferenceEvent event{.features = {1.5, std::nullopt},
                                .oldest_feature_seconds = 60.0,
                                .score = 0.8,
                                .decision = true,
                                .total_micros = 2'000};
  count_call(tally, event);
  event.features = {2.5, 4.0};
  event.score = 0.2;
  event.decision = false;
  count_call(tally, event);
  count_call(tally, {.features = {9.0}, .score = 0.1, .error = "unavailable"});
  count_label(tally, event, 1);
  event.decision = true;
  count_label(tally, event, 1);
  EXPECT_EQ(tally.calls, 3);
  EXPECT_EQ(tally.errors, 1);
  EXPECT_EQ(tally.decided, 2);
  EXPECT_EQ(tally.decisions, 1);
  EXPECT_DOUBLE_EQ(tally.score_sum, 1.0);
  EXPECT_EQ(tally.features[0].count, 2);
  EXPECT_DOUBLE_EQ(tally.features[0].sum, 4.0);
  EXPECT_EQ(tally.features[1].nulls, 1);
  EXPECT_EQ(tally.wrong, 1);
  EXPECT_EQ(tally.labels, 2);
  EXPECT_DOUBLE_EQ(tally.brier_sum, 2 * 0.64);
  EXPECT_NEAR(*tally.age_seconds.quantile(0.5), 61, 1.3);
  const Tally once = tally;
  tally.merge(once);
  EXPECT_EQ(tally.calls, 6);
  EXPECT_EQ(tally.features[0].count, 4);
  EXPECT_EQ(encode(decode<Tally>(encode(tally)).take()), encode(tally));
}

}  // namespace
}  // namespace penstock::monitor
