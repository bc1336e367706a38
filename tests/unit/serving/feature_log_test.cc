#include "serving/feature_log.h"

#include <gtest/gtest.h>

#include "adapters/duckdb/duckdb.h"
#include "adapters/localfs/localfs.h"
#include "base/yaml.h"
#include "serving/joins.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using test::must;

constexpr const char* declarations = R"(kind: source
name: readings
owner: sensors
path: readings.parquet
columns:
  - {name: flight_id, type: text, classification: public}
  - {name: seen, type: timestamp, classification: public}
  - {name: heat, type: double, classification: public}
  - {name: seats, type: bigint, classification: public}
---
kind: entity
name: flight
owner: sensors
join_keys: [{name: flight_id, type: text}]
---
kind: feature_view
name: heats
owner: sensors
entity: flight
sources: [readings]
sql: SELECT * FROM readings
event_time: seen
ttl: 30s
features: [{name: heat}, {name: seats, type: bigint}]
---
kind: feature_schema
name: features_v1
owner: sensors
features: [{view: heats, feature: heat}, {view: heats, feature: seats}]
---
kind: route
name: flight-delay
owner: sensors
)";

Timestamp at(std::int64_t seconds) {
  return Timestamp(std::chrono::seconds(1'600'000'000 + seconds));
}

// Predictions of a real model, by features that are really read, of a few flights over a minute.
class FeatureLogTest : public ::testing::Test {
 protected:
  FeatureLogTest() {
    catalog_.register_kinds(resources_);
    features_.register_kinds(resources_);
    resources_.add(
        {"route",
         [](sql::Tx&, const Call&, const json::object& in) -> Result<json::object> { return in; },
         {}});
    run("COPY (SELECT 'UA' || (i % 4) AS flight_id, TIMESTAMP '2020-09-13 12:26:40' + "
        "to_seconds(i) "
        "AS seen, CASE WHEN i % 5 = 0 THEN NULL ELSE i / 7.0 END AS heat, CAST(i * 3 AS BIGINT) AS "
        "seats FROM range(60) AS t(i)) TO '" +
        folder_ / "readings.parquet" + "' (FORMAT parquet)");
    resources::ApplyInput input;
    for (const auto& document : must(yaml::parse(declarations)))
      input.documents.push_back({.declaration = document.value.as_object()});
    must(resources_.apply(ana_, input));
    LiveRoute route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
    route.features = must(schemas_of(features_)(ana_, "features_v1"));
    world_.serve(std::move(route));
  }

  void run(const std::string& sql) { must(must(olap_->session())->run(sql)); }
  std::vector<std::vector<Scalar>> rows(const std::string& sql) {
    return must(must(olap_->session())->query(sql)).rows;
  }
  void predict(const std::string& id, const std::string& flight, std::int64_t seconds) {
    must(world_.gateway.infer(ana_, {.route = "flight-delay",
                                     .id = id,
                                     .event_time = at(seconds),
                                     .rows = {{{"flight_id", flight}}}}));
  }
  // What is online is complete at each of these instants; at the last every row is too old.
  void predict_for_a_minute() {
    int step = 0;
    for (const std::int64_t seconds : {10, 20, 30, 60, 85, 95}) {
      ++step;
      must(features_.materialize(ana_, {.until = at(seconds)}));
      for (int flight = 0; flight < 5; ++flight)
        predict("p" + std::to_string(step) + std::to_string(flight), "UA" + std::to_string(flight),
                seconds);
    }
  }
  void label(const std::string& prediction, double value, std::int64_t seconds) {
    must(world_.log().append({{std::string(label_topic), prediction,
                               json_text(Label{prediction, at(seconds), "p1", value})}},
                             kv::Durability::process));
  }
  Result<PredictionDataset> make(FromPredictions input = {}) {
    input.route = "flight-delay";
    if (input.to == Timestamp{}) {
      input.from = world_.clock.now() - std::chrono::hours(1);
      input.to = world_.clock.now() + std::chrono::hours(1);
    }
    if (input.dataset.empty()) input.dataset = "served";
    return log_.dataset(ana_, input);
  }

  test::TempDir folder_;
  const Call ana_ = test::call("user:ana");
  test::World world_{folder_.path()};
  std::unique_ptr<sql::Database> db_ = test::database();
  std::unique_ptr<olap::Engine> olap_ = duckdb::open({.threads = 2});
  std::unique_ptr<blob::Store> blobs_ = must(localfs::open(folder_ / "blobs"));
  std::unique_ptr<rocksdb::Database> rocks_ = must(rocksdb::open(folder_ / "rocks"));
  resources::Service resources_{*db_, world_.clock};
  catalog::Service catalog_{*db_, *olap_, world_.clock, {.data_directory = folder_.path()}};
  features::Service features_{*db_,     *olap_,       *blobs_,        rocks_->store(),
                              catalog_, world_.clock, world_.metrics, {.scratch = folder_ / "s"}};
  FeatureLog log_{*db_,     world_.log(), *olap_,       *blobs_,
                  catalog_, features_,    world_.clock, folder_ / "scratch"};
};

TEST_F(FeatureLogTest, WhatWasReadIsWhatTheOfflineJoinGivesForTheSameInstants) {
  predict_for_a_minute();
  label("p10", 1, 5);
  label("p10", 0, 9);
  label("p64", 1, 7);
  label("other", 1, 7);
  const PredictionDataset made = must(make());
  EXPECT_EQ(made.row_count, 30);
  EXPECT_EQ(made.labelled, 2);
  EXPECT_EQ(made.dataset, "dataset:served@1");
  EXPECT_EQ(made.feature_schema, "features_v1@1");
  std::string columns;
  for (const auto& column : made.columns) columns += column.name + " " + column.type + ", ";
  EXPECT_EQ(columns,
            "prediction VARCHAR, event_time TIMESTAMP, model VARCHAR, flight_id VARCHAR, heat "
            "DOUBLE, seats DOUBLE, feature_statuses VARCHAR, score DOUBLE, label DOUBLE, ");
  const std::string served = "read_parquet('" + made.uri + "')";
  EXPECT_EQ(rows("SELECT label FROM " + served + " WHERE prediction = 'p10'")[0][0], Scalar(0.0));
  run("COPY (SELECT prediction, event_time, flight_id FROM " + served + ") TO '" +
      folder_ / "entities.parquet" + "' (FORMAT parquet)");
  const auto offline = must(features_.historical(
      ana_, {.entity_path = folder_ / "entities.parquet", .feature_schema = "features_v1"}));
  const auto differ = rows(
      "SELECT count(*), count(*) FILTER (WHERE o.heat IS DISTINCT FROM s.heat), count(*) FILTER "
      "(WHERE o.seats "
      "IS DISTINCT FROM s.seats), count(s.heat), count(*) FILTER (WHERE s.seats IS NULL) FROM " +
      served + " AS s JOIN read_parquet('" + offline.uri + "') AS o USING (prediction)");
  EXPECT_EQ(differ[0][0], Scalar(std::int64_t{30}));
  EXPECT_EQ(differ[0][1], Scalar(std::int64_t{0}));
  EXPECT_EQ(differ[0][2], Scalar(std::int64_t{0}));
  EXPECT_GT(std::get<std::int64_t>(differ[0][3]), 10);
  EXPECT_GT(std::get<std::int64_t>(differ[0][4]), 5);  // no such flight, or too old
}

TEST_F(FeatureLogTest, KeepsWhatEachValueWas) {
  must(features_.materialize(ana_, {.until = at(55)}));
  predict("null", "UA3", 56);     // its row is of 55, and 55 % 5 = 0
  predict("present", "UA2", 56);  // of 54
  predict("missing", "XX", 56);
  predict("old", "UA2", 85);
  const auto made = must(make());
  std::string text;
  for (const auto& row : rows("SELECT prediction, feature_statuses FROM read_parquet('" + made.uri +
                              "') ORDER BY prediction"))
    text += std::get<std::string>(row[0]) + " " + std::get<std::string>(row[1]) + ", ";
  EXPECT_EQ(text, "missing M, null NP, old O, present P, ");
  for (const InferenceEvent& event : world_.events()) {
    ASSERT_EQ(event.feature_times.size(), 1u);
    const bool found = event.id == "present" || event.id == "null";
    EXPECT_EQ(event.feature_times[0].has_value(), found) << event.id;
    if (event.id == "present") {
      EXPECT_EQ(event.feature_times[0], at(54));
    }
  }
}

TEST_F(FeatureLogTest, TheSamePredictionsAreTheSameDataset) {
  predict_for_a_minute();
  const FromPredictions all{.from = world_.clock.now() - std::chrono::hours(1),
                            .to = world_.clock.now() + std::chrono::hours(1)};
  const PredictionDataset first = must(make(all)), again = must(make(all));
  EXPECT_EQ(first.dataset, again.dataset);
  EXPECT_EQ(first.digest, again.digest);
  predict("late", "UA1", 99);
  EXPECT_EQ(must(make(all)).dataset, "dataset:served@2");
  const auto edges = must(
      db_->read(ana_, [&](sql::Tx& tx) { return catalog::edges_from(tx, "p1", first.dataset); }));
  std::string to;
  for (const catalog::Edge& edge : edges) to += edge.to_urn + " ";
  EXPECT_NE(to.find("route:flight-delay"), std::string::npos) << to;
  EXPECT_NE(to.find("feature_schema:features_v1@1"), std::string::npos) << to;
  ASSERT_EQ(first.snapshots.size(), 1u);
  EXPECT_EQ(first.snapshots[0].urn, "route:flight-delay");
  EXPECT_EQ(first.snapshots[0].digest.size(), 64u);
}

TEST_F(FeatureLogTest, TakesLabelsFromASource) {
  predict_for_a_minute();
  run("COPY (SELECT 'p' || i AS prediction, i % 2 AS label, i AS other FROM range(10, 25) AS t(i)) "
      "TO '" +
      folder_ / "outcomes.parquet" + "' (FORMAT parquet)");
  resources::ApplyInput input;
  for (const auto& document : must(yaml::parse(R"(kind: source
name: outcomes
owner: sensors
path: outcomes.parquet
columns:
  - {name: prediction, type: text, classification: public}
  - {name: label, type: bigint, classification: public}
  - {name: other, type: bigint, classification: public}
)")))
    input.documents.push_back({.declaration = document.value.as_object()});
  must(resources_.apply(ana_, input));
  const auto made = must(make({.labels = "outcomes"}));
  EXPECT_EQ(made.row_count, 30);
  EXPECT_EQ(made.labelled, 10);  // p10 to p14 and p20 to p24
  ASSERT_EQ(made.snapshots.size(), 2u);
  EXPECT_EQ(made.snapshots[1].urn, "source:outcomes@1");
  EXPECT_EQ(must(make({.labels = "SELECT prediction, other > 12 AS label FROM outcomes"})).labelled,
            10);
  struct Case {
    std::string labels, fault;
  };
  for (const Case& c :
       {Case{"SELECT prediction FROM outcomes", "labels must give prediction and label"},
        {"SELECT 'p10' AS prediction, label FROM outcomes",
         "labels give prediction p10 more than once"},
        {"nothing", "labels reads what is no source"},
        {"SELECT * FROM read_csv('/etc/passwd')", "labels"}}) {
    SCOPED_TRACE(c.labels);
    const auto refused = make({.labels = c.labels});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
    EXPECT_NE(refused.error().message.find(c.fault), std::string::npos) << refused.error().message;
  }
}

TEST_F(FeatureLogTest, RefusesATimeOfWhichSomeIsGone) {
  predict("first", "UA1", 10);
  predict("second", "UA1", 20);
  const Timestamp second = must(world_.log().read(inference_topic, 1, 1)).at(0).at;
  predict("third", "UA1", 30);
  must(world_.log().truncate(inference_topic, 2));
  for (const Timestamp from : {second - std::chrono::hours(1), second}) {
    const auto refused = make({.from = from, .to = second + std::chrono::hours(1)});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::failed_precondition);
    EXPECT_NE(refused.error().message.find("from must be later than " + to_rfc3339(second)),
              std::string::npos)
        << refused.error().message;
  }
  EXPECT_EQ(
      must(make({.from = second + Micros(1), .to = second + std::chrono::hours(1)})).row_count, 1);
  EXPECT_EQ(must(log_.newest_reads(ana_, "features_v1@1", 10)).size(), 1u);
}

TEST_F(FeatureLogTest, SaysWhyThereIsNothing) {
  const auto nothing = make();
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, Code::not_found);
  predict("one", "UA1", 10);
  EXPECT_EQ(must(make()).row_count, 1);
  const auto backwards = make({.from = at(10), .to = at(5)});
  ASSERT_FALSE(backwards);
  EXPECT_EQ(test::faults_of(backwards.error()), "to must be later than from\n");
  const auto unnamed = make({.dataset = "a/b"});
  ASSERT_FALSE(unnamed);
  EXPECT_EQ(unnamed.error().code, Code::invalid_argument);
  const auto unknown = make({.feature_schema = "features_v9"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::not_found);
}

}  // namespace
}  // namespace penstock::serving
