// Features over the real DuckDB, local files and RocksDB or Redis, with two views of made-up
// readings.
#pragma once

#include <gtest/gtest.h>

#include "adapters/duckdb/duckdb.h"
#include "adapters/localfs/localfs.h"
#include "base/yaml.h"
#include "features/service.h"
#include "tests/support/fixture.h"
#include "tests/support/online_store.h"

namespace penstock::features {

inline Timestamp at(std::int64_t seconds) {
  return Timestamp(std::chrono::seconds(1'600'000'000 + seconds));
}

// A row of the source "readings". Times are seconds; an absent one is NULL.
struct Reading {
  std::optional<std::string> place;
  std::optional<std::int64_t> sensor, time, created;
  std::optional<double> heat;
  std::optional<std::string> note;
};

inline std::string sql_text(const std::optional<std::string>& text) {
  return text ? olap::quoted_text(*text) : "NULL";
}
inline std::string sql_time(const std::optional<std::int64_t>& seconds) {
  return seconds ? "TIMESTAMP '" + to_rfc3339(at(*seconds)).substr(0, 19) + "'" : "NULL";
}
template <class T>
std::string sql_number(const std::optional<T>& number) {
  return number ? std::to_string(*number) : "NULL";
}

class FeaturesTest : public testing::Test {
 protected:
  FeaturesTest() {
    catalog_.register_kinds(resources_);
    features_.register_kinds(resources_);
  }

  void run(const std::string& sql) { test::must(test::must(olap_->session())->run(sql)); }
  std::vector<std::vector<Scalar>> rows(const std::string& sql) {
    return test::must(test::must(olap_->session())->query(sql)).rows;
  }

  void given(const std::vector<Reading>& readings) {
    std::string values =
        "(NULL::VARCHAR, NULL::BIGINT, NULL::TIMESTAMP, NULL::TIMESTAMP, "
        "NULL::DOUBLE, NULL::VARCHAR, true)";
    for (const Reading& r : readings)
      values += ", (" + sql_text(r.place) + ", " + sql_number(r.sensor) + ", " + sql_time(r.time) +
                ", " + sql_time(r.created) + ", " + sql_number(r.heat) + ", " + sql_text(r.note) +
                ", false)";
    run("COPY (SELECT place, sensor, seen, created, heat, note FROM (VALUES " + values +
        ") AS t(place, sensor, seen, created, heat, note, first) WHERE NOT first) TO '" +
        folder_ / "readings.parquet" + "' (FORMAT parquet)");
  }

  Result<resources::ApplyOutput> apply(const std::string& yaml) {
    resources::ApplyInput input;
    for (const auto& document : test::must(yaml::parse(yaml)))
      input.documents.push_back({.declaration = document.value.as_object()});
    return resources_.apply(ana_, input);
  }
  std::string faults(const std::string& yaml) {
    const auto out = apply(yaml);
    return out ? "" : test::faults_of(out.error());
  }

  static std::string source() {
    return R"(kind: source
name: readings
owner: sensors
path: readings.parquet
columns:
  - {name: place, type: text, classification: public}
  - {name: sensor, type: bigint, classification: public}
  - {name: seen, type: timestamp, classification: public}
  - {name: created, type: timestamp, classification: public}
  - {name: heat, type: double, classification: internal}
  - {name: note, type: text, classification: confidential}
---
kind: entity
name: sensor
owner: sensors
join_keys: [{name: place, type: text}, {name: sensor, type: bigint}]
---
kind: entity
name: place
owner: sensors
join_keys: [{name: place, type: text}]
---
)";
  }
  // sensor_heat has created times and a TTL of 5 s, place_heat neither.
  static std::string views() {
    return R"(kind: feature_view
name: sensor_heat
owner: sensors
entity: sensor
sources: [readings]
sql: SELECT place, sensor, seen, created, heat, note FROM readings
event_time: seen
created_time: created
ttl: 5s
features: [{name: heat}, {name: note, type: text}]
---
kind: feature_view
name: place_heat
owner: sensors
entity: place
sources: [readings]
sql: SELECT place, seen AS happened, heat AS place_heat, sensor AS last_sensor, heat > 1 AS hot FROM readings
event_time: happened
features: [{name: place_heat}, {name: last_sensor, type: bigint}, {name: hot, type: boolean}]
---
)";
  }
  static std::string schema() {
    return R"(kind: feature_schema
name: features_v1
owner: sensors
features:
  - {view: place_heat, feature: place_heat}
  - {view: sensor_heat, feature: heat}
  - {view: sensor_heat, feature: note}
  - {view: place_heat, feature: hot}
  - {view: place_heat, feature: last_sensor}
)";
  }

  FeatureRow read(const std::string& place, std::int64_t sensor, std::int64_t seconds) {
    const auto handle = test::must(features_.open_schema(ana_, "features_v1"));
    return test::must(features_.read(
        *handle, {{"place", place}, {"sensor", std::to_string(sensor)}}, at(seconds)));
  }
  std::int64_t materialize(std::int64_t seconds) {
    return test::must(features_.materialize(ana_, {.until = at(seconds)})).rows;
  }

  test::TempDir folder_;
  const Call ana_ = test::call("user:ana");
  ManualClock clock_;
  Metrics metrics_;
  std::unique_ptr<sql::Database> db_ = test::database();
  std::unique_ptr<olap::Engine> olap_ = duckdb::open({.threads = 2});
  std::unique_ptr<blob::Store> blobs_ = test::must(localfs::open(folder_ / "blobs"));
  std::unique_ptr<test::OnlineStore> rocks_ =
      std::make_unique<test::OnlineStore>(folder_ / "rocks");
  resources::Service resources_{*db_, clock_};
  catalog::Service catalog_{*db_, *olap_, clock_, {.data_directory = folder_.path()}};
  Service features_{
      *db_,     *olap_, *blobs_,  rocks_->store(),
      catalog_, clock_, metrics_, {.scratch = folder_ / "scratch", .lookup = &duckdb::lookups()}};
};

}  // namespace penstock::features
