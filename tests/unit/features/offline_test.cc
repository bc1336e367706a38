#include <fstream>
#include <set>

#include "policies/service.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

std::string text_of(const Scalar& value) { return json::serialize(to_json(value)); }

class OfflineTest : public FeaturesTest {
 protected:
  OfflineTest() {
    given({{"a", 1, 0, 0, 1.0, "x"}, {"a", 1, 10, 12, 2.0, "y"}, {"b", 2, 5, {}, {}, "z"}});
    test::must(apply(source() + views() + schema()));
  }
  // sensor_heat without its TTL.
  void apply_late() {
    std::string late = views().substr(0, views().find("---"));
    late.replace(late.find("sensor_heat"), 11, "late");
    late.erase(late.find("ttl: 5s\n"), 8);
    test::must(apply(late));
  }
  static std::string ask(const std::string& place, std::int64_t seconds) {
    return "SELECT '" + place + "' AS place, 1 AS sensor, " + sql_time(seconds) + " AS event_time";
  }
  Result<HistoricalOutput> ask(const std::string& sql) {
    return features_.historical(ana_, {.entity_sql = sql, .feature_schema = "features_v1"});
  }
};

TEST_F(OfflineTest, EvaluatesAViewOnceForEachStateOfItsSources) {
  const auto first = test::must(features_.materialize_offline(ana_, {"sensor_heat"}));
  EXPECT_EQ(first.row_count, 3);
  EXPECT_FALSE(first.ties);
  EXPECT_EQ(first.sources, std::vector<std::string>{"source:readings@1"});
  EXPECT_EQ(test::must(features_.materialize_offline(ana_, {"sensor_heat"})).digest, first.digest);
  EXPECT_EQ(test::count(*db_, "feature_tables"), 1);
  given({{"a", 1, 0, 0, 1.0, "x"}, {"a", 1, 0, 1, 2.0, "y"}});
  const auto second = test::must(features_.materialize_offline(ana_, {"sensor_heat"}));
  EXPECT_NE(second.digest, first.digest);
  EXPECT_TRUE(second.ties);
  EXPECT_EQ(test::count(*db_, "feature_tables"), 2);
  EXPECT_TRUE(test::must(blobs_->list("features-staged")).empty());
}

TEST_F(OfflineTest, MakesATableAgainThatWasLost) {
  const auto table = test::must(features_.materialize_offline(ana_, {"sensor_heat"}));
  test::must(blobs_->remove(table.path));
  Service again(*db_, *olap_, *blobs_, rocks_->store(), catalog_, clock_, metrics_,
                {.scratch = folder_ / "scratch"});
  EXPECT_EQ(test::must(again.materialize_offline(ana_, {"sensor_heat"})).digest, table.digest);
  EXPECT_TRUE(test::must(blobs_->exists(table.path)));
}

TEST_F(OfflineTest, GivesTheSameBytesForTheSameInput) {
  const std::string sql = "SELECT place, sensor, seen AS event_time, note AS said FROM readings";
  const auto first = test::must(ask(sql));
  EXPECT_EQ(first.row_count, 3);
  EXPECT_EQ(first.feature_schema, "features_v1@1");
  std::vector<std::string> sources{"feature_view:place_heat@1", "feature_view:sensor_heat@1",
                                   "source:readings@1"};
  EXPECT_EQ(first.sources, sources);
  test::must(blobs_->remove("features"));
  test::must(blobs_->remove("historical"));
  Service again(*db_, *olap_, *blobs_, rocks_->store(), catalog_, clock_, metrics_,
                {.scratch = folder_ / "scratch"});
  EXPECT_EQ(test::must(again.historical(ana_, {.entity_sql = sql, .feature_schema = "features_v1"}))
                .digest,
            first.digest);
}

TEST_F(OfflineTest, MakesADatasetOfIt) {
  HistoricalInput input{.entity_sql = ask("a", 3), .feature_schema = "features_v1", .dataset = "d"};
  EXPECT_EQ(test::must(features_.historical(ana_, input)).dataset, "dataset:d@1");
  EXPECT_EQ(test::must(features_.historical(ana_, input)).dataset, "dataset:d@1");
  input.entity_sql = ask("a", 4);
  EXPECT_EQ(test::must(features_.historical(ana_, input)).dataset, "dataset:d@2");
  const auto trace = test::must(catalog_.trace(ana_, {.urn = "dataset:d@1"}));
  EXPECT_EQ(trace.nodes[0].classification, catalog::Classification::confidential);
}

TEST_F(OfflineTest, SaysWhatIsWrongWithTheRowsAskedFor) {
  struct Case {
    std::string what, sql, fault;
  };
  const Case cases[] = {
      {"no time", "SELECT 'a' AS place, 1 AS sensor", "entity_sql must give event_time"},
      // The zone of a text would be dropped unseen.
      {"a time as text",
       "SELECT 'a' AS place, 1 AS sensor, '2020-09-13T14:26:43+02:00' AS event_time",
       "gives event_time as VARCHAR; make it a TIMESTAMPTZ"},
      {"no key", "SELECT 'a' AS place, now()::TIMESTAMP AS event_time",
       "entity_sql must give the join key sensor"},
      {"a column that is a feature", ask("a", 1) + ", 1 AS heat", "gives heat, which is a feature"},
      {"an unknown table", "SELECT * FROM nowhere", "entity_sql reads nowhere"},
      {"a file", "SELECT * FROM '/etc/passwd'", "entity_sql reads /etc/passwd"},
      {"a function that reads files", "SELECT * FROM read_text('/etc/passwd')",
       "must not call read_text"},
      {"no SQL", "SELEC", "must be a SELECT"},
      {"a key of another type",
       "SELECT 'a' AS place, 'x' AS sensor, " + sql_time(1) + " AS event_time",
       "Could not convert"},
      {"nothing", "", "give one of entity_sql, entity_path and entity_upload"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto out = ask(c.sql);
    ASSERT_FALSE(out);
    EXPECT_NE((out.error().message + test::faults_of(out.error())).find(c.fault), std::string::npos)
        << out.error().message << "\n"
        << test::faults_of(out.error());
    EXPECT_EQ(out.error().code, Code::invalid_argument);
  }
  const auto file = [&](const std::string& path) {
    return features_.historical(ana_, {.entity_path = path, .feature_schema = "features_v1"})
        .error()
        .code;
  };
  EXPECT_EQ(file("gone.parquet"), Code::not_found);
  EXPECT_EQ(file("../gone.parquet"), Code::invalid_argument);
  std::ofstream(folder_ / "bad.parquet") << "no parquet";
  EXPECT_EQ(file("bad.parquet"), Code::invalid_argument);
}

TEST_F(OfflineTest, GivesAStatementToWhoeverWritesItself) {
  const auto session = test::must(olap_->session());
  test::must(session->run("CREATE TEMP TABLE mine AS " + ask("a", 3)));
  const std::string statement = test::must(
      features_.historical_statement(ana_, *session, "features_v1", "SELECT * FROM mine"));
  const auto table = test::must(session->query(statement));
  std::string names;
  for (const auto& column : table.columns) names += column.name + ":" + column.declared + " ";
  EXPECT_EQ(names,
            "place:VARCHAR sensor:INTEGER event_time:TIMESTAMP place_heat:DOUBLE heat:DOUBLE "
            "note:VARCHAR hot:DOUBLE last_sensor:DOUBLE oldest_event_time:TIMESTAMP ");
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_EQ(table.rows[0][3], Scalar(1.0));
  EXPECT_EQ(table.rows[0][8], Scalar(at(0).time_since_epoch().count()));
  EXPECT_FALSE(
      features_.historical_statement(ana_, *session, "features_v1", "SELECT * FROM '/etc/passwd'"));
}

TEST_F(OfflineTest, ARowIsSeenOnceItHasArrivedAndNotBefore) {
  given({{"a", 1, 10, 10, 1.0, {}},
         {"a", 1, 12, 20, 2.0, {}},    // late
         {"a", 1, 12, 30, 3.0, {}},    // its correction
         {"a", 1, 11, 40, 4.0, {}},    // late, and older than what is known by then
         {"a", 1, 50, 45, 5.0, {}}});  // told ahead
  const auto heat = [&](std::int64_t seconds, std::optional<std::int64_t> known = {}) {
    HistoricalInput input{.entity_sql = ask("a", seconds), .features = {"late:heat"}};
    if (known) input.known_as_of = at(*known);
    const auto out = test::must(features_.historical(ana_, input));
    return text_of(rows("SELECT heat FROM read_parquet(" + olap::quoted_text(out.uri) + ")")[0][0]);
  };
  apply_late();
  const std::pair<std::int64_t, const char*> seen[] = {
      {9, "null"}, {10, "1E0"}, {12, "1E0"}, {19, "1E0"}, {20, "2E0"},
      {29, "2E0"}, {30, "3E0"}, {40, "3E0"}, {49, "3E0"}, {50, "5E0"}};
  for (const auto& [seconds, value] : seen) EXPECT_EQ(heat(seconds), value) << "at " << seconds;
  EXPECT_EQ(heat(12, 40), "3E0") << "with what was known at 40";
  EXPECT_EQ(heat(11, 40), "4E0");
  EXPECT_EQ(heat(12, 29), "2E0");
  EXPECT_EQ(heat(60, 44), "3E0");
}

// What the first rows of a view look like is no promise of the others.
TEST_F(OfflineTest, FindsTheSecondRowOfAnEntityFarBehindTheFirst) {
  run("COPY (SELECT 'p' || (i % 11000) AS place, 1::BIGINT AS sensor, TIMESTAMP '2020-09-13 "
      "12:26:40' + to_seconds(CASE WHEN i < 11000 THEN 20 ELSE 10 END) AS seen, TIMESTAMP "
      "'2020-09-13 12:26:40' + to_seconds(CASE WHEN i < 11000 THEN 20 ELSE 30 END) AS created, "
      "i::DOUBLE AS heat, 'n' AS note FROM range(12000) AS t(i)) TO '" +
      folder_ / "readings.parquet" + "' (FORMAT parquet)");
  apply_late();
  const auto table = test::must(features_.materialize_offline(ana_, {"late"}));
  EXPECT_EQ(table.row_count, 12'000);
  EXPECT_FALSE(table.ties);
  const auto out = test::must(features_.historical(
      ana_, {.entity_sql = "SELECT 'p' || i AS place, 1 AS sensor, " + sql_time(40) +
                           " AS event_time FROM range(11000) AS t(i)",
             .features = {"late:heat"}}));
  // The late rows are older than what was known: they never count.
  EXPECT_EQ(
      rows("SELECT count(*), max(heat) FROM read_parquet(" + olap::quoted_text(out.uri) + ")")[0],
      (std::vector<Scalar>{std::int64_t{11'000}, 10'999.0}));
}

TEST_F(OfflineTest, SaysWhichViewCouldNotBeEvaluated) {
  std::string broken = views();
  broken.replace(broken.find("heat, note FROM"), 15, "CAST(note AS DOUBLE) AS heat, note FROM");
  test::must(apply(broken));
  const auto out = features_.materialize_offline(ana_, {"sensor_heat"});
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, Code::failed_precondition);
  EXPECT_NE(out.error().message.find("sensor_heat@2 could not be evaluated"), std::string::npos);
}

TEST_F(OfflineTest, APolicyOfReadsIsAskedBeforeRowsAreGiven) {
  policies::Service policies(*db_, resources_, clock_);
  resources_.add(policies.kind());
  const std::string sql = "SELECT place, sensor, seen AS event_time, note AS said FROM readings";
  test::must(apply(
      "kind: policy\nname: confidential\nowner: o\napplies_to: [read]\nmessage: Confidential data\n"
      "sql: SELECT s.urn AS subject FROM policy_subject AS s CROSS JOIN policy_upstream AS u WHERE "
      "u.class_rank >= 2 AND s.purpose = 'features'\n"));
  const auto refused = ask(sql);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::failed_precondition);
  EXPECT_NE(refused.error().message.find("policy confidential"), std::string::npos);
  EXPECT_TRUE(features_.historical(
      ana_, {.entity_sql = sql, .feature_schema = "features_v1", .dataset = "d"}))
      << "the policy speaks of another purpose";
  // What batches read is asked for too, as batch.
  test::must(
      apply("kind: policy\nname: confidential\nowner: o\napplies_to: [read]\nmessage: m\n"
            "sql: SELECT s.urn AS subject FROM policy_subject AS s WHERE s.purpose = "
            "'batch'\n"));
  const auto session = test::must(olap_->session());
  EXPECT_FALSE(features_.historical_statement(ana_, *session, "features_v1", sql));
  EXPECT_TRUE(ask(sql));
}

// A source that grows leaves a table for each of its states; those that nobody reads any more go.
TEST_F(OfflineTest, TablesOfOldStatesMakeRoom) {
  test::must(apply(source() + views() + schema()));
  const auto tables = [&] {
    std::set<std::string> names;
    for (const auto& entry : test::must(blobs_->list("features/p1/place_heat@1")))
      names.insert(entry.path);
    return names;
  };
  const auto make = [&](double heat) {
    given({{"a", 1, 10, 10, heat, "x"}});
    return test::must(features_.materialize_offline(ana_, {.view = "place_heat"}));
  };
  const Timestamp now = SystemClock().now();
  clock_.set(now);
  const OfflineTable moved = make(1.0);
  test::must(features_.materialize(ana_, {.views = {"place_heat"}, .until = at(100)}));
  for (int i = 2; i <= 6; ++i) make(i);
  EXPECT_EQ(tables().size(), 6u) << "somebody may read them";
  clock_.set(now + std::chrono::hours(2));
  const OfflineTable newest = make(7.0);
  EXPECT_EQ(tables().size(), 2u) << "the newest, and what the online rows are from";
  EXPECT_TRUE(tables().contains(moved.path));
  EXPECT_TRUE(tables().contains(newest.path));
  // One that is gone is made again where its state comes back.
  const OfflineTable again = make(3.0);
  EXPECT_TRUE(tables().contains(again.path));
  EXPECT_EQ(rows("SELECT place_heat FROM read_parquet(" +
                 olap::quoted_text(blobs_->uri(again.path)) + ")")[0][0],
            Scalar(3.0));
  test::must(features_.repair(ana_, {.views = {"place_heat"}}));
}

}  // namespace
}  // namespace penstock::features
