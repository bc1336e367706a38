#include <atomic>
#include <gtest/gtest.h>

#include "adapters/duckdb/duckdb.h"
#include "tests/support/fixture.h"

namespace penstock {
namespace {

using test::must;

// Row 0 has 10, 1.5, true and "a"; row 1 a null of each; there are no others.
class TwoRows final : public olap::Values {
 public:
  void whole(std::size_t, std::span<const std::int64_t> rows, std::int64_t* out,
             std::uint8_t* valid) const override {
    fill(rows, out, valid, std::int64_t{10});
  }
  void real(std::size_t, std::span<const std::int64_t> rows, double* out,
            std::uint8_t* valid) const override {
    fill(rows, out, valid, 1.5);
  }
  void truth(std::size_t, std::span<const std::int64_t> rows, bool* out,
             std::uint8_t* valid) const override {
    fill(rows, out, valid, true);
  }
  void text(std::size_t, std::span<const std::int64_t> rows, std::string_view* out,
            std::uint8_t* valid) const override {
    fill(rows, out, valid, std::string_view("a text that is longer than twelve bytes"));
  }

 private:
  template <class T>
  static void fill(std::span<const std::int64_t> rows, T* out, std::uint8_t* valid, T value) {
    for (std::size_t at = 0; at < rows.size(); ++at) {
      valid[at] = rows[at] == 0;
      out[at] = value;
    }
  }
};

TEST(DuckDbLookupTest, SqlAsksForValuesByTheNumberOfARow) {
  const auto engine = duckdb::open({});
  const auto offer = duckdb::lookups().offer(std::make_shared<TwoRows>());
  std::string columns;
  for (const olap::Type type : {olap::Type::bigint, olap::Type::timestamp, olap::Type::real,
                                olap::Type::boolean, olap::Type::text})
    columns += ", " + offer->expression(0, type, "i");
  const auto session = must(engine->session());
  const auto table = must(session->query(
      "SELECT i" + columns + " FROM (SELECT unnest([1, 0, NULL, -5, 99]::BIGINT[]) AS i)"));
  ASSERT_EQ(table.rows.size(), 5u);
  const std::vector<Scalar> row{std::int64_t{0},
                                std::int64_t{10},
                                std::int64_t{10},
                                1.5,
                                true,
                                std::string("a text that is longer than twelve bytes")};
  EXPECT_EQ(table.rows[1], row);
  for (const std::size_t other : {0, 2, 3, 4})
    for (std::size_t column = 1; column < row.size(); ++column)
      EXPECT_EQ(table.rows[other][column], Scalar()) << other << " " << column;
  EXPECT_EQ(table.columns[2].declared, "TIMESTAMP");
}

TEST(DuckDbLookupTest, WhatIsNoLongerOfferedIsAnError) {
  const auto engine = duckdb::open({});
  const auto session = must(engine->session());
  std::string gone;
  {
    const auto offer = duckdb::lookups().offer(std::make_shared<TwoRows>());
    gone = "SELECT " + offer->expression(0, olap::Type::bigint, "i") + " FROM range(3) AS t(i)";
    EXPECT_TRUE(session->query(gone));
  }
  const auto got = session->query(gone);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::invalid_argument);
  EXPECT_NE(got.error().message.find("no such values are offered"), std::string::npos);
}

TEST(DuckDbLookupTest, EachRowIsVisitedOnceByWhateverThread) {
  const auto engine = duckdb::open({.threads = 4});
  const auto session = must(engine->session());
  std::atomic<std::int64_t> rows = 0, sum = 0, letters = 0, nulls = 0;
  must(duckdb::lookups().each(
      *session,
      "SELECT i, CASE WHEN i % 2 = 0 THEN repeat('x', 20) END AS t FROM range(500000) AS r(i)",
      [&](const olap::Chunk& chunk) -> Result<void> {
        rows += static_cast<std::int64_t>(chunk.rows);
        for (std::size_t at = 0; at < chunk.rows; ++at) {
          sum += chunk.columns[0].whole[at];
          nulls += chunk.columns[1].valid[at] ? 0 : 1;
          letters += static_cast<std::int64_t>(chunk.columns[1].text[at].size());
        }
        return {};
      }));
  EXPECT_EQ(rows, 500'000);
  EXPECT_EQ(sum, std::int64_t{499'999} * 250'000);
  EXPECT_EQ(nulls, 250'000);
  EXPECT_EQ(letters, 5'000'000);
  const auto refused = duckdb::lookups().each(*session, "SELECT i FROM range(500000) AS r(i)",
                                              [](const olap::Chunk&) -> Result<void> {
                                                return Error{Code::failed_precondition, "enough"};
                                              });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "enough");
  EXPECT_FALSE(duckdb::lookups().each(*session, "SELECT nothing",
                                      [](const olap::Chunk&) { return Result<void>(); }));
  EXPECT_FALSE(session->query("SELECT penstock_take(1::BIGINT, i) FROM range(3) AS r(i)"));
}

}  // namespace
}  // namespace penstock
