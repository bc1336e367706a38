#include "traffic/outliers.h"

#include <algorithm>
#include <cmath>

namespace penstock::traffic {
namespace {

double share_of(const Seen& seen) {
  return static_cast<double>(seen.failures) /
         static_cast<double>(std::max<std::int64_t>(1, seen.calls));
}

// Of all but one that have calls enough to judge by; negative where there are none.
double median_of_others(const std::vector<Seen>& group, std::size_t but, std::int64_t calls_min,
                        double (*measure)(const Seen&)) {
  std::vector<double> values;
  for (std::size_t i = 0; i < group.size(); ++i)
    if (i != but && !group[i].out && group[i].calls >= calls_min)
      values.push_back(measure(group[i]));
  if (values.empty()) return -1;
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) / 2];
}

// How many times worse than it may be; below 1 is fine.
double badness(const std::vector<Seen>& group, std::size_t index, const OutlierOptions& options) {
  const Seen& seen = group[index];
  if (seen.out || seen.calls < options.calls_min) return 0;
  const double errors = median_of_others(group, index, options.calls_min, share_of);
  if (errors < 0) return 0;
  const double errors_allowed = std::max(options.error_share_min, errors * options.error_factor);
  double worst = share_of(seen) / errors_allowed;
  const double micros = median_of_others(group, index, options.calls_min,
                                         [](const Seen& other) { return other.mean_micros; });
  const double micros_allowed =
      std::max(micros * options.latency_factor, micros + options.latency_min_micros);
  worst = std::max(worst, seen.mean_micros / micros_allowed);
  return worst;
}

}  // namespace

std::vector<std::size_t> outliers(const std::vector<Seen>& group, const OutlierOptions& options) {
  const auto size = static_cast<std::int64_t>(group.size());
  const std::int64_t most = std::min(
      size - 1,
      static_cast<std::int64_t>(std::floor(static_cast<double>(size) * options.ejected_share_max)));
  std::int64_t room =
      most - std::count_if(group.begin(), group.end(), [](const Seen& seen) { return seen.out; });
  std::vector<std::pair<double, std::size_t>> bad;
  for (std::size_t i = 0; i < group.size(); ++i)
    if (const double times = badness(group, i, options); times >= 1) bad.emplace_back(-times, i);
  std::sort(bad.begin(), bad.end());
  std::vector<std::size_t> chosen;
  for (const auto& [ignored, index] : bad)
    if (room-- > 0) chosen.push_back(index);
  return chosen;
}

}  // namespace penstock::traffic
