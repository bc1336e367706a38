#include "monitor/tally.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace penstock::monitor {
namespace {

constexpr double growth = 1.04;
constexpr double sketch_max = 1e12;

}  // namespace

void Sketch::add(double value) {
  if (std::isnan(value)) return;
  value = std::clamp(value, 1.0, sketch_max);
  const auto bucket = static_cast<std::int64_t>(std::ceil(std::log(value) / std::log(growth)));
  merge({.first = bucket, .counts = {1}});
}

void Sketch::merge(const Sketch& other) {
  if (other.counts.empty()) return;
  if (counts.empty()) first = other.first;
  if (other.first < first) {
    counts.insert(counts.begin(), static_cast<std::size_t>(first - other.first), 0);
    first = other.first;
  }
  const auto shift = static_cast<std::size_t>(other.first - first);
  counts.resize(std::max(counts.size(), shift + other.counts.size()));
  for (std::size_t at = 0; at < other.counts.size(); ++at) counts[shift + at] += other.counts[at];
}

std::int64_t Sketch::total() const {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

std::optional<double> Sketch::quantile(double q) const {
  const std::int64_t all = total();
  if (all == 0) return {};
  auto rank =
      std::max<std::int64_t>(static_cast<std::int64_t>(std::ceil(q * static_cast<double>(all))), 1);
  std::size_t at = 0;
  while (at + 1 < counts.size() && rank > counts[at]) rank -= counts[at++];
  const double upper = std::pow(growth, static_cast<double>(first + static_cast<std::int64_t>(at)));
  return upper * 2 / (1 + growth);
}

void add_counts(Counts& into, const Counts& other) {
  into.resize(std::max(into.size(), other.size()));
  for (std::size_t at = 0; at < other.size(); ++at) into[at] += other[at];
}

void Tally::merge(const Tally& other) {
  calls += other.calls;
  errors += other.errors;
  scored += other.scored;
  decided += other.decided;
  decisions += other.decisions;
  score_sum += other.score_sum;
  score_squares += other.score_squares;
  add_counts(score_bins, other.score_bins);
  micros.merge(other.micros);
  age_seconds.merge(other.age_seconds);
  features.resize(std::max(features.size(), other.features.size()));
  for (std::size_t at = 0; at < other.features.size(); ++at) {
    features[at].count += other.features[at].count;
    features[at].nulls += other.features[at].nulls;
    features[at].sum += other.features[at].sum;
    add_counts(features[at].bins, other.features[at].bins);
  }
  labels += other.labels;
  wrong += other.wrong;
  positives += other.positives;
  brier_sum += other.brier_sum;
}

void count_call(Tally& tally, const serving::InferenceEvent& event) {
  ++tally.calls;
  if (!event.error.empty()) {
    ++tally.errors;
    return;
  }
  tally.micros.add(static_cast<double>(event.total_micros));
  if (event.oldest_feature_seconds) tally.age_seconds.add(*event.oldest_feature_seconds + 1);
  if (event.score && std::isfinite(*event.score)) {
    ++tally.scored;
    tally.score_sum += *event.score;
    tally.score_squares += *event.score * *event.score;
  }
  if (event.decision) {
    ++tally.decided;
    tally.decisions += *event.decision ? 1 : 0;
  }
  tally.features.resize(std::max(tally.features.size(), event.features.size()));
  for (std::size_t at = 0; at < event.features.size(); ++at) {
    FeatureTally& feature = tally.features[at];
    ++feature.count;
    const std::optional<double>& value = event.features[at];
    if (value && std::isfinite(*value))
      feature.sum += *value;
    else
      ++feature.nulls;
  }
}

void count_bins(Tally& tally, const Edges& edges,
                const std::vector<std::optional<double>>& features, std::optional<double> score) {
  const auto count = [](Counts& bins, const std::vector<double>& at, std::optional<double> value) {
    bins.resize(at.size() + 1);
    if (value && std::isfinite(*value)) ++bins[bin_of(at, *value)];
  };
  count(tally.score_bins, edges.score, score);
  const std::size_t known = std::min(features.size(), edges.features.size());
  tally.features.resize(std::max(tally.features.size(), known));
  for (std::size_t at = 0; at < known; ++at)
    count(tally.features[at].bins, edges.features[at], features[at]);
}

void count_label(Tally& tally, const serving::InferenceEvent& event, double label) {
  ++tally.labels;
  const bool positive = label >= 0.5;
  tally.positives += positive ? 1 : 0;
  if (event.decision) tally.wrong += *event.decision != positive ? 1 : 0;
  if (event.score) tally.brier_sum += (*event.score - label) * (*event.score - label);
}

}  // namespace penstock::monitor
