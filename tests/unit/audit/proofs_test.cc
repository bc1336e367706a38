// Checkpoints and proofs of a stored log.
#include <random>

#include "audit/export.h"
#include "tests/unit/audit/audit_fixture.h"

namespace penstock::audit {
namespace {

std::vector<Sha256> hashes_of(const std::vector<std::string>& texts) {
  std::vector<Sha256> out;
  for (const std::string& text : texts) out.push_back(sha256_from_hex(text));
  return out;
}

TEST_F(LogTest, ProvesAnyEventUnderASignedHead) {
  append(700);
  const Checkpoint signed_head = test::must(service_.checkpoint(call_));
  const Head head = test::must(open_checkpoint(signed_head.note, service_.public_key()));
  EXPECT_EQ(head.size, 700);
  for (const std::int64_t number : {0, 1, 255, 256, 257, 511, 512, 600, 698, 699}) {
    const Inclusion proof = test::must(service_.prove_inclusion(call_, {.number = number}));
    EXPECT_TRUE(inclusion_holds(leaf_hash(proof.entry), number, proof.size, hashes_of(proof.path),
                                head.root))
        << number;
  }
}

TEST_F(LogTest, AnySizeBeginsAnyLargerOne) {
  append(640);
  Frontier frontier;
  std::vector<Sha256> roots{frontier.root()};
  for (const auto& event : test::must(service_.list(call_, {.limit = 1'000})).events) {
    frontier.append(sha256_from_hex(event.leaf));
    roots.push_back(frontier.root());
  }
  std::mt19937 random(1);
  for (int i = 0; i < 60; ++i) {
    const std::int64_t to = 1 + static_cast<std::int64_t>(random() % 640);
    const std::int64_t from = 1 + static_cast<std::int64_t>(random()) % to;
    const auto proof = test::must(service_.prove_consistency(call_, {from, to}));
    const Sha256 &older = roots[static_cast<std::size_t>(from)],
                 &newer = roots[static_cast<std::size_t>(to)];
    EXPECT_EQ(proof.from_root, to_hex(older));
    EXPECT_TRUE(consistency_holds(from, older, to, newer, hashes_of(proof.path)))
        << from << " " << to;
  }
}

TEST_F(LogTest, RefusesProofsOfWhatIsNotThere) {
  append(3);
  Call elsewhere = call_;
  elsewhere.project = "p2";
  EXPECT_EQ(service_.prove_inclusion(call_, {.number = 3}).error().code, Code::not_found);
  EXPECT_EQ(service_.prove_inclusion(elsewhere, {.number = 1}).error().code, Code::not_found);
  EXPECT_EQ(service_.prove_inclusion(call_, {.number = 2, .size = 2}).error().code,
            Code::invalid_argument);
  EXPECT_EQ(service_.prove_inclusion(call_, {.number = 2, .size = 9}).error().code,
            Code::invalid_argument);
  EXPECT_EQ(service_.prove_consistency(call_, {2, 9}).error().code, Code::invalid_argument);
  EXPECT_EQ(service_.prove_consistency(call_, {3, 2}).error().code, Code::invalid_argument);
}

TEST_F(LogTest, KeepsEachCheckpointAndMakesNoneTwice) {
  EXPECT_EQ(test::must(service_.checkpoint(call_)).size, 0) << "of nothing";
  append(2);
  const Checkpoint first = test::must(service_.checkpoint(call_));
  clock_.advance(std::chrono::hours(1));
  EXPECT_EQ(test::must(service_.checkpoint(call_)).note, first.note);
  append(1);
  EXPECT_EQ(test::must(service_.latest(call_)).size, 2);
  EXPECT_EQ(test::must(service_.checkpoint(call_)).size, 3);
  EXPECT_EQ(test::count(*db_, "audit_checkpoints"), 3);
}

TEST_F(LogTest, ALogFromBeforeThereWereNodesGetsThem) {
  append(600);
  sql("DELETE FROM audit_nodes");
  EXPECT_FALSE(verify().intact);
  test::must(service_.ensure_nodes());
  EXPECT_TRUE(verify().intact) << verify().fault;
  append(300);
  test::must(service_.ensure_nodes());
  EXPECT_TRUE(verify().intact) << verify().fault;
}

}  // namespace
}  // namespace penstock::audit
