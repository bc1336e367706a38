// Functions of ours in DuckDB's SQL.
#include <gtest/gtest.h>

#include <atomic>

#include "adapters/duckdb/duckdb.h"
#include "tests/support/fixture.h"

namespace penstock {
namespace {

using test::must;

// Each argument as it came, the nulls counted, and a text of its own.
olap::Function mirror(std::atomic<std::int64_t>& rows) {
  using olap::Type;
  return {.name = "mirror",
          .arguments = {Type::boolean, Type::bigint, Type::real, Type::text, Type::timestamp},
          .results = {Type::boolean, Type::bigint, Type::real, Type::text, Type::timestamp,
                      Type::bigint, Type::text},
          .run = [&rows](const olap::Chunk& in, olap::Chunk& out) {
            rows += static_cast<std::int64_t>(in.rows);
            for (std::size_t column = 0; column < 5; ++column)
              out.columns[column] = in.columns[column];
            for (std::size_t row = 0; row < in.rows; ++row) {
              std::int64_t nulls = 0;
              for (const auto& column : in.columns) nulls += column.valid[row] ? 0 : 1;
              out.columns[5].whole[row] = nulls;
              out.columns[5].valid[row] = 1;
              out.columns[6].text[row] = std::string(static_cast<std::size_t>(nulls) * 10, 'n');
              out.columns[6].valid[row] = nulls % 2 == 0;
            }
          }};
}

class FunctionsTest : public testing::Test {
 protected:
  FunctionsTest() { must(session_->define(mirror(rows_))); }
  std::int64_t number(std::string_view statement) {
    return std::get<std::int64_t>(must(session_->query(statement)).rows.at(0).at(0));
  }

  std::atomic<std::int64_t> rows_ = 0;
  std::unique_ptr<olap::Engine> engine_ = duckdb::open({.threads = 4});
  std::unique_ptr<olap::Session> session_ = must(engine_->session());
};

TEST_F(FunctionsTest, GetWhatSqlHasAndGiveWhatTheyMade) {
  const auto table =
      must(session_->query("SELECT unnest(m) FROM (SELECT mirror(true, 7, -0.0::DOUBLE, 'é' || x, "
                           "TIMESTAMP '1960-01-01') "
                           "AS m FROM (VALUES ('a'), (NULL)) AS t(x))"));
  ASSERT_EQ(table.rows.size(), 2u);
  const std::vector<Scalar> first{
      true, std::int64_t{7}, -0.0, "éa", std::int64_t{-315'619'200'000'000}, std::int64_t{0}, ""};
  EXPECT_EQ(table.rows[0], first);
  EXPECT_TRUE(std::signbit(std::get<double>(table.rows[0][2])));
  EXPECT_EQ(table.rows[1][3], Scalar());
  EXPECT_EQ(table.rows[1][5], Scalar(std::int64_t{1}));
  EXPECT_EQ(table.rows[1][6], Scalar());
  // Constants alone, and nulls alone.
  EXPECT_EQ(number("SELECT mirror(NULL, NULL, NULL, NULL, NULL).v5"), 5);
  EXPECT_EQ(
      must(session_->query("SELECT mirror(NULL, NULL, NULL, NULL, 'infinity').v6")).rows[0][0],
      Scalar(std::string(40, 'n')));
}

TEST_F(FunctionsTest, TakePartInQueriesOfManyRowsAndThreads) {
  rows_ = 0;
  EXPECT_EQ(
      number("SELECT count(*) FROM (SELECT n, mirror(n % 2 = 0, n, n / 3, 't' || n, NULL) AS m "
             "FROM range(500000) AS r(n)) WHERE m.v1 <> n OR m.v0 <> (n % 2 = 0) OR m.v2 <> n / 3 "
             "OR m.v3 <> 't' || n OR m.v5 <> 1 OR m.v4 IS NOT NULL"),
      0);
  EXPECT_GE(rows_.load(), 500'000);
}

TEST_F(FunctionsTest, AreOneForAllSessionsOfAnEngine) {
  const auto other = must(engine_->session());
  EXPECT_EQ(must(other->query("SELECT mirror(true, 1, 1, 'x', NULL).v5")).rows[0][0],
            Scalar(std::int64_t{1}));
  std::atomic<std::int64_t> unused = 0;
  must(other->define(mirror(unused)));  // it is there already
  must(other->query("SELECT mirror(true, 1, 1, 'x', NULL)"));
  EXPECT_EQ(unused.load(), 0);
  const auto elsewhere = must(duckdb::open({})->session());
  EXPECT_FALSE(elsewhere->query("SELECT mirror(true, 1, 1, 'x', NULL)"));
}

TEST_F(FunctionsTest, RefuseWhatTheyDoNotTake) {
  EXPECT_EQ(session_->query("SELECT mirror(1)").error().code, Code::invalid_argument);
  const auto failing = session_->define({.name = "failing",
                                         .arguments = {olap::Type::bigint},
                                         .results = {olap::Type::bigint},
                                         .run = [](const olap::Chunk&, olap::Chunk&) {
                                           throw std::runtime_error("no more memory for it");
                                         }});
  must(failing);
  const auto out = session_->query("SELECT failing(1)");
  ASSERT_FALSE(out);
  EXPECT_NE(out.error().message.find("no more memory for it"), std::string::npos);
}

}  // namespace
}  // namespace penstock
