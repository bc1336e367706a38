// What every database behind ports/sql.h does, on each of them.
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <random>
#include <thread>

#include "adapters/sqlite/sqlite.h"
#include "tests/support/fixture.h"
#include "tests/support/postgres.h"

namespace penstock {
namespace {

using sql::Row;
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

class SqlTest : public testing::TestWithParam<Engine> {
 protected:
  Result<std::vector<Row>> write(const std::string& statement, const Row& parameters = {}) {
    return db_->write(call_, [&](Tx& tx) { return tx.run(statement, parameters); });
  }
  Result<std::vector<Row>> read(const std::string& statement, const Row& parameters = {}) {
    return db_->read(call_, [&](Tx& tx) { return tx.run(statement, parameters); });
  }
  std::optional<Code> refused(const std::string& statement, const Row& parameters = {}) {
    const auto done = write(statement, parameters);
    return done ? std::nullopt : std::optional(done.error().code);
  }
  std::int64_t number(const std::string& statement) {
    return std::get<std::int64_t>(must(read(statement)).at(0).at(0));
  }

  test::TempDir dir_;
  std::unique_ptr<sql::Database> db_ = GetParam().open(dir_);
  Call call_ = test::call();
};

INSTANTIATE_TEST_SUITE_P(On, SqlTest, testing::ValuesIn(engines),
                         [](const auto& engine) { return engine.param.name; });

TEST_P(SqlTest, KeepsEveryTypeOfValue) {
  must(
      write("CREATE TABLE kinds (id BIGINT PRIMARY KEY, whole BIGINT, yes BOOLEAN, "
            "real DOUBLE PRECISION, words TEXT)"));
  const double tiny = std::numeric_limits<double>::denorm_min();
  const double infinite = std::numeric_limits<double>::infinity();
  const Row rows[] = {
      {std::int64_t{1}, std::numeric_limits<std::int64_t>::max(), true, 0.1,
       std::string("a'b\"c\\")},
      {std::int64_t{2}, std::numeric_limits<std::int64_t>::min(), false, tiny, std::string()},
      {std::int64_t{3}, std::int64_t{0}, true, -1e308, std::string("Zürich \xF0\x9F\x8C\x8A\n$1")},
      {std::int64_t{4}, Scalar{}, Scalar{}, infinite, Scalar{}},
      {std::int64_t{5}, std::int64_t{-1}, false, Scalar{}, std::string(100'000, 'x')},
  };
  for (const Row& row : rows) {
    const auto made =
        must(write("INSERT INTO kinds (id, whole, yes, real, words) VALUES ($1, $2, $3, $4, $5) "
                   "RETURNING id, whole, yes, real, words",
                   row));
    ASSERT_EQ(made.size(), 1u);
    EXPECT_EQ(made[0], row);
    EXPECT_EQ(must(read("SELECT id, whole, yes, real, words FROM kinds WHERE id = $1", {row[0]})),
              std::vector<Row>{row});
  }
}

TEST_P(SqlTest, GivesADoubleForAWholeNumberInADoubleColumn) {
  must(write("CREATE TABLE kinds (real DOUBLE PRECISION)"));
  must(write("INSERT INTO kinds (real) VALUES ($1)", {std::int64_t{3}}));
  EXPECT_EQ(must(read("SELECT real FROM kinds")).at(0).at(0), Scalar(3.0));
}

TEST_P(SqlTest, GivesSumsOfWholeNumbersAsWholeNumbers) {
  must(write("CREATE TABLE counts (count BIGINT)"));
  must(write("INSERT INTO counts (count) VALUES (5000000000), (2), (3)"));
  const Row expected = {std::int64_t{5'000'000'005}, std::int64_t{3}, std::int64_t{5'000'000'000}};
  EXPECT_EQ(must(read("SELECT sum(count), count(*), max(count) FROM counts")).at(0), expected);
}

TEST_P(SqlTest, ComparesATimeWithASmallLiteral) {
  must(write("CREATE TABLE times (at BIGINT NOT NULL)"));
  const std::int64_t now = 1'700'000'000'000'000;
  must(write("INSERT INTO times (at) VALUES ($1)", {now}));
  const std::string text = "SELECT at FROM times WHERE ($1 = 0 OR at >= $1) AND at < $2 + 1";
  EXPECT_EQ(must(read(text, {now, now})).size(), 1u);
  EXPECT_EQ(must(read(text, {std::int64_t{0}, now})).size(), 1u);
  EXPECT_EQ(must(read(text, {now + 1, now})).size(), 0u);
}

TEST_P(SqlTest, TakesTheSameParameterTwiceAndInAnyOrder) {
  must(write("CREATE TABLE pairs (first TEXT, second TEXT, third TEXT)"));
  must(write("INSERT INTO pairs (first, second, third) VALUES ($2, $1, $2)",
             {std::string("one"), std::string("two")}));
  const Row expected = {std::string("two"), std::string("one"), std::string("two")};
  EXPECT_EQ(must(read("SELECT first, second, third FROM pairs")).at(0), expected);
}

TEST_P(SqlTest, LeavesOutParametersThatItDoesNotName) {
  const Row given = {std::string("one"), std::string("two"), Scalar{}, std::int64_t{4}};
  struct Case {
    std::string statement;
    Row expected;
  };
  const Case cases[] = {
      {"SELECT 1 + 1", {std::int64_t{2}}},
      {"SELECT $1 || '!'", {std::string("one!")}},
      {"SELECT $2 || '!'", {std::string("two!")}},
      {"SELECT $4 + 1, $1 || ''", {std::int64_t{5}, std::string("one")}},
      {"SELECT '$3 it''s', $2 || '-- $3' -- it's $3\n",
       {std::string("$3 it's"), std::string("two-- $3")}},
      {"SELECT /* isn't $3 */ $1 || '/*', $2 || '*/'",
       {std::string("one/*"), std::string("two*/")}},
      {"SELECT $1 || '' AS \"it's $3\"", {std::string("one")}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.statement);
    EXPECT_EQ(must(read(c.statement, given)).at(0), c.expected);
  }
}

TEST_P(SqlTest, FiltersByAParameterThatMayBeLeftOpen) {
  must(write("CREATE TABLE versions (name TEXT, version BIGINT)"));
  must(write("INSERT INTO versions (name, version) VALUES ('a', 1), ('a', 2), ('b', 1)"));
  const std::string text =
      "SELECT name FROM versions WHERE ($1 = '' OR name = $1) AND ($2 = 0 OR version = $2)";
  EXPECT_EQ(must(read(text, {std::string(), std::int64_t{0}})).size(), 3u);
  EXPECT_EQ(must(read(text, {std::string("a"), std::int64_t{0}})).size(), 2u);
  EXPECT_EQ(must(read(text, {std::string(), std::int64_t{1}})).size(), 2u);
  EXPECT_EQ(must(read(text, {std::string("a"), std::int64_t{2}})).size(), 1u);
}

TEST_P(SqlTest, ReadsDoubleQuotesAsNamesAndLikeByCase) {
  must(write("CREATE TABLE words (word TEXT NOT NULL)"));
  must(write("INSERT INTO words (word) VALUES ('Abc')"));
  EXPECT_FALSE(read("SELECT word FROM words WHERE word = \"Abc\""));
  EXPECT_EQ(must(read("SELECT word FROM words WHERE word LIKE 'a%'")).size(), 0u);
  EXPECT_EQ(must(read("SELECT word FROM words WHERE word LIKE 'A%'")).size(), 1u);
}

TEST_P(SqlTest, FindsRegularExpressionsAnywhereInAText) {
  const auto found = [&](const Scalar& text, const std::string& regex) {
    const auto rows =
        must(read("SELECT CASE WHEN regexp_like($1, $2) THEN 1 ELSE 0 END", {text, regex}));
    return std::get<std::int64_t>(rows.at(0).at(0)) == 1;
  };
  EXPECT_TRUE(found(std::string("arrivals"), "riv"));
  EXPECT_TRUE(found(std::string("arrivals"), "^a(r+|x)[a-z]*s$"));
  EXPECT_TRUE(found(std::string("gr\u00fcn"), "^gr.n$"));
  EXPECT_FALSE(found(std::string("arrivals"), "^r"));
  EXPECT_FALSE(found(std::string("arrivals"), "RIV"));
  EXPECT_FALSE(found(std::string(), "a"));
  EXPECT_FALSE(read("SELECT regexp_like('a', $1)", {std::string("(a")}));
}

TEST_P(SqlTest, SaysWhyItRefuses) {
  must(write("CREATE TABLE owners (id BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE)"));
  must(
      write("CREATE TABLE things (id BIGINT PRIMARY KEY, owner BIGINT REFERENCES owners (id), "
            "late BIGINT REFERENCES owners (id) DEFERRABLE INITIALLY DEFERRED, "
            "weight BIGINT CHECK (weight > 0))"));
  must(write("INSERT INTO owners (id, name) VALUES (1, 'ana')"));
  struct Case {
    std::string statement;
    Row parameters;
    Code code;
  };
  const std::string zero_byte("a\0b", 3);
  const Case cases[] = {
      {"INSERT INTO owners (id, name) VALUES (1, 'bo')", {}, Code::already_exists},
      {"INSERT INTO owners (id, name) VALUES (2, 'ana')", {}, Code::already_exists},
      {"INSERT INTO owners (id, name) VALUES (2, NULL)", {}, Code::failed_precondition},
      {"INSERT INTO things (id, owner) VALUES (1, 7)", {}, Code::failed_precondition},
      {"INSERT INTO things (id, late) VALUES (1, 7)", {}, Code::failed_precondition},
      {"INSERT INTO things (id, weight) VALUES (1, 0)", {}, Code::failed_precondition},
      {"DELETE FROM missing", {}, Code::internal},
      {"DELET FROM owners", {}, Code::internal},
      {"DELETE FROM owners; DELETE FROM things", {}, Code::internal},
      {"INSERT INTO owners (id, name) VALUES ($1, $2)", {std::int64_t{2}}, Code::internal},
      {"UPDATE owners SET name = $1", {zero_byte}, Code::invalid_argument},
      {"UPDATE things SET weight = $1", {std::nan("")}, Code::invalid_argument},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.statement);
    EXPECT_EQ(refused(c.statement, c.parameters), c.code);
  }
  EXPECT_EQ(number("SELECT count(*) FROM owners"), 1);
  EXPECT_EQ(number("SELECT count(*) FROM things"), 0);
}

TEST_P(SqlTest, UndoesEverythingOfABodyThatFails) {
  must(write("CREATE TABLE notes (id BIGINT PRIMARY KEY)"));
  const auto failed = db_->write(call_, [](Tx& tx) -> Result<void> {
    TRY(tx.run("INSERT INTO notes (id) VALUES (1)", {}));
    return Error{Code::failed_precondition, "no"};
  });
  EXPECT_EQ(failed.error().message, "no");
  EXPECT_EQ(number("SELECT count(*) FROM notes"), 0);
  const auto throws = [](Tx& tx) -> Result<void> {
    TRY(tx.run("INSERT INTO notes (id) VALUES (1)", {}));
    throw std::runtime_error("broken");
  };
  EXPECT_THROW((void)db_->write(call_, throws), std::runtime_error);
  EXPECT_EQ(number("SELECT count(*) FROM notes"), 0);
  must(write("INSERT INTO notes (id) VALUES (1)"));
}

TEST_P(SqlTest, CommitsNothingAfterAFailureThatTheBodySwallowed) {
  must(write("CREATE TABLE notes (id BIGINT PRIMARY KEY)"));
  const auto done = db_->write(call_, [](Tx& tx) -> Result<void> {
    TRY(tx.run("INSERT INTO notes (id) VALUES (1)", {}));
    EXPECT_FALSE(tx.run("INSERT INTO notes (id) VALUES (1)", {}));
    EXPECT_FALSE(tx.run("INSERT INTO notes (id) VALUES (2)", {}));
    return {};
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::already_exists);
  EXPECT_EQ(number("SELECT count(*) FROM notes"), 0);
}

TEST_P(SqlTest, RefusesToWriteInARead) {
  must(write("CREATE TABLE notes (id BIGINT PRIMARY KEY)"));
  EXPECT_FALSE(read("INSERT INTO notes (id) VALUES (1)"));
  must(write("INSERT INTO notes (id) VALUES (1)"));
  EXPECT_EQ(number("SELECT count(*) FROM notes"), 1);
}

TEST_P(SqlTest, CountsExactlyFromManyThreadsOfWhichSomeFail) {
  constexpr int threads = 32, turns = 40;
  must(write("CREATE TABLE counters (id BIGINT PRIMARY KEY, count BIGINT NOT NULL)"));
  must(write("INSERT INTO counters (id, count) VALUES (0, 0)"));
  std::vector<std::jthread> running;
  std::atomic<int> succeeded = 0;
  for (int thread = 0; thread < threads; ++thread)
    running.emplace_back([&, thread] {
      for (int turn = 0; turn < turns; ++turn) {
        const std::int64_t id = 1 + thread * turns + turn;
        const auto done = db_->write(call_, [&](Tx& tx) -> Result<std::int64_t> {
          const auto rows = TRY(tx.run("SELECT count FROM counters WHERE id = 0", {}));
          const std::int64_t next = std::get<std::int64_t>(rows.at(0).at(0)) + 1;
          TRY(tx.run("UPDATE counters SET count = $1 WHERE id = 0", {next}));
          TRY(tx.run("INSERT INTO counters (id, count) VALUES ($1, $2)", {id, next}));
          if (turn % 4 == 1) TRY(tx.run("INSERT INTO counters (id, count) VALUES (0, 0)", {}));
          if (turn % 4 == 3) return Error{Code::not_found, "changed its mind"};
          return next;
        });
        if (done) ++succeeded;
      }
    });
  running.clear();
  EXPECT_EQ(succeeded, threads * turns / 2);
  EXPECT_EQ(number("SELECT count FROM counters WHERE id = 0"), threads * turns / 2);
  // Each saw the one before: their numbers have no gap and no double.
  EXPECT_EQ(number("SELECT count(DISTINCT count) FROM counters WHERE id > 0"), threads * turns / 2);
  EXPECT_EQ(number("SELECT max(count) FROM counters WHERE id > 0"), threads * turns / 2);
}

TEST_P(SqlTest, ReadsWholeTransactionsWhileOthersWrite) {
  must(write("CREATE TABLE pairs (id BIGINT PRIMARY KEY, count BIGINT NOT NULL)"));
  must(write("INSERT INTO pairs (id, count) VALUES (1, 0), (2, 0)"));
  std::atomic<bool> over = false;
  std::jthread writer([&] {
    for (int turn = 0; turn < 200; ++turn)
      must(db_->write(call_, [](Tx& tx) -> Result<void> {
        TRY(tx.run("UPDATE pairs SET count = count + 1 WHERE id = 1", {}));
        TRY(tx.run("UPDATE pairs SET count = count + 1 WHERE id = 2", {}));
        return {};
      }));
    over = true;
  });
  std::vector<std::jthread> readers;
  for (int reader = 0; reader < 4; ++reader)
    readers.emplace_back([&] {
      std::int64_t last = 0;
      while (!over) {
        const auto seen = must(db_->read(call_, [](Tx& tx) -> Result<Row> {
          const auto one = TRY(tx.run("SELECT count FROM pairs WHERE id = 1", {}));
          const auto two = TRY(tx.run("SELECT count FROM pairs WHERE id = 2", {}));
          return Row{one.at(0).at(0), two.at(0).at(0)};
        }));
        EXPECT_EQ(seen[0], seen[1]);
        EXPECT_GE(std::get<std::int64_t>(seen[0]), last);
        last = std::get<std::int64_t>(seen[0]);
      }
    });
  readers.clear();
  writer.join();
  EXPECT_EQ(number("SELECT count FROM pairs WHERE id = 1"), 200);
}

// Counts further than any machine gets before the deadline.
constexpr const char* endless =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) ";

TEST_P(SqlTest, StopsAtTheDeadlineAndGoesOnAfterwards) {
  must(write("CREATE TABLE notes (id BIGINT PRIMARY KEY)"));
  const auto soon = [] { return SystemClock().now() + std::chrono::milliseconds(100); };
  call_.deadline = soon();
  EXPECT_EQ(read(endless + std::string("SELECT max(i) FROM n")).error().code,
            Code::deadline_exceeded);
  call_.deadline = soon();
  EXPECT_EQ(refused(endless + std::string("INSERT INTO notes (id) SELECT i FROM n")),
            Code::deadline_exceeded);
  // It has passed.
  EXPECT_EQ(refused("INSERT INTO notes (id) VALUES (1)"), Code::deadline_exceeded);
  EXPECT_EQ(read("SELECT id FROM notes").error().code, Code::deadline_exceeded);
  call_.deadline = Timestamp::max();
  EXPECT_EQ(number("SELECT count(*) FROM notes"), 0);
  must(write("INSERT INTO notes (id) VALUES (1)"));
}

TEST_P(SqlTest, WaitsForOtherWritersOnlyUntilTheDeadline) {
  must(write("CREATE TABLE notes (id BIGINT PRIMARY KEY)"));
  must(db_->write(call_, [&](Tx& tx) -> Result<void> {
    TRY(tx.run("INSERT INTO notes (id) VALUES (1)", {}));
    std::jthread([&] {
      Call hurried = call_;
      hurried.deadline = SystemClock().now() + std::chrono::milliseconds(50);
      const auto done = db_->write(
          hurried, [](Tx& other) { return other.run("INSERT INTO notes (id) VALUES (2)", {}); });
      EXPECT_EQ(done.error().code, Code::deadline_exceeded);
    }).join();
    return {};
  }));
  EXPECT_EQ(number("SELECT sum(id) FROM notes"), 1);
}

TEST_P(SqlTest, ADeadlineInAGroupFailsOnlyItsOwnBody) {
  must(write("CREATE TABLE notes (id BIGINT PRIMARY KEY)"));
  constexpr int threads = 8;
  std::vector<std::jthread> running;
  for (std::int64_t thread = 0; thread < threads; ++thread)
    running.emplace_back([&, thread] {
      Call mine = call_;
      const bool hurried = thread % 4 == 0;
      if (hurried) mine.deadline = SystemClock().now() + std::chrono::milliseconds(200);
      const auto done = db_->write(mine, [&](Tx& tx) -> Result<void> {
        TRY(tx.run("INSERT INTO notes (id) VALUES ($1)", {thread}));
        if (hurried) TRY(tx.run(endless + std::string("SELECT max(i) FROM n"), {}));
        return {};
      });
      const auto refused = done ? std::nullopt : std::optional(done.error().code);
      EXPECT_EQ(refused, hurried ? std::optional(Code::deadline_exceeded) : std::nullopt);
    });
  running.clear();
  EXPECT_EQ(number("SELECT count(*) FROM notes"), threads - threads / 4);
}

TEST_P(SqlTest, KeepsMoreStatementsThanItRemembers) {
  must(write("CREATE TABLE notes (id BIGINT PRIMARY KEY)"));
  for (int round = 0; round < 2; ++round)
    for (int number = 0; number < 600; ++number) {
      const std::string text = std::to_string(number);
      ASSERT_EQ(must(read("SELECT count(*) + " + text + " FROM notes")).at(0).at(0),
                Scalar(std::int64_t{number}));
    }
}

TEST_P(SqlTest, SeesAChangedTableInAStatementThatItKnows) {
  must(write("CREATE TABLE notes (id BIGINT PRIMARY KEY)"));
  const std::string text = "SELECT count(*) FROM notes WHERE id > $1";
  must(read(text, {std::int64_t{0}}));
  must(write("ALTER TABLE notes ADD COLUMN done BOOLEAN"));
  must(write("INSERT INTO notes (id, done) VALUES (1, TRUE)"));
  EXPECT_EQ(must(read(text, {std::int64_t{0}})).at(0).at(0), Scalar(std::int64_t{1}));
}

TEST_P(SqlTest, MigratesOnceAndRefusesAChangedMigration) {
  const Timestamp now{Micros(5)};
  const sql::Migration first{"0001_first",
                             "-- One; two\nCREATE TABLE firsts (\n  id BIGINT PRIMARY KEY\n);\n"
                             "INSERT INTO firsts (id)\nVALUES (7);\n"};
  const sql::Migration second{"0002_second", "CREATE TABLE seconds (id BIGINT PRIMARY KEY);"};
  must(sql::migrate(*db_, {first}, now));
  must(sql::migrate(*db_, {first, second}, now));
  must(sql::migrate(*db_, {first, second}, now));
  EXPECT_EQ(number("SELECT sum(id) FROM firsts"), 7);
  EXPECT_EQ(number("SELECT count(*) FROM migrations WHERE applied_at = 5"), 2);

  const auto changed = sql::migrate(*db_, {first, {"0002_second", "DROP TABLE firsts;"}}, now);
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code, Code::failed_precondition);
  EXPECT_EQ(number("SELECT sum(id) FROM firsts"), 7);

  const sql::Migration broken{
      "0003_third", "CREATE TABLE thirds (id BIGINT PRIMARY KEY);\nDROP TABLE missing;\n"};
  const auto failed = sql::migrate(*db_, {first, second, broken}, now);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("0003_third"), std::string::npos) << failed.error().message;
  EXPECT_FALSE(read("SELECT id FROM thirds"));
  EXPECT_EQ(number("SELECT count(*) FROM migrations"), 2);
}

TEST_P(SqlTest, RunsTheRealMigrations) {
  const auto db = test::database();
  EXPECT_EQ(test::count(*db, "audit_head"), 1);
}

TEST(SqlColumnsTest, KeepEveryBitOfTheDoublesInAList) {
  std::mt19937_64 random(7);
  for (int turn = 0; turn < 1'000; ++turn) {
    std::vector<double> values, back;
    for (int at = 0; at < 20; ++at)
      values.push_back(std::uniform_real_distribution<>(-1e6, 1e6)(random));
    const auto column = sql::to_sql(values);
    sql::from_sql(column, back);
    ASSERT_EQ(back, values);
  }
}

}  // namespace
}  // namespace penstock
