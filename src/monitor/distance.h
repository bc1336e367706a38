// How far two histograms over the same bins are from each other.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace penstock::monitor {

using Counts = std::vector<std::int64_t>;

// Population stability index: the sum over bins of (r - c) ln(r / c), r and c being shares. Empty
// bins are filled as Evidently does it, on each side by itself and without scaling the rest: with
// 0.0001, or with a millionth of the side's least share where that share is 0.0001 or less. Nothing
// if a side has no values or the bins differ.
std::optional<double> population_stability_index(const Counts& reference, const Counts& current);

// The square root of the Jensen-Shannon divergence in bits, 0 to 1: scipy's jensenshannon(r, c,
// base=2). Evidently uses base e: its value is this one times sqrt(ln 2).
std::optional<double> jensen_shannon_distance(const Counts& reference, const Counts& current);

// The bin of a value: how many edges are less than it. So bins are open to the left, closed to the
// right, and the outermost have no end: numpy.searchsorted(edges, value, side="left").
std::size_t bin_of(const std::vector<double>& edges, double value);

// Edges between at most `bins` bins of about equal counts: values at the ranks ceil(n k / bins),
// each once. The greatest value is no edge: nothing of the sample would be above it.
std::vector<double> quantile_edges(std::vector<double> values, std::size_t bins);

}  // namespace penstock::monitor
