#include "serving/classes.h"

#include <gtest/gtest.h>

#include "adapters/duckdb/duckdb.h"
#include "adapters/localfs/localfs.h"
#include "base/yaml.h"
#include "catalog/classes.h"
#include "serving/joins.h"
#include "serving/service.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using catalog::Classification;
using test::must;

constexpr const char* declarations = R"(kind: source
name: readings
owner: sensors
path: readings.parquet
columns:
  - {name: flight_id, type: text, classification: confidential}
  - {name: seen, type: timestamp, classification: public}
  - {name: heat, type: double, classification: public}
  - {name: weight, type: double, classification: confidential}
  - {name: seats, type: bigint, classification: internal}
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
sql: SELECT flight_id, seen, heat, heat * weight AS load, seats FROM readings
event_time: seen
features: [{name: heat}, {name: load}, {name: seats, type: bigint}]
---
kind: feature_schema
name: features_v1
owner: sensors
features: [{view: heats, feature: heat}, {view: heats, feature: load}, {view: heats, feature: seats}]
---
kind: model
name: flight-delay
owner: sensors
---
kind: route
name: flight-delay
owner: sensors
model: flight-delay
entity_keys: [flight_id]
feature_schema: features_v1
shadow: {max_class: internal}
)";

// Classes as they come from the columns of a source, through a view's SQL and a schema.
class ClassesTest : public ::testing::Test {
 protected:
  ClassesTest() {
    catalog_.register_kinds(resources_);
    features_.register_kinds(resources_);
    resources_.add(
        {"model",
         [](sql::Tx&, const Call&, const json::object& in) -> Result<json::object> { return in; },
         {}});
    service_.classes_by(classes_of(*db_, catalog_));
    service_.register_kinds(resources_);
    must(must(olap_->session())
             ->run(
                 "COPY (SELECT 'UA1' AS flight_id, TIMESTAMP '2020-09-13 12:26:40' AS seen, 1.0 AS "
                 "heat, 2.0 AS weight, CAST(3 AS BIGINT) AS seats) TO '" +
                 folder_ / "readings.parquet" + "' (FORMAT parquet)"));
    resources::ApplyInput input;
    for (const auto& document : must(yaml::parse(declarations)))
      input.documents.push_back({.declaration = document.value.as_object()});
    must(resources_.apply(ana_, input));
  }
  const Classes& published() {
    return *service_.table().get()->routes.at("p1/flight-delay")->classes;
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
  ArtifactFinder find_ = [this](sql::Tx&, const Call&, const std::string&,
                                std::int64_t) -> Result<Artifact> {
    const std::string path = folder_ / "three.onnx";
    std::ofstream(path, std::ios::binary) << test::tiny_model({1, 1, 1}, 0);
    return Artifact{path, "three"};
  };
  Service service_{*db_,           world_.log(), world_.runtime(),      world_.clock,
                   world_.metrics, find_,        schemas_of(features_), {}};
};

TEST_F(ClassesTest, FollowTheColumnsThatFeaturesAreMadeOf) {
  must(db_->write(ana_, [&](sql::Tx& tx) {
    return service_.set_targets(tx, ana_, "flight-delay",
                                {{"flight-delay", 1, weight_total, Arm::live}}, "r1");
  }));
  must(service_.publish(ana_));
  const Classes classes = published();
  EXPECT_EQ(classes.features,
            (std::vector<Classification>{Classification::open, Classification::confidential,
                                         Classification::internal}));
  EXPECT_EQ(classes.entities.at("flight_id"), Classification::confidential);
  EXPECT_EQ(classes.input, Classification::restricted) << "nobody said what callers send";
  EXPECT_FALSE(must(service_.refresh_classes(ana_))) << "nothing changed";

  // Somebody confirms what a column holds.
  must(db_->write(ana_, [&](sql::Tx& tx) -> Result<void> {
    TRY(catalog::confirm_tag(tx, {.project = "p1",
                                  .source = "readings",
                                  .column_name = "heat",
                                  .tag = "health.diagnosis",
                                  .classification = Classification::restricted,
                                  .confirmed_by = "user:ana"}));
    return catalog::classes_changed(tx, "p1", "readings");
  }));
  EXPECT_TRUE(must(service_.refresh_classes(ana_)));
  EXPECT_EQ(published().features[0], Classification::restricted);
  EXPECT_EQ(published().features[1], Classification::restricted) << "made from it, too";
}

}  // namespace
}  // namespace penstock::serving
