// Statements that somebody else wrote, inside a transaction that must not suffer by them.
#include <gtest/gtest.h>

#include "adapters/sqlite/sqlite.h"
#include "tests/support/fixture.h"
#include "tests/support/postgres.h"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using sql::Tx;
using test::must;

struct Engine {
  std::string name;
  std::unique_ptr<sql::Database> (*open)(const test::TempDir&);
};

const Engine engines[] = {
    {"sqlite_file", [](const test::TempDir& dir) { return must(sqlite::open(dir / "test.db")); }},
    {"sqlite_memory", [](const test::TempDir&) { return must(sqlite::open(":memory:")); }},
    {"postgres", [](const test::TempDir&) { return test::postgres_database(); }},
};

class AskTest : public testing::TestWithParam<Engine> {
 protected:
  AskTest() {
    must(db_->write(call_, [](Tx& tx) {
      return tx.run("CREATE TABLE notes (id BIGINT PRIMARY KEY, words TEXT)", {});
    }));
  }
  std::int64_t count() {
    return std::get<std::int64_t>(
        must(db_->read(call_, [](Tx& tx) { return tx.run("SELECT count(*) FROM notes", {}); }))
            .at(0)
            .at(0));
  }

  test::TempDir dir_;
  std::unique_ptr<sql::Database> db_ = GetParam().open(dir_);
  const Call call_ = test::call();
};

INSTANTIATE_TEST_SUITE_P(On, AskTest, testing::ValuesIn(engines),
                         [](const auto& engine) { return engine.param.name; });

TEST_P(AskTest, SeesWhatItsTransactionWroteAndNamesItsColumns) {
  must(db_->write(call_, [](Tx& tx) -> Result<void> {
    TRY(tx.run("INSERT INTO notes (id, words) VALUES (1, 'one')", {}));
    const auto answer =
        TRY(tx.ask("SELECT id AS number, words FROM notes WHERE id = $1", {std::int64_t{1}}, 5s));
    EXPECT_EQ(answer.columns, (std::vector<std::string>{"number", "words"}));
    EXPECT_EQ(answer.rows.at(0), (sql::Row{std::int64_t{1}, std::string("one")}));
    return {};
  }));
}

TEST_P(AskTest, AFailureIsOutlivedByTheTransaction) {
  const char* wrong[] = {
      "SELECT 1 FROM nowhere",         // no such table
      "SELECT nothing FROM notes",     // no such column
      "SELECT id FROM notes WHERE (",  // no statement
      "INSERT INTO notes (id) VALUES (7)",
      "DELETE FROM notes RETURNING id",
      "SELECT 1; SELECT 2",
  };
  must(db_->write(call_, [&](Tx& tx) -> Result<void> {
    TRY(tx.run("INSERT INTO notes (id) VALUES (1)", {}));
    for (const char* statement : wrong) {
      SCOPED_TRACE(statement);
      EXPECT_FALSE(tx.ask(statement, {}, 5s));
    }
    TRY(tx.run("INSERT INTO notes (id) VALUES (2)", {}));
    return {};
  }));
  EXPECT_EQ(count(), 2);
  must(db_->read(call_, [&](Tx& tx) -> Result<void> {
    EXPECT_FALSE(tx.ask(wrong[0], {}, 5s));
    EXPECT_TRUE(tx.run("SELECT id FROM notes", {}));
    return {};
  }));
}

// Counts further than any machine gets before the limit.
constexpr const char* endless =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) "
    "SELECT max(i) FROM n";

TEST_P(AskTest, ItsOwnLimitStopsItAndNothingElse) {
  must(db_->write(call_, [&](Tx& tx) -> Result<void> {
    TRY(tx.run("INSERT INTO notes (id) VALUES (1)", {}));
    const auto stopped = tx.ask(endless, {}, 100ms);
    EXPECT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, Code::deadline_exceeded);
    EXPECT_EQ(stopped.error().message, "it was stopped after 100ms");
    // The limit was that statement's alone.
    TRY(tx.run("INSERT INTO notes (id) VALUES (2)", {}));
    EXPECT_TRUE(tx.ask("SELECT count(*) FROM notes", {}, 5s));
    return {};
  }));
  EXPECT_EQ(count(), 2);
}

TEST_P(AskTest, TheCallsDeadlineStillHolds) {
  Call hurried = call_;
  hurried.deadline = SystemClock().now() + 100ms;
  const auto done = db_->write(hurried, [&](Tx& tx) -> Result<void> {
    TRY(tx.run("INSERT INTO notes (id) VALUES (1)", {}));
    TRY(tx.ask(endless, {}, 60s));
    return {};
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::deadline_exceeded);
  EXPECT_EQ(count(), 0);
}

}  // namespace
}  // namespace penstock
