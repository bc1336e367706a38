// About how many different values there were.
#pragma once

#include <cstdint>
#include <vector>

#include "features/bytes.h"

namespace penstock::features::windows {

// HyperLogLog of 4,096 registers over XXH3 (64 bits, seed 0). Up to 512 different values it keeps
// 25 bits of each hash, and is off by one value in some hundred sets; beyond, the standard error is
// 1.04 / sqrt(4096) = 1.6 %. What it holds depends on the set of values alone: any order and any
// merging of parts gives the same bytes. (P. Flajolet et al., "HyperLogLog", 2007; the sparse form
// is of S. Heule et al., "HyperLogLog in practice", 2013; the estimate is O. Ertl's, "New
// cardinality estimation algorithms for HyperLogLog sketches", 2017, which needs no tables.)
class Distinct {
 public:
  // 3 and 3.0 are one value, true is 1, -0.0 is 0.
  void add(const Scalar& value);
  void add_hash(std::uint64_t hash);
  void merge(const Distinct& other);
  std::int64_t value() const;

  void encode(std::string& out) const;
  bool decode(Reader& bytes);

 private:
  void add_sparse(std::uint32_t entry);
  void raise(std::uint32_t entry);  // of the registers
  void densify();

  std::vector<std::uint32_t> sparse_;    // 25 bits of a hash, 6 of the rank of the rest; ascending
  std::vector<std::uint8_t> registers_;  // empty while sparse
};

}  // namespace penstock::features::windows
