#include "audit/merkle.h"

#include <openssl/evp.h>

#include <bit>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace penstock::audit {
namespace {

// OpenSSL's, because it uses the processor's own instructions: four times libsodium's rate. One
// context a thread, because fetching the algorithm costs more than hashing an event.
class Hasher {
 public:
  Hasher& start() {
    if (EVP_DigestInit_ex(context_.get(), algorithm_.get(), nullptr) != 1)
      throw std::runtime_error("SHA-256 is not available in OpenSSL");
    return *this;
  }
  Hasher& add(const void* bytes, std::size_t size) {
    EVP_DigestUpdate(context_.get(), bytes, size);
    return *this;
  }
  Sha256 finish() {
    Sha256 digest{};
    EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr);
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> algorithm_{
      EVP_MD_fetch(nullptr, "SHA256", nullptr), &EVP_MD_free};
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(),
                                                                   &EVP_MD_CTX_free};
};

Hasher& hasher() {
  thread_local Hasher one;
  return one;
}

// The greatest power of two below n > 1.
std::int64_t split_of(std::int64_t n) {
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(n - 1)));
}

}  // namespace

Sha256 leaf_hash(std::string_view entry) {
  return hasher().start().add("\0", 1).add(entry.data(), entry.size()).finish();
}

Sha256 node_hash(const Sha256& left, const Sha256& right) {
  unsigned char bytes[65] = {1};
  std::memcpy(bytes + 1, left.data(), left.size());
  std::memcpy(bytes + 33, right.data(), right.size());
  return hasher().start().add(bytes, sizeof bytes).finish();
}

void Frontier::append(const Sha256& leaf, const std::function<void(const Node&)>& completed) {
  roots_.push_back(leaf);
  // Each trailing one bit of the old size is a full subtree that the new leaf completes.
  int level = 0;
  for (std::int64_t rest = size_; rest & 1; rest >>= 1) {
    const Sha256 right = roots_.back();
    roots_.pop_back();
    roots_.back() = node_hash(roots_.back(), right);
    ++level;
    if (completed) completed({level, size_ >> level, roots_.back()});
  }
  ++size_;
}

Sha256 Frontier::root() const {
  if (roots_.empty()) return sha256("");
  Sha256 root = roots_.back();
  for (std::size_t i = roots_.size() - 1; i-- > 0;) root = node_hash(roots_[i], root);
  return root;
}

Result<std::vector<Sha256>> inclusion_path(std::int64_t number, std::int64_t size,
                                           const RangeHash& hash_of) {
  // From the root down; the RFC lists from the leaf up.
  std::vector<Sha256> path;
  std::int64_t begin = 0, end = size;
  while (end - begin > 1) {
    const std::int64_t middle = begin + split_of(end - begin);
    if (number < middle) {
      path.push_back(TRY(hash_of(middle, end)));
      end = middle;
    } else {
      path.push_back(TRY(hash_of(begin, middle)));
      begin = middle;
    }
  }
  return std::vector<Sha256>(path.rbegin(), path.rend());
}

Result<std::vector<Sha256>> consistency_path(std::int64_t from, std::int64_t to,
                                             const RangeHash& hash_of) {
  std::vector<Sha256> path;
  std::int64_t begin = 0, end = to;
  // Until what is left is a subtree that the older tree has whole.
  while (from != end) {
    const std::int64_t middle = begin + split_of(end - begin);
    if (from <= middle) {
      path.push_back(TRY(hash_of(middle, end)));
      end = middle;
    } else {
      path.push_back(TRY(hash_of(begin, middle)));
      begin = middle;
    }
  }
  // That is the older root itself, which the reader has, where it begins at the first leaf.
  if (begin > 0) path.push_back(TRY(hash_of(begin, end)));
  return std::vector<Sha256>(path.rbegin(), path.rend());
}

bool inclusion_holds(const Sha256& leaf, std::int64_t number, std::int64_t size,
                     const std::vector<Sha256>& path, const Sha256& root) {
  if (number < 0 || number >= size) return false;
  std::int64_t at = number, last = size - 1;
  Sha256 hash = leaf;
  for (const Sha256& other : path) {
    if (last == 0) return false;
    if ((at & 1) || at == last) {
      hash = node_hash(other, hash);
      while (!(at & 1) && at != 0) at >>= 1, last >>= 1;
    } else {
      hash = node_hash(hash, other);
    }
    at >>= 1;
    last >>= 1;
  }
  return last == 0 && hash == root;
}

bool consistency_holds(std::int64_t from, const Sha256& from_root, std::int64_t to,
                       const Sha256& to_root, const std::vector<Sha256>& path) {
  if (from < 0 || from > to) return false;
  if (from == to) return path.empty() && from_root == to_root;
  if (from == 0) return path.empty();  // every tree begins with nothing
  std::vector<Sha256> hashes = path;
  if (std::has_single_bit(static_cast<std::uint64_t>(from)))
    hashes.insert(hashes.begin(), from_root);
  if (hashes.empty()) return false;
  std::int64_t at = from - 1, last = to - 1;
  while (at & 1) at >>= 1, last >>= 1;
  Sha256 older = hashes.front(), newer = hashes.front();
  for (std::size_t i = 1; i < hashes.size(); ++i) {
    if (last == 0) return false;
    if ((at & 1) || at == last) {
      older = node_hash(hashes[i], older);
      newer = node_hash(hashes[i], newer);
      while (!(at & 1) && at != 0) at >>= 1, last >>= 1;
    } else {
      newer = node_hash(newer, hashes[i]);
    }
    at >>= 1;
    last >>= 1;
  }
  return last == 0 && older == from_root && newer == to_root;
}

}  // namespace penstock::audit
