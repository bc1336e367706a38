// Where differences lie: counts in buckets, so that what was read can be forgotten.
#pragma once

#include "base/described.h"

namespace penstock::serving {

struct Bucket {
  std::int64_t at = 0, count = 0;
};
BOOST_DESCRIBE_STRUCT(Bucket, (), (at, count))

// Each bucket reaches 5% further from zero than the one before, so a quantile is off by 2.5% at
// most. Distances below 1e-9 count as zero, those above 1e12 as that: at most 2,000 buckets.
struct Spread {
  std::int64_t count = 0;
  double sum = 0, squares = 0;
  std::vector<Bucket> buckets;  // sorted by `at`; negative values have negative ones

  void add(double value);  // NaN is left out
  std::optional<double> mean() const;
  // The value at rank ceil(q n), as the middle of its bucket; nothing where there is none.
  std::optional<double> quantile(double q) const;
};
BOOST_DESCRIBE_STRUCT(Spread, (), (count, sum, squares, buckets))

}  // namespace penstock::serving
