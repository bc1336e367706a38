#include "adapters/duckdb/duckdb.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace penstock {
namespace {

using test::must;

std::string text_of(const Scalar& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return std::to_string(*whole);
  if (const auto* text = std::get_if<std::string>(&value)) return "'" + *text + "'";
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? "true" : "false";
  if (const auto* real = std::get_if<double>(&value)) {
    std::ostringstream out;
    out << "r" << *real;
    return out.str();
  }
  return "null";
}

std::string text_of(const olap::Table& table) {
  std::string out;
  for (const auto& row : table.rows) {
    if (!out.empty()) out += " | ";
    for (std::size_t at = 0; at < row.size(); ++at) out += (at ? " " : "") + text_of(row[at]);
  }
  return out;
}

class DuckDbTest : public testing::Test {
 protected:
  std::string query(std::string_view statement, const std::vector<Scalar>& parameters = {}) {
    return text_of(must(session_->query(statement, parameters)));
  }

  std::unique_ptr<olap::Engine> engine_ = duckdb::open({});
  std::unique_ptr<olap::Session> session_ = must(engine_->session());
};

TEST_F(DuckDbTest, ReadsEveryTypeAsThePortSaysIt) {
  struct Case {
    std::string sql, value, declared;
    olap::Type type;
  };
  using enum olap::Type;
  const Case cases[] = {
      {"true", "true", "BOOLEAN", boolean},
      {"-3::TINYINT", "-3", "TINYINT", bigint},
      {"-300::SMALLINT", "-300", "SMALLINT", bigint},
      {"7", "7", "INTEGER", bigint},
      {"(-9223372036854775808)::BIGINT", "-9223372036854775808", "BIGINT", bigint},
      {"255::UTINYINT", "255", "UTINYINT", bigint},
      {"65535::USMALLINT", "65535", "USMALLINT", bigint},
      {"4294967295::UINTEGER", "4294967295", "UINTEGER", bigint},
      {"9223372036854775807::UBIGINT", "9223372036854775807", "UBIGINT", bigint},
      {"0.5::FLOAT", "r0.5", "FLOAT", real},
      {"-0.25::DOUBLE", "r-0.25", "DOUBLE", real},
      {"'a''b'", "'a'b'", "VARCHAR", text},
      {"'a text that is longer than twelve bytes'", "'a text that is longer than twelve bytes'",
       "VARCHAR", text},
      {"'two'::ENUM('one','two')", "'two'", "ENUM('one', 'two')", text},
      {"DATE '1969-12-31'", "-86400000000", "DATE", timestamp},
      {"TIMESTAMP '1970-01-01 00:00:01.5'", "1500000", "TIMESTAMP", timestamp},
      {"TIMESTAMPTZ '1970-01-01 02:00:00+02'", "0", "TIMESTAMP WITH TIME ZONE", timestamp},
      {"TIMESTAMPTZ '1970-01-01 00:00:00'", "0", "TIMESTAMP WITH TIME ZONE", timestamp},
      {"'1970-01-01 00:00:02'::TIMESTAMP_S", "2000000", "TIMESTAMP_S", timestamp},
      {"'1969-12-31 23:59:59.999'::TIMESTAMP_MS", "-1000", "TIMESTAMP_MS", timestamp},
      {"'1969-12-31 23:59:59.999999999'::TIMESTAMP_NS", "-1", "TIMESTAMP_NS", timestamp},
      {"'infinity'::DATE", "9223372036854775807", "DATE", timestamp},
      {"'-infinity'::TIMESTAMP", "-9223372036854775807", "TIMESTAMP", timestamp},
      {"1.50::DECIMAL(4,2)", "'1.50'", "DECIMAL(4,2)", decimal},
      {"-0.007::DECIMAL(9,3)", "'-0.007'", "DECIMAL(9,3)", decimal},
      {"0.0::DECIMAL(18,1)", "'0.0'", "DECIMAL(18,1)", decimal},
      {"0.000000000001::DECIMAL(38,12)", "'0.000000000001'", "DECIMAL(38,12)", decimal},
      {"-99999999999999999999999999.999999999999::DECIMAL(38,12)",
       "'-99999999999999999999999999.999999999999'", "DECIMAL(38,12)", decimal},
      {"12::DECIMAL(5,0)", "'12'", "DECIMAL(5,0)", decimal},
      {"(-170141183460469231731687303715884105728)::HUGEINT",
       "'-170141183460469231731687303715884105728'", "HUGEINT", decimal},
      {"340282366920938463463374607431768211455::UHUGEINT",
       "'340282366920938463463374607431768211455'", "UHUGEINT", decimal},
      {"sum(5)", "'5'", "HUGEINT", decimal},
      {"NULL", "null", "INTEGER", bigint},
      {"[1, NULL, 3]", "'[1, NULL, 3]'", "INTEGER[]", other},
      {"[0.5, 1]::FLOAT[2]", "'[0.5, 1.0]'", "FLOAT[2]", other},
      {"{'a': 1, 'b': 'x'}", "'{'a': 1, 'b': x}'", "STRUCT(\"a\" INTEGER, \"b\" VARCHAR)", other},
      {"MAP {'k': 2}", "'{k=2}'", "MAP(VARCHAR, INTEGER)", other},
      {"INTERVAL 90 MINUTE", "'01:30:00'", "INTERVAL", other},
      {"TIME '12:30:00'", "'12:30:00'", "TIME", other},
      {"'\\x00\\xFF'::BLOB", "'\\x00\\xFF'", "BLOB", other},
      {"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
       "UUID", other},
      {"'{\"a\": [1]}'::JSON", "'{\"a\": [1]}'", "VARCHAR", text},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.sql);
    const std::string statement = "SELECT " + c.sql + " AS \"a name\" -- note";
    const auto got = session_->query(statement, {});
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(text_of(*got), c.value);
    const auto columns = must(session_->describe(statement));
    ASSERT_EQ(columns.size(), 1U);
    for (const olap::Column& column : {columns[0], got->columns.at(0)}) {
      EXPECT_EQ(column.name, "a name");
      EXPECT_EQ(column.declared, c.declared);
      EXPECT_EQ(name_of(column.type), name_of(c.type));
    }
  }
}

TEST_F(DuckDbTest, ReadsNullsOfEveryType) {
  for (const std::string type : {"BOOLEAN", "INTEGER", "DOUBLE", "VARCHAR", "TIMESTAMPTZ", "DATE",
                                 "DECIMAL(38,12)", "DECIMAL(4,2)", "HUGEINT", "INTEGER[]"})
    EXPECT_EQ(query("SELECT CAST(NULL AS " + type + ") UNION ALL SELECT NULL"), "null | null")
        << type;
}

// One column's rows: "[a b] [] null".
std::string items_of(const olap::Chunk& chunk, std::size_t column) {
  const olap::Chunk::Values& values = chunk.columns[column];
  std::string out;
  for (std::size_t row = 0; row < chunk.rows; ++row) {
    out += row ? " " : "";
    if (!values.valid[row]) {
      out += "null";
      continue;
    }
    std::string items;
    const olap::Chunk::Values& inner = values.items.at(0);
    for (std::size_t i = 0; i < values.spans[row].count; ++i) {
      const std::size_t at = values.spans[row].begin + i;
      items += i ? " " : "";
      if (!inner.valid.at(at))
        items += "null";
      else if (!inner.real.empty())
        items += std::to_string(inner.real.at(at)).substr(0, 4);
      else
        items += inner.text.empty() ? std::to_string(inner.whole.at(at)) : inner.text.at(at);
    }
    out += "[" + items + "]";
  }
  return out;
}

TEST_F(DuckDbTest, StreamsListsAsItems) {
  std::vector<std::string> found;
  const auto columns = must(session_->stream_lists(
      "SELECT * FROM (VALUES ([1, NULL, 3], ['a', NULL], [0.5, 1.5]::FLOAT[2], [true], [[1]], 1), "
      "([], NULL, NULL, [NULL, false], NULL, 2), (NULL, [''], [2.5, NULL]::FLOAT[2], [], [[]], "
      "NULL)) AS t(a, b, c, d, e, f)",
      {}, [&](const olap::Chunk& chunk) -> Result<void> {
        for (std::size_t at = 0; at < 4; ++at) found.push_back(items_of(chunk, at));
        EXPECT_EQ(chunk.columns[4].text.at(0), "[[1]]");  // a list of lists is text as ever
        EXPECT_EQ(chunk.columns[5].whole.at(1), 2);
        return {};
      }));
  const std::vector<std::string> expected = {"[1 null 3] [] null", "[a null] null []",
                                             "[0.50 1.50] null [2.50 null]", "[1] [null 0] []"};
  EXPECT_EQ(found, expected);
  ASSERT_EQ(columns.size(), 6U);
  EXPECT_EQ(columns[0].declared, "INTEGER[]");
  EXPECT_EQ(name_of(columns[0].type), "other");
}

TEST_F(DuckDbTest, StreamsListsOfManyRowsOutOfAFilter) {
  std::int64_t rows = 0;
  must(session_->stream_lists(
      "SELECT i, [i, i + 1]::DOUBLE[] AS pair FROM range(50000) t(i) WHERE i % 3 = 0 ORDER BY i "
      "DESC",
      {}, [&](const olap::Chunk& chunk) -> Result<void> {
        for (std::size_t row = 0; row < chunk.rows; ++row, ++rows) {
          const auto& pair = chunk.columns[1];
          const double first = pair.items.at(0).real.at(pair.spans[row].begin);
          EXPECT_EQ(first, static_cast<double>(chunk.columns[0].whole[row]));
          EXPECT_EQ(pair.items[0].real.at(pair.spans[row].begin + 1), first + 1);
        }
        return {};
      }));
  EXPECT_EQ(rows, 16'667);
}

TEST_F(DuckDbTest, KeepsTheOrderOfAQueryThatItHasToCast) {
  const auto got = must(session_->query(
      "SELECT [i], i FROM range(5000) t(i) ORDER BY (i * 7919) % 5000 DESC LIMIT 3000; ", {}));
  ASSERT_EQ(got.rows.size(), 3000U);
  std::int64_t last = 5000;
  for (const auto& row : got.rows) {
    const std::int64_t rank = std::get<std::int64_t>(row[1]) * 7919 % 5000;
    ASSERT_LT(rank, last);
    last = rank;
    ASSERT_EQ(std::get<std::string>(row[0]), "[" + text_of(row[1]) + "]");
  }
}

TEST_F(DuckDbTest, BindsParametersByTheirPlace) {
  must(
      session_->run("CREATE TABLE t (time TIMESTAMPTZ, day DATE, plain TIMESTAMP);"
                    "INSERT INTO t VALUES ('2026-05-01T00:00:00Z', '2026-05-01', '2026-05-01')"));
  const std::int64_t at = 1'777'593'600'000'000;
  EXPECT_EQ(query("SELECT $2 || '!', $1 + 1, $3, $4, $5",
                  {std::int64_t{1}, "a", 0.5, true, std::monostate{}}),
            "'a!' 2 r0.5 true null");
  for (const std::string column : {"time", "day", "plain"}) {
    EXPECT_EQ(query("SELECT count(*) FROM t WHERE " + column + " = $1", {at}), "1") << column;
    EXPECT_EQ(query("SELECT count(*) FROM t WHERE " + column + " > $1", {at}), "0") << column;
    EXPECT_EQ(query("SELECT " + column + " FROM t"), std::to_string(at)) << column;
  }
  must(session_->query("INSERT INTO t (time) VALUES ($1)", {at + 1}));
  EXPECT_EQ(query("SELECT max(time) FROM t"), std::to_string(at + 1));
  EXPECT_EQ(query("SELECT $1::TIMESTAMPTZ", {at}), std::to_string(at));
  EXPECT_EQ(query("SELECT [$1, 2], $2", {std::int64_t{1}, "a"}), "'[1, 2]' 'a'");
  EXPECT_EQ(query("SELECT length($1)", {std::string("a\0b", 3)}), "3");
}

TEST_F(DuckDbTest, StreamsInChunksAndStopsWhereTheVisitorFails) {
  std::size_t rows = 0, biggest = 0;
  std::int64_t sum = 0;
  const auto columns = must(session_->stream(
      "SELECT i, CASE WHEN i % 2 = 0 THEN i END AS half FROM range(100000) t(i)", {},
      [&](const olap::Chunk& chunk) -> Result<void> {
        rows += chunk.rows;
        biggest = std::max(biggest, chunk.rows);
        for (std::size_t row = 0; row < chunk.rows; ++row) {
          sum += chunk.columns[0].whole[row];
          EXPECT_EQ(chunk.columns[1].valid[row], chunk.columns[0].whole[row] % 2 == 0);
        }
        return {};
      }));
  EXPECT_EQ(rows, 100000U);
  EXPECT_LE(biggest, 2048U);
  EXPECT_EQ(sum, 4999950000);
  EXPECT_EQ(columns.at(1).name, "half");

  // Endless but for the visitor: it can only end early if nothing gathers the result first.
  std::size_t chunks = 0;
  const auto stopped = session_->stream("SELECT i FROM range(100000000000) t(i)", {},
                                        [&](const olap::Chunk&) -> Result<void> {
                                          if (++chunks == 3)
                                            return Error{Code::resource_exhausted, "enough"};
                                          return {};
                                        });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().message, "enough");
  EXPECT_EQ(chunks, 3U);
  EXPECT_EQ(query("SELECT 1"), "1");
}

TEST_F(DuckDbTest, RefusesWithTheEnginesReason) {
  struct Case {
    std::string sql;
    Code code;
    std::string says;
  };
  const Case cases[] = {
      {"SELEKT 1", Code::invalid_argument, "syntax error"},
      {"", Code::invalid_argument, ""},
      {"SELECT no_such_column FROM range(3)", Code::invalid_argument, "no_such_column"},
      {"SELECT * FROM no_such_table", Code::invalid_argument, "no_such_table"},
      {"SELECT no_such_function(1)", Code::invalid_argument, "no_such_function"},
      {"SELECT 'a'::INTEGER", Code::invalid_argument, "Could not convert"},
      {"SELECT 1; SELECT 2", Code::invalid_argument, "multiple"},
      {"SELECT $1", Code::invalid_argument, "takes 1 parameters, not 0"},
      {"SELECT 9223372036854775808::UBIGINT", Code::invalid_argument, "64 bits"},
      {"SELECT DATE '300000-01-01'", Code::invalid_argument, "64 bits"},
      {std::string("SELECT 1\0, 2", 12), Code::invalid_argument, "NUL"},
      {"SELECT * FROM read_parquet('/no/such/file.parquet')", Code::not_found, "No files found"},
      {"SELECT * FROM read_csv('/no/such/file.csv')", Code::not_found, "No files found"},
      {"COPY (SELECT 1) TO '/no/such/directory/file.parquet'", Code::not_found, "No such file"},
      {"INSTALL spatial", Code::unavailable, "no access"},
      {"LOAD spatial", Code::unavailable, "not found"},
      {"SELECT error('on purpose')", Code::invalid_argument, "on purpose"},
      {"ATTACH '/no/such/directory/x.db'", Code::not_found, ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.sql);
    const auto got = session_->query(c.sql, {});
    if (got) {
      ADD_FAILURE() << "not refused";
      continue;
    }
    EXPECT_EQ(name_of(got.error().code), name_of(c.code)) << got.error().message;
    EXPECT_NE(got.error().message.find(c.says), std::string::npos) << got.error().message;
  }
  EXPECT_EQ(query("SELECT 1"), "1");
}

TEST_F(DuckDbTest, ReportsAFaultInTheMiddleOfAStream) {
  std::size_t rows = 0;
  const auto got = session_->stream(
      "SELECT CASE WHEN i = 900000 THEN error('late') ELSE i END FROM range(1000000) t(i)", {},
      [&](const olap::Chunk& chunk) -> Result<void> {
        rows += chunk.rows;
        return {};
      });
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message.find("late"), std::string::npos) << got.error().message;
  EXPECT_LE(rows, 900000U);
}

TEST_F(DuckDbTest, RunsSeveralStatementsAndStopsAtTheFirstFault) {
  must(session_->run("CREATE TABLE a (i INTEGER); INSERT INTO a VALUES (1), (2);"));
  EXPECT_EQ(query("SELECT sum(i) FROM a"), "'3'");
  EXPECT_FALSE(
      session_->run("INSERT INTO a VALUES (3); INSERT INTO nowhere VALUES (1);"
                    "INSERT INTO a VALUES (4)"));
  EXPECT_EQ(query("SELECT max(i) FROM a"), "3");
  EXPECT_FALSE(session_->run(std::string_view("DROP TABLE a\0;", 14)));
  EXPECT_EQ(query("SELECT count(*) FROM a"), "3");
}

TEST_F(DuckDbTest, DescribesWithoutRunning) {
  const auto columns = must(session_->describe(
      "SELECT i AS id, sum(i) OVER () AS total, i::DECIMAL(10,2) AS price FROM range(3) t(i)"));
  std::string said;
  for (const olap::Column& column : columns) said += column.name + " " + column.declared + "; ";
  EXPECT_EQ(said, "id BIGINT; total HUGEINT; price DECIMAL(10,2); ");
  EXPECT_TRUE(session_->describe("SELECT error('never run')"));
  EXPECT_FALSE(session_->describe("SELECT missing FROM range(3)"));
  EXPECT_FALSE(session_->describe("SELECT 1 +"));
}

TEST_F(DuckDbTest, NamesTheTablesThatAQueryReads) {
  struct Case {
    std::string sql, tables;
  };
  const Case cases[] = {
      {"SELECT 1", ""},
      {"SELECT * FROM flights", "flights "},
      {"SELECT * FROM b JOIN a USING (i) WHERE EXISTS (SELECT 1 FROM c)", "a b c "},
      {"WITH x AS (SELECT * FROM inner_one) SELECT * FROM x, other", "inner_one other "},
      {"SELECT * FROM a UNION ALL SELECT * FROM a", "a "},
      {"SELECT * FROM range(3)", ""},
      {"WITH x AS (SELECT * FROM x), y AS (SELECT * FROM x) SELECT * FROM y", "x "},
      {"WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r, z) FROM r", "z "},
      {"WITH x AS (SELECT 1) SELECT * FROM main.x, \"T t\" AS t", "T t main.x "},
      {"SELECT (WITH q AS (FROM deep) SELECT 1 FROM q) FROM q", "deep q "},
      {"SELECT * FROM a ASOF JOIN b USING (i) -- FROM c", "a b "},
  };
  for (const Case& c : cases) {
    std::string said;
    for (const std::string& name : must(session_->tables_of(c.sql))) said += name + " ";
    EXPECT_EQ(said, c.tables) << c.sql;
  }
  for (const std::string& bad :
       std::vector<std::string>{"SELEKT", "", "SELECT 1; SELECT 2", "SELECT * FROM", "DROP TABLE a",
                                "COPY a TO 'x'", "SELECT " + std::string(20000, '(')}) {
    const auto got = session_->tables_of(bad);
    ASSERT_FALSE(got) << bad;
    EXPECT_EQ(got.error().code, Code::invalid_argument);
  }
}

TEST_F(DuckDbTest, KeepsTemporaryThingsAndSettingsToTheirSession) {
  const auto second = must(engine_->session());
  must(
      session_->run("CREATE TEMP VIEW mine AS SELECT 1 AS i; CREATE TABLE ours (i INTEGER);"
                    "SET TimeZone = 'America/New_York'"));
  EXPECT_FALSE(second->query("SELECT * FROM mine"));
  EXPECT_TRUE(second->query("SELECT * FROM ours"));
  EXPECT_EQ(text_of(must(second->query("SELECT current_setting('TimeZone')"))), "'UTC'");
}

TEST_F(DuckDbTest, ReadsItsOwnParquetAndSpeaksJson) {
  const test::TempDir directory;
  const std::string file = directory / "t.parquet";
  must(session_->run(
      "COPY (SELECT i, '2026-05-01'::TIMESTAMPTZ AS time, 0.1::DECIMAL(38,12) AS cost "
      "FROM range(10) t(i)) TO " +
      olap::quoted_text(file)));
  EXPECT_EQ(query("SELECT count(*), max(time), sum(cost) FROM " + olap::quoted_text(file)),
            "10 1777593600000000 '1.000000000000'");
  EXPECT_EQ(query("SELECT json_extract_string('{\"a\": \"b\"}', '$.a')"), "'b'");
  std::ofstream(directory / "broken.parquet") << "this is no parquet file at all";
  EXPECT_FALSE(
      session_->query("SELECT * FROM " + olap::quoted_text(directory / "broken.parquet"), {}));
}

TEST(DuckDbEngineTest, OpensOnFirstUseAndKeepsAFile) {
  const test::TempDir directory;
  const std::string path = directory / "kept.db";
  {
    const auto engine = duckdb::open({.path = path});
    EXPECT_FALSE(std::filesystem::exists(path));
    must(must(engine->session())->run("CREATE TABLE t AS SELECT 42 AS i"));
  }
  auto engine = duckdb::open({.path = path});
  const auto session = must(engine->session());
  engine.reset();
  EXPECT_EQ(text_of(must(session->query("SELECT i FROM t"))), "42");
}

TEST(DuckDbEngineTest, RefusesWhatItCannotOpenOrHold) {
  const test::TempDir directory;
  std::ofstream(directory / "text.db") << std::string(20000, 'x');
  for (const duckdb::Options& options :
       {duckdb::Options{.path = "/no/such/directory/file.db"},
        duckdb::Options{.path = directory / "text.db"}, duckdb::Options{.memory_limit_mb = -5},
        duckdb::Options{.threads = 0}}) {
    const auto got = duckdb::open(options)->session();
    ASSERT_FALSE(got);
    EXPECT_FALSE(got.error().message.empty());
  }
  const auto small = duckdb::open({.memory_limit_mb = 20, .threads = 1});
  const auto session = must(small->session());
  const auto got = session->query(
      "SELECT i, count(*) FROM (SELECT i::VARCHAR || repeat('x', 100) AS i FROM range(5000000) "
      "t(i)) "
      "GROUP BY i ORDER BY i LIMIT 1");
  ASSERT_FALSE(got);
  EXPECT_EQ(name_of(got.error().code), "resource_exhausted") << got.error().message;
  EXPECT_EQ(text_of(must(session->query("SELECT 1"))), "1");
}

}  // namespace
}  // namespace penstock
