#include "audit/merkle.h"

namespace penstock::audit {
namespace {

std::string_view bytes_of(const Sha256& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace

Sha256 leaf_hash(std::string_view entry) {
  Sha256Stream hash;
  hash.update(std::string_view("\0", 1));
  hash.update(entry);
  return hash.finish();
}

Sha256 node_hash(const Sha256& left, const Sha256& right) {
  Sha256Stream hash;
  hash.update("\1");
  hash.update(bytes_of(left));
  hash.update(bytes_of(right));
  return hash.finish();
}

void Frontier::append(const Sha256& leaf) {
  roots_.push_back(leaf);
  // Each trailing one bit of the old size is a full subtree that the new leaf completes.
  for (std::int64_t rest = size_; rest & 1; rest >>= 1) {
    const Sha256 right = roots_.back();
    roots_.pop_back();
    roots_.back() = node_hash(roots_.back(), right);
  }
  ++size_;
}

Sha256 Frontier::root() const {
  if (roots_.empty()) return sha256("");
  Sha256 root = roots_.back();
  for (std::size_t i = roots_.size() - 1; i-- > 0;) root = node_hash(roots_[i], root);
  return root;
}

}  // namespace penstock::audit
