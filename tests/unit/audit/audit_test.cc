// G2: the audit log detects any changed, removed, added or reordered event.
#include "audit/audit.h"

#include <gtest/gtest.h>

#include <random>

#include "audit/merkle.h"
#include "tests/support/fixture.h"

namespace penstock::audit {
namespace {

// RFC 6962 section 2.1, written down as it stands there.
Sha256 slow_root(const std::vector<Sha256>& leaves) {
  if (leaves.empty()) return sha256("");
  if (leaves.size() == 1) return leaves[0];
  std::size_t k = 1;
  while (k * 2 < leaves.size()) k *= 2;
  const auto split = leaves.begin() + static_cast<std::ptrdiff_t>(k);
  return node_hash(slow_root({leaves.begin(), split}), slow_root({split, leaves.end()}));
}

TEST(Merkle, TheFrontierGivesTheRootOfTheRfc) {
  Frontier frontier;
  std::vector<Sha256> leaves;
  for (int i = 0; i < 70; ++i) {
    EXPECT_EQ(to_hex(frontier.root()), to_hex(slow_root(leaves))) << i;
    leaves.push_back(leaf_hash("entry " + std::to_string(i)));
    frontier.append(leaves.back());
  }
}

class AuditTest : public testing::Test {
 protected:
  AuditTest() {
    for (int i = 0; i < 9; ++i)
      test::must(db_->write(call_, [&](sql::Tx& tx) {
        return record(tx, call_, clock_.now(),
                      {"thing.changed", "thing:" + std::to_string(i), {{"i", i}}});
      }));
  }
  // What verify says after `statement` tampered with the tables.
  Verification after(const std::string& statement) {
    test::must(db_->write(call_, [&](sql::Tx& tx) { return tx.run(statement, {}); }));
    return test::must(service_.verify(call_));
  }

  const Call call_ = test::call();
  ManualClock clock_;
  const std::unique_ptr<sql::Database> db_ = test::database();
  Service service_{*db_};
};

TEST_F(AuditTest, IsIntactWhenNobodyTouchedIt) {
  const auto got = test::must(service_.verify(call_));
  EXPECT_TRUE(got.intact) << got.fault;
  EXPECT_EQ(got.events, 9);
}

// JSON readers lose the last bit of some doubles; the log must not take that for tampering.
TEST_F(AuditTest, KeepsAnyNumberIntact) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 300; ++i)
    test::must(db_->write(call_, [&](sql::Tx& tx) {
      const double number = std::normal_distribution<double>(0, 1e3)(random);
      return record(tx, call_, clock_.now(), {"thing.measured", "thing:x", {{"e", number}}});
    }));
  const auto got = test::must(service_.verify(call_));
  EXPECT_TRUE(got.intact) << got.fault;
}

TEST_F(AuditTest, SeesEveryChangedField) {
  for (const char* change : {"at = at + 1", "project = 'other'", "tenant = 'x'",
                             "actor = 'user:eve'", "request_id = 'r2'", "action = 'thing.kept'",
                             "subject = 'thing:99'", "detail = '{\"i\":7}'", "leaf = '00'"}) {
    SCOPED_TRACE(change);
    test::must(db_->write(call_, [&](sql::Tx& tx) {
      return tx.run("CREATE TABLE kept AS SELECT * FROM audit_events WHERE number = 4", {});
    }));
    EXPECT_FALSE(
        after("UPDATE audit_events SET " + std::string(change) + " WHERE number = 4").intact);
    test::must(db_->write(call_, [&](sql::Tx& tx) -> Result<void> {
      TRY(tx.run("DELETE FROM audit_events WHERE number = 4", {}));
      TRY(tx.run("INSERT INTO audit_events SELECT * FROM kept", {}));
      TRY(tx.run("DROP TABLE kept", {}));
      return {};
    }));
    EXPECT_TRUE(test::must(service_.verify(call_)).intact);
  }
}

TEST_F(AuditTest, SeesARemovedEventInTheMiddle) {
  EXPECT_EQ(after("DELETE FROM audit_events WHERE number = 4").fault, "event 4 is missing");
}

TEST_F(AuditTest, SeesATruncatedTail) {
  EXPECT_FALSE(after("DELETE FROM audit_events WHERE number >= 7").intact);
}

TEST_F(AuditTest, SeesTwoEventsThatChangedPlaces) {
  EXPECT_FALSE(after("UPDATE audit_events SET number = CASE number WHEN 3 THEN -4 ELSE -3 END "
                     "WHERE number IN (3, 4)")
                   .intact);
}

TEST_F(AuditTest, SeesARewrittenHead) {
  EXPECT_FALSE(after("UPDATE audit_head SET size = 5").intact);
}

TEST_F(AuditTest, AnEventThatRolledBackLeavesNoGap) {
  const auto failed = db_->write(call_, [&](sql::Tx& tx) -> Result<void> {
    TRY(record(tx, call_, clock_.now(), {"thing.changed", "thing:lost", {}}));
    return Error{Code::internal, "on purpose"};
  });
  EXPECT_FALSE(failed);
  const auto got = test::must(service_.verify(call_));
  EXPECT_TRUE(got.intact) << got.fault;
  EXPECT_EQ(got.events, 9);
}

}  // namespace
}  // namespace penstock::audit
