// The tree of RFC 6962 and its proofs. Pure: what the hashes are of, and where they are kept, is
// said elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/result.h"

namespace penstock::audit {

Sha256 leaf_hash(std::string_view entry);                   // SHA-256(0x00 || entry)
Sha256 node_hash(const Sha256& left, const Sha256& right);  // SHA-256(0x01 || left || right)

// The root of a full subtree: of the leaves [index << level, (index + 1) << level).
struct Node {
  int level = 0;
  std::int64_t index = 0;
  Sha256 hash;
};

// The tree by the roots of its full subtrees, widest first.
class Frontier {
 public:
  Frontier() = default;
  Frontier(std::int64_t size, std::vector<Sha256> roots) : size_(size), roots_(std::move(roots)) {}

  // `completed` is told each full subtree that the leaf completes, the narrowest first.
  void append(const Sha256& leaf, const std::function<void(const Node&)>& completed = {});
  std::int64_t size() const { return size_; }
  const std::vector<Sha256>& roots() const { return roots_; }
  // The Merkle tree hash; SHA-256 of nothing for an empty tree.
  Sha256 root() const;

 private:
  std::int64_t size_ = 0;
  std::vector<Sha256> roots_;
};

// The Merkle tree hash of the leaves [begin, end), begin < end.
using RangeHash = std::function<Result<Sha256>(std::int64_t begin, std::int64_t end)>;
// RFC 6962 section 2.1.1: what, with the leaf, gives the root of `size` leaves; 0 <= number < size.
Result<std::vector<Sha256>> inclusion_path(std::int64_t number, std::int64_t size,
                                           const RangeHash& hash_of);
// RFC 6962 section 2.1.2: what shows that the tree of `from` leaves begins that of `to`;
// 0 < from <= to.
Result<std::vector<Sha256>> consistency_path(std::int64_t from, std::int64_t to,
                                             const RangeHash& hash_of);

// RFC 9162 sections 2.1.3.2 and 2.1.4.2.
bool inclusion_holds(const Sha256& leaf, std::int64_t number, std::int64_t size,
                     const std::vector<Sha256>& path, const Sha256& root);
bool consistency_holds(std::int64_t from, const Sha256& from_root, std::int64_t to,
                       const Sha256& to_root, const std::vector<Sha256>& path);

}  // namespace penstock::audit
