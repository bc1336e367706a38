// Which of a group of upstreams are so much worse than the rest that they should sit out.
#pragma once

#include <cstdint>
#include <vector>

namespace penstock::traffic {

struct OutlierOptions {
  std::int64_t calls_min = 20;         // in the window; fewer say nothing
  double error_share_min = 0.2;        // and at least
  double error_factor = 3;             // times the median of the others
  double latency_factor = 3;           // times the median of the others, and at least
  double latency_min_micros = 50'000;  // that much above it
  double ejected_share_max = 0.5;      // of the group; one always stays
};

struct Seen {
  std::int64_t calls = 0, failures = 0;
  double mean_micros = 0;  // of the calls that were answered
  bool out = false;        // ejected already
};

// Indexes of those to eject now, the worst first.
std::vector<std::size_t> outliers(const std::vector<Seen>& group, const OutlierOptions& options);

}  // namespace penstock::traffic
