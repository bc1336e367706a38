#include "monitor/distance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace penstock::monitor {
namespace {

// Nothing if there are no values.
std::optional<std::vector<double>> shares(const Counts& counts) {
  const std::int64_t total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  if (total <= 0) return {};
  std::vector<double> out;
  for (const std::int64_t count : counts)
    out.push_back(static_cast<double>(count) / static_cast<double>(total));
  return out;
}

void fill_zeroes(std::vector<double>& shares_of) {
  double least = 1;
  for (const double share : shares_of)
    if (share > 0) least = std::min(least, share);
  for (double& share : shares_of)
    if (share == 0) share = least <= 0.0001 ? least / 1e6 : 0.0001;
}

}  // namespace

std::optional<double> population_stability_index(const Counts& reference, const Counts& current) {
  auto r = shares(reference), c = shares(current);
  if (!r || !c || r->size() != c->size()) return {};
  fill_zeroes(*r);
  fill_zeroes(*c);
  double sum = 0;
  for (std::size_t bin = 0; bin < r->size(); ++bin)
    sum += ((*r)[bin] - (*c)[bin]) * std::log((*r)[bin] / (*c)[bin]);
  return sum;
}

std::optional<double> jensen_shannon_distance(const Counts& reference, const Counts& current) {
  const auto r = shares(reference), c = shares(current);
  if (!r || !c || r->size() != c->size()) return {};
  const auto term = [](double share, double middle) {
    return share > 0 ? share * std::log2(share / middle) : 0.0;
  };
  double sum = 0;
  for (std::size_t bin = 0; bin < r->size(); ++bin) {
    const double middle = ((*r)[bin] + (*c)[bin]) / 2;
    sum += term((*r)[bin], middle) + term((*c)[bin], middle);
  }
  return std::sqrt(std::max(sum, 0.0) / 2);  // equal sides may come out a hair below 0
}

std::size_t bin_of(const std::vector<double>& edges, double value) {
  return static_cast<std::size_t>(std::lower_bound(edges.begin(), edges.end(), value) -
                                  edges.begin());
}

std::vector<double> quantile_edges(std::vector<double> values, std::size_t bins) {
  std::sort(values.begin(), values.end());
  std::vector<double> edges;
  for (std::size_t k = 1; k < bins && !values.empty(); ++k) {
    const std::size_t rank = std::max<std::size_t>((values.size() * k + bins - 1) / bins, 1);
    const double edge = values[rank - 1];
    if (edge < values.back() && (edges.empty() || edges.back() < edge)) edges.push_back(edge);
  }
  return edges;
}

}  // namespace penstock::monitor
