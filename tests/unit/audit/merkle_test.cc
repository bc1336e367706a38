// The tree and its proofs, against RFC 6962 written down as it stands and against known vectors.
#include "audit/merkle.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/fixture.h"

namespace penstock::audit {
namespace {

// Section 2.1, word for word.
Sha256 slow_root(const std::vector<Sha256>& leaves) {
  if (leaves.empty()) return sha256("");
  if (leaves.size() == 1) return leaves[0];
  std::size_t k = 1;
  while (k * 2 < leaves.size()) k *= 2;
  const auto split = leaves.begin() + static_cast<std::ptrdiff_t>(k);
  return node_hash(slow_root({leaves.begin(), split}), slow_root({split, leaves.end()}));
}

std::vector<Sha256> leaves_of(int size) {
  std::vector<Sha256> leaves;
  for (int i = 0; i < size; ++i) leaves.push_back(leaf_hash("entry " + std::to_string(i)));
  return leaves;
}

Sha256 root_of(const std::vector<Sha256>& leaves, std::int64_t begin, std::int64_t end) {
  return slow_root({leaves.begin() + begin, leaves.begin() + end});
}

RangeHash range_of(const std::vector<Sha256>& leaves) {
  return [&leaves](std::int64_t begin, std::int64_t end) -> Result<Sha256> {
    return root_of(leaves, begin, end);
  };
}

// The leaves and roots with which certificate transparency's own implementations are tested.
TEST(Merkle, GivesTheKnownRoots) {
  using namespace std::string_literals;
  const std::string entries[] = {
      "",
      "\x00"s,
      "\x10",
      "\x20\x21",
      "\x30\x31",
      "\x40\x41\x42\x43",
      "\x50\x51\x52\x53\x54\x55\x56\x57",
      "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f"};
  const char* roots[] = {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                         "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                         "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                         "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                         "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                         "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                         "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                         "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  Frontier frontier;
  EXPECT_EQ(to_hex(frontier.root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  for (std::size_t i = 0; i < std::size(entries); ++i) {
    frontier.append(leaf_hash(entries[i]));
    EXPECT_EQ(to_hex(frontier.root()), roots[i]) << i + 1;
  }
}

TEST(Merkle, TheFrontierGivesTheRootOfTheRfc) {
  const auto leaves = leaves_of(70);
  Frontier frontier;
  for (int i = 0; i < 70; ++i) {
    EXPECT_EQ(frontier.root(), root_of(leaves, 0, i)) << i;
    frontier.append(leaves[static_cast<std::size_t>(i)]);
  }
}

TEST(Merkle, TellsEachFullSubtreeOnce) {
  const auto leaves = leaves_of(64);
  Frontier frontier;
  std::set<std::pair<int, std::int64_t>> seen;
  for (const Sha256& leaf : leaves)
    frontier.append(leaf, [&](const Node& node) {
      EXPECT_TRUE(seen.insert({node.level, node.index}).second);
      EXPECT_EQ(node.hash,
                root_of(leaves, node.index << node.level, (node.index + 1) << node.level));
    });
  EXPECT_EQ(seen.size(), 63U);
}

TEST(Merkle, EveryLeafOfEverySmallTreeCanBeProven) {
  const auto leaves = leaves_of(40);
  for (std::int64_t size = 1; size <= 40; ++size)
    for (std::int64_t number = 0; number < size; ++number) {
      const auto path = test::must(inclusion_path(number, size, range_of(leaves)));
      const Sha256 root = root_of(leaves, 0, size), leaf = leaves[static_cast<std::size_t>(number)];
      ASSERT_TRUE(inclusion_holds(leaf, number, size, path, root)) << number << " of " << size;
      EXPECT_FALSE(inclusion_holds(leaf_hash("other"), number, size, path, root));
      EXPECT_FALSE(inclusion_holds(leaf, number, size, path, leaf_hash("other")));
      EXPECT_FALSE(inclusion_holds(leaf, size, size, path, root));
      EXPECT_FALSE(inclusion_holds(leaf, -1, size, path, root));
      EXPECT_EQ(inclusion_holds(leaf, (number + 1) % size, size, path, root), size == 1);
      for (std::size_t cut = 0; cut < path.size(); ++cut) {
        auto shorter = path;
        shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(cut));
        EXPECT_FALSE(inclusion_holds(leaf, number, size, shorter, root));
        auto other = path;
        other[cut][7] ^= 1;
        EXPECT_FALSE(inclusion_holds(leaf, number, size, other, root));
      }
      auto longer = path;
      longer.push_back(leaf);
      EXPECT_FALSE(inclusion_holds(leaf, number, size, longer, root));
    }
}

TEST(Merkle, EverySmallTreeBeginsEveryLargerOne) {
  const auto leaves = leaves_of(40);
  for (std::int64_t to = 1; to <= 40; ++to)
    for (std::int64_t from = 1; from <= to; ++from) {
      const auto path = test::must(consistency_path(from, to, range_of(leaves)));
      const Sha256 older = root_of(leaves, 0, from), newer = root_of(leaves, 0, to);
      ASSERT_TRUE(consistency_holds(from, older, to, newer, path)) << from << " of " << to;
      EXPECT_FALSE(consistency_holds(from, leaf_hash("x"), to, newer, path));
      EXPECT_FALSE(consistency_holds(from, older, to, leaf_hash("x"), path));
      EXPECT_EQ(consistency_holds(from, older, to, newer, {}), from == to);
      EXPECT_FALSE(consistency_holds(to + 1, older, to, newer, path));
      for (std::size_t i = 0; i < path.size(); ++i) {
        auto other = path;
        other[i][0] ^= 1;
        EXPECT_FALSE(consistency_holds(from, older, to, newer, other));
      }
    }
}

TEST(Merkle, AForkedTreeIsNotConsistent) {
  auto leaves = leaves_of(33);
  const Sha256 older = root_of(leaves, 0, 20);
  leaves[11] = leaf_hash("rewritten");
  const auto path = test::must(consistency_path(20, 33, range_of(leaves)));
  EXPECT_FALSE(consistency_holds(20, older, 33, root_of(leaves, 0, 33), path));
}

}  // namespace
}  // namespace penstock::audit
