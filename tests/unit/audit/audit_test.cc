// G2: the audit log detects any changed, removed, added or reordered event.
#include <random>

#include "audit/rows.h"
#include "tests/unit/audit/audit_fixture.h"

namespace penstock::audit {
namespace {

class AuditTest : public LogTest {
 protected:
  AuditTest() {
    append(9);
    test::must(service_.checkpoint(call_));
  }
  // What verify says after `statement` tampered with the tables.
  Verification after(const std::string& statement) {
    sql(statement);
    return verify();
  }
  // As whoever writes the file and knows the program would: leaves, nodes and head are made anew.
  void make_consistent() {
    test::must(db_->write(call_, [&](sql::Tx& tx) -> Result<void> {
      Frontier frontier;
      TRY(tx.run("DELETE FROM audit_nodes", {}));
      for (const rows::Row& row : TRY(rows::events(tx, 0, 100'000))) {
        const Sha256 leaf = leaf_hash(rows::entry_of(row));
        std::vector<Node> nodes;
        frontier.append(leaf, [&](const Node& node) {
          if (node.level % rows::tile_height == 0) nodes.push_back(node);
        });
        for (const Node& node : nodes) TRY(rows::put(tx, node));
        TRY(tx.run("UPDATE audit_events SET leaf = $1 WHERE number = $2",
                   {to_hex(leaf), row.number}));
      }
      TRY(tx.run("UPDATE audit_head SET size = $1, frontier = $2",
                 {frontier.size(), rows::text_of(frontier)}));
      return {};
    }));
  }
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
    const auto got = after("UPDATE audit_events SET " + std::string(change) + " WHERE number = 4");
    EXPECT_FALSE(got.intact);
    EXPECT_EQ(got.first_wrong, 4);
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

TEST_F(AuditTest, SeesAHistoryThatWasMadeConsistentAgain) {
  append(600);
  test::must(service_.checkpoint(call_));
  append(5);
  EXPECT_TRUE(verify().intact);
  struct Case {
    std::string what, statement;
    std::int64_t from;  // the events behind the checkpoint before
  };
  for (const Case& c :
       {Case{"edit", "UPDATE audit_events SET actor = 'user:eve' WHERE number = 3", 0},
        {"edit", "UPDATE audit_events SET actor = 'user:eve' WHERE number = 300", 9},
        {"cut", "DELETE FROM audit_events WHERE number >= 600", 600}}) {
    SCOPED_TRACE(c.statement);
    sql("CREATE TABLE kept AS SELECT * FROM audit_events");
    sql(c.statement);
    make_consistent();
    const auto got = verify();
    EXPECT_FALSE(got.intact);
    EXPECT_EQ(got.first_wrong, c.from) << got.fault;
    sql("DELETE FROM audit_events");
    sql("INSERT INTO audit_events SELECT * FROM kept");
    sql("DROP TABLE kept");
    make_consistent();
    EXPECT_TRUE(verify().intact) << verify().fault;
  }
}

TEST_F(AuditTest, SaysUpToWhichEventItIsSigned) {
  append(3);
  const auto got = verify();
  EXPECT_TRUE(got.intact) << got.fault;
  EXPECT_EQ(got.events, 12);
  EXPECT_EQ(got.signed_size, 9);
}

TEST_F(AuditTest, SeesNodesAndCheckpointsThatWereTouched) {
  append(600);
  test::must(service_.checkpoint(call_));
  for (const char* change :
       {"UPDATE audit_nodes SET hash = leaf FROM audit_events WHERE number = 1 AND idx = 1",
        "UPDATE audit_checkpoints SET root = leaf FROM audit_events WHERE number = 1",
        "UPDATE audit_checkpoints SET note = 'x' WHERE size = 9",
        "UPDATE audit_checkpoints SET size = 10 WHERE size = 9",
        "DELETE FROM audit_nodes WHERE idx = 0", "DELETE FROM audit_head"}) {
    SCOPED_TRACE(change);
    sql("CREATE TABLE n AS SELECT * FROM audit_nodes");
    sql("CREATE TABLE c AS SELECT * FROM audit_checkpoints");
    sql("CREATE TABLE h AS SELECT * FROM audit_head");
    EXPECT_FALSE(after(change).intact);
    for (const std::string table : {"audit_nodes", "audit_checkpoints", "audit_head"}) {
      const std::string copy(1, table[6]);
      sql("DELETE FROM " + table);
      sql("INSERT INTO " + table + " SELECT * FROM " + copy);
      sql("DROP TABLE " + copy);
    }
    EXPECT_TRUE(verify().intact) << verify().fault;
  }
}

TEST_F(AuditTest, ACheckpointOfAnotherKeyIsWorthNothing) {
  append(1);
  Service forger(*db_, clock_, SigningKey::generate("penstock"));
  test::must(forger.checkpoint(call_));
  const auto got = verify();
  EXPECT_FALSE(got.intact);
  EXPECT_NE(got.fault.find("a key that this server does not know"), std::string::npos) << got.fault;
}

// The bytes that are hashed must never change, or every log that there is looks changed.
TEST_F(AuditTest, WritesEntriesAsCanonicalJsonDoes) {
  std::mt19937 random(5);
  for (int i = 0; i < 500; ++i) {
    rows::Row row{.number = i, .at = clock_.now(), .project = "p", .tenant = "t"};
    for (std::string* text : {&row.actor, &row.request_id, &row.action, &row.subject, &row.detail})
      for (std::size_t left = random() % 12; left > 0; --left)
        *text += static_cast<char>(random() % 126 + 1);
    json::object fields = encode(row).as_object();
    fields.erase("leaf");
    fields["at"] = row.at.time_since_epoch().count();
    EXPECT_EQ(rows::entry_of(row), canonical(fields));
  }
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
