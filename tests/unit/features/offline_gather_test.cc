// The join that keeps what it found in memory, and when it does not.
#include "features/gather.h"

#include "features/gathered.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

TEST(OfflinePlacesTest, AViewsRowsThatCountHaveAPlaceEach) {
  Places places(6, 300);
  for (const auto& [row, found] : {std::pair{0, 299}, {1, 5}, {2, 64}, {4, 5}})
    places.set(static_cast<std::size_t>(row), static_cast<std::size_t>(found));
  places.close();
  EXPECT_EQ(places.kept(), 3u);
  EXPECT_EQ(places.place_of(5), 0u);
  EXPECT_EQ(places.place_of(64), 1u);
  EXPECT_EQ(places.place_of(299), 2u);
  for (const std::size_t other : {0, 4, 6, 63, 65, 298}) EXPECT_FALSE(places.place_of(other));
  EXPECT_EQ(places.of_row(0), 2u);
  EXPECT_EQ(places.of_row(1), 0u);
  EXPECT_EQ(places.of_row(2), 1u);
  EXPECT_EQ(places.of_row(4), 0u);
  for (const std::int64_t none : {-1, 3, 5, 6, 7}) EXPECT_FALSE(places.of_row(none)) << none;
}

class OfflineGatherTest : public FeaturesTest {
 protected:
  OfflineGatherTest() {
    std::vector<Reading> readings;
    for (std::int64_t i = 0; i < 1000; ++i)
      readings.push_back({"a", i % 7, i, {}, static_cast<double>(i), std::string(2000, 'x')});
    given(readings);
    test::must(apply(source() + views() + schema()));
  }
  bool kept(const std::string& feature, std::int64_t memory) {
    const auto schema = test::must(features_.open_features(ana_, {feature}));
    const auto table =
        test::must(features_.materialize_offline(ana_, {schema->views[0]->view.name}));
    const auto session = test::must(olap_->session());
    test::must(session->run(
        "CREATE TEMP TABLE mine AS SELECT 'a' AS place, i % 7 AS sensor, "
        "make_timestamp((1600000000 + i) * 1000000) AS event_time FROM range(1000) AS t(i)"));
    return test::must(gather(*session, duckdb::lookups(), *schema,
                             {{schema->views[0].get(),
                               "read_parquet(" + olap::quoted_text(blobs_->uri(table.path)) + ")",
                               table.ties, table.row_count}},
                             {"mine", "rowid", "*", 1000}, {}, memory))
        .has_value();
  }
};

TEST_F(OfflineGatherTest, KeepsWhatHasRoomAndLeavesTheRestToTheEngine) {
  EXPECT_TRUE(kept("sensor_heat:heat", 1 << 20));
  EXPECT_FALSE(kept("sensor_heat:heat", 1 << 10)) << "too many rows, known before";
  EXPECT_TRUE(kept("sensor_heat:note", 4 << 20));
  EXPECT_FALSE(kept("sensor_heat:note", 1 << 20)) << "texts, known while they come";
}

TEST_F(OfflineGatherTest, RowsWithTheNamesOfItsOwnColumnsAreJoinedToo) {
  const std::string sql =
      "SELECT place, sensor, seen AS event_time, seen AS rowid, 1 AS file_row_number FROM readings";
  const auto made =
      test::must(features_.historical(ana_, {.entity_sql = sql, .features = {"place_heat:hot"}}));
  EXPECT_EQ(made.row_count, 1000);
  run("COPY ("
      "SELECT 'a' AS place, i AS file_row_number, "
      "make_timestamp((1600000000 + i) * 1000000) AS event_time FROM range(20) AS t(i)) TO '" +
      folder_ / "mine.parquet" + "' (FORMAT parquet)");
  const auto of_file = test::must(
      features_.historical(ana_, {.entity_path = "mine.parquet", .features = {"place_heat:hot"}}));
  const auto found =
      rows("SELECT file_row_number, hot FROM read_parquet(" + olap::quoted_text(of_file.uri) + ")");
  ASSERT_EQ(found.size(), 20u);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i][0], Scalar(static_cast<std::int64_t>(i)));
    EXPECT_EQ(found[i][1], Scalar(i > 1));
  }
}

// One walk through rows in the order of time finds what the engine's join finds: of keys of several
// columns, with rows that have no key or no instant, at the edges of the TTL.
TEST_F(OfflineGatherTest, FindsTheRowsThatTheEngineFinds) {
  const std::string sql =
      "SELECT CASE WHEN i % 11 > 0 THEN 'a' WHEN i % 2 = 0 THEN 'b' END AS place, CASE WHEN i % 13 "
      "> 0 THEN i % 8 END AS sensor, CASE WHEN i % 17 > 0 THEN make_timestamp((1600000000 + "
      "(hash(i) % 1100)::BIGINT - 50) * 1000000 + i % 2) END AS event_time, i FROM range(3000) AS "
      "t(i)";
  const std::string out =
      test::must(features_.historical(ana_, {.entity_sql = sql, .feature_schema = "features_v1"}))
          .uri;
  const auto session = test::must(olap_->session());
  const std::string statement =
      test::must(features_.historical_statement(ana_, *session, "features_v1", sql));
  const auto engine = test::must(session->query(statement));
  const auto found = rows("SELECT * FROM read_parquet(" + olap::quoted_text(out) + ")");
  ASSERT_EQ(found.size(), 3'000u);
  std::size_t values = 0;
  for (std::size_t row = 0; row < found.size(); ++row) {
    for (std::size_t column = 0; column < found[row].size(); ++column) {
      // The statement gives what a model takes: numbers.
      Scalar value = found[row][column];
      if (const auto* truth = std::get_if<bool>(&value)) value = *truth ? 1.0 : 0.0;
      if (const auto* whole = std::get_if<std::int64_t>(&value); whole && column > 3)
        value = static_cast<double>(*whole);
      ASSERT_EQ(value, engine.rows[row][column]) << "row " << row << ", column " << column;
      values += column > 3 && value.index() != 0;
    }
  }
  EXPECT_GT(values, 3'000u);
}

// As a small disk and little memory do: there is an error that says what to raise, and no crash.
TEST_F(OfflineGatherTest, SaysWhichLimitsAJoinNeedsMoreOf) {
  const auto small = duckdb::open({.temp_directory = folder_ / "spill",
                                   .memory_limit_mb = 64,
                                   .threads = 1,
                                   .spill_limit_mb = 8});
  Service features(*db_, *small, *blobs_, rocks_->store(), catalog_, clock_, metrics_,
                   {.scratch = folder_ / "small", .lookup = &duckdb::lookups()});
  const auto ask = [&](const std::string& rows) {
    return features.historical(
        ana_, {.entity_sql = "SELECT 'a' AS place, hash(i)::VARCHAR AS note, "
                             "make_timestamp(1600000000000000 + i) AS event_time FROM range(" +
                             rows + ") AS t(i)",
               .features = {"place_heat:hot"}});
  };
  EXPECT_TRUE(ask("1000"));
  const auto out = ask("5000000");
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, Code::resource_exhausted);
  for (const char* word : {"limits.join_memory_bytes", "limits.join_spill_bytes", "raise these"})
    EXPECT_NE(out.error().message.find(word), std::string::npos) << out.error().message;
  EXPECT_TRUE(ask("1000")) << "and goes on";
  EXPECT_TRUE(test::must(blobs_->list("features-staged")).empty());
}

}  // namespace
}  // namespace penstock::features
