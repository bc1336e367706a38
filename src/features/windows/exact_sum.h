// The sum of doubles without an error: what it is does not depend on the order of its parts.
#pragma once

#include <cstdint>
#include <boost/container/small_vector.hpp>

#include "features/bytes.h"

namespace penstock::features::windows {

// A whole number of 2^-1074, the least step between two doubles, in digits of 32 bits. Every double
// is such a number, so adding them is adding integers, which is exact and may be done in any order;
// the one rounding is that of value(). (The idea is Kulisch's accumulator; carries are put off as
// in R. M. Neal, "Fast exact summation using small and large superaccumulators", 2015.)
class ExactSum {
 public:
  void add(double value);
  void merge(const ExactSum& other);
  // The double nearest to the sum, of two the even one; infinite beyond the doubles. As IEEE says:
  // NaN with a NaN among the parts, or with infinities of both signs. Zero is +0.
  double value() const;

  void encode(std::string& out) const;  // equal sums give equal bytes
  bool decode(Reader& bytes);           // false where the bytes are no sum

 private:
  std::int64_t& digit(int place);
  void carry();

  int first_ = 0;  // digits_[i] counts 2^(32 * (first_ + i) - 1074)
  boost::container::small_vector<std::int64_t, 4> digits_;
  std::uint32_t uncarried_ = 0;  // no digit is beyond 2^32 * (this + 1)
  std::uint8_t odd_ = 0;         // bits: NaN, +infinity, -infinity were among the parts
};

}  // namespace penstock::features::windows
