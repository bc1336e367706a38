// About where a share of the values lies.
#pragma once

#include <cstdint>
#include <vector>

#include "features/bytes.h"

namespace penstock::features::windows {

// Counts in buckets whose width is a 64th of their lower end, as DDSketch with the linear mapping:
// a bucket is the exponent of a double and the upper 6 bits of its mantissa, so no logarithm is
// rounded. The answer is at most 1/128 (0.8 %) from a value of the asked rank. Where values need
// more than 2,048 buckets (32 doublings of size, both signs together), neighbours are joined, and
// the error is 1/64, and so on: a set of values needs one such level, so any order and any merging
// of parts gives the same bytes. (C. Masson, J. E. Rim, H. K. Lee, "DDSketch", 2019; joining all
// neighbours is I. Epicoco et al., "UDDSketch", 2020.)
//
// Numbers below 2.3e-308 count as 0, infinite ones as the largest double; NaN is passed over.
class Sketch {
 public:
  void add(double value);
  void merge(const Sketch& other);
  bool empty() const { return buckets_.empty(); }
  // Of the value at place floor(share * (count - 1)), counted from 0, in their order.
  double value(double share) const;

  void encode(std::string& out) const;
  bool decode(Reader& bytes);

 private:
  struct Bucket {
    std::int32_t place = 0;  // 0 for zero, negative for negative values
    std::uint64_t count = 0;
  };
  void put(std::int32_t place, std::uint64_t count);
  void join_neighbours();
  void shrink();

  std::uint32_t level_ = 0;      // how often neighbours were joined
  std::vector<Bucket> buckets_;  // by place
};

}  // namespace penstock::features::windows
