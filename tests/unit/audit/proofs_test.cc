// Checkpoints and proofs of a stored log.
#include <random>

#include "audit/about.h"
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

TEST_F(LogTest, ProvesAllThatWasDoneToAFewThings) {
  append(600);
  const Checkpoint signed_head = test::must(service_.checkpoint(call_));
  const Head head = test::must(open_checkpoint(signed_head.note, service_.public_key()));
  const std::vector<std::string> subjects{"thing:599", "thing:0", "thing:255", "thing:0", "none"};
  const auto about = [&](const std::string& project, std::int64_t size, std::int64_t limit) {
    return db_->read(
        call_, [&](sql::Tx& tx) { return inclusions_about(tx, project, subjects, size, limit); });
  };
  const auto proofs = test::must(about("p1", 600, 3));
  ASSERT_EQ(proofs.size(), 3u);
  std::int64_t last = -1;
  for (const Inclusion& proof : proofs) {
    EXPECT_GT(proof.number, last) << "in order";
    last = proof.number;
    EXPECT_TRUE(inclusion_holds(leaf_hash(proof.entry), proof.number, proof.size,
                                hashes_of(proof.path), head.root));
  }
  EXPECT_EQ(test::must(about("p1", 599, 3)).size(), 2u) << "only those under the head";
  EXPECT_TRUE(test::must(about("p2", 600, 3)).empty()) << "only those of the project";
  EXPECT_EQ(about("p1", 600, 2).error().code, Code::resource_exhausted);
  const auto changed = [&](const std::string& project, std::int64_t size) {
    return test::must(
        db_->read(call_, [&](sql::Tx& tx) { return changed_since(tx, project, subjects, size); }));
  };
  EXPECT_TRUE(changed("p1", 599));
  EXPECT_FALSE(changed("p1", 600));
  EXPECT_FALSE(changed("p2", 0));
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
