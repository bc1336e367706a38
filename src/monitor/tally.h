// What is kept of calls: counts and sums that add up, and never a single call.
#pragma once

#include "base/described.h"
#include "monitor/distance.h"
#include "serving/inference_event.h"

namespace penstock::monitor {

inline constexpr std::size_t bins_max = 20;

// Quantiles of positive values by counts in buckets, each 4% wider than the one before, so a
// quantile is off by 2% at most. Values below 1 count as 1, those above 1e12 as that.
struct Sketch {
  std::int64_t first = 0;  // the bucket of counts[0]
  Counts counts;

  void add(double value);
  void merge(const Sketch& other);
  std::int64_t total() const;
  // The value at rank ceil(q n), as the middle of its bucket; nothing if there is none.
  std::optional<double> quantile(double q) const;
};
BOOST_DESCRIBE_STRUCT(Sketch, (), (first, counts))

struct FeatureTally {
  std::int64_t count = 0, nulls = 0;  // count: rows, those with null included
  double sum = 0;                     // of the values that are there
  Counts bins;                        // by the profile's edges; empty until they are known
};
BOOST_DESCRIBE_STRUCT(FeatureTally, (), (count, nulls, sum, bins))

// Of one model version, on one arm of one route, on one day.
struct Tally {
  std::int64_t calls = 0, errors = 0;
  std::int64_t scored = 0;                  // calls with a score
  std::int64_t decided = 0, decisions = 0;  // calls with a decision; those where it is true
  double score_sum = 0, score_squares = 0;
  Counts score_bins;
  Sketch micros;       // of answered calls, all of it
  Sketch age_seconds;  // of the oldest feature of a call, plus 1 (a sketch begins at 1)
  std::vector<FeatureTally> features;  // in the schema's order
  std::int64_t labels = 0, wrong = 0, positives = 0;
  double brier_sum = 0;  // of (score - label) squared

  void merge(const Tally& other);
};
BOOST_DESCRIBE_STRUCT(Tally, (),
                      (calls, errors, scored, decided, decisions, score_sum, score_squares,
                       score_bins, micros, age_seconds, features, labels, wrong, positives,
                       brier_sum))

// Where values are cut into bins. Fixed once it is complete, so that days can be compared and
// added.
struct Edges {
  std::vector<std::vector<double>> features;
  std::vector<double> score;
};

// All but the bins.
void count_call(Tally& tally, const serving::InferenceEvent& event);
void count_bins(Tally& tally, const Edges& edges,
                const std::vector<std::optional<double>>& features, std::optional<double> score);
void count_label(Tally& tally, const serving::InferenceEvent& event, double label);
void add_counts(Counts& into, const Counts& other);

}  // namespace penstock::monitor
