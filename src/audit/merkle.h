// The tree of RFC 6962, kept by its frontier: the roots of its full subtrees, widest first.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"

namespace penstock::audit {

Sha256 leaf_hash(std::string_view entry);                   // SHA-256(0x00 || entry)
Sha256 node_hash(const Sha256& left, const Sha256& right);  // SHA-256(0x01 || left || right)

class Frontier {
 public:
  Frontier() = default;
  Frontier(std::int64_t size, std::vector<Sha256> roots) : size_(size), roots_(std::move(roots)) {}

  void append(const Sha256& leaf);
  std::int64_t size() const { return size_; }
  const std::vector<Sha256>& roots() const { return roots_; }
  // The Merkle tree hash; SHA-256 of nothing for an empty tree.
  Sha256 root() const;

 private:
  std::int64_t size_ = 0;
  std::vector<Sha256> roots_;
};

}  // namespace penstock::audit
