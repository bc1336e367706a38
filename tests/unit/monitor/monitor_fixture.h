// Monitors over a real log and a real database; calls are made by hand.
#pragma once

#include <algorithm>
#include <gtest/gtest.h>

#include "adapters/duckdb/duckdb.h"
#include "adapters/rocksdb/rocksdb.h"
#include "base/yaml.h"
#include "catalog/service.h"
#include "features/feature_view.h"
#include "features/view_work.h"
#include "incidents/service.h"
#include "monitor/observer.h"
#include "monitor/service.h"
#include "monitor/store.h"
#include "serving/gateway.h"
#include "serving/route.h"
#include "serving/text.h"
#include "tests/support/fixture.h"

namespace penstock::monitor {

using test::must;

class MonitorTest : public testing::Test {
 protected:
  explicit MonitorTest(std::unique_ptr<sql::Database> db = test::database()) : db_(std::move(db)) {
    open();
    catalog_.register_kinds(resources_);
    resources_.add(
        {.kind = "feature_schema", .check = resources::checked_as<features::FeatureSchema>()});
    resources_.add({.kind = "route", .check = resources::checked_as<serving::RouteDeclaration>()});
    for (auto& kind : service_.kinds()) resources_.add(std::move(kind));
    apply(R"(kind: feature_schema
name: features_v1
owner: ml
features: [{view: delays, feature: delay}, {view: delays, feature: wind}]
views: {delays: 1}
---
kind: route
name: flight-delay
owner: desk
model: flight-delay
entity_keys: [flight_id]
feature_schema: features_v1
)");
  }

  // As after a crash: what was in memory is gone.
  void open() {
    observer_.reset();
    rocks_.reset();
    rocks_ = must(rocksdb::open(folder_ / "events"));
    events_ = std::make_unique<serving::EventReader>(rocks_->log());
    observer_ = std::make_unique<Observer>(*db_, *events_, *olap_, clock_, options_);
  }

  Result<resources::ApplyOutput> try_apply(const std::string& text) {
    resources::ApplyInput input;
    for (const auto& document : must(yaml::parse(text)))
      input.documents.push_back({.declaration = document.value.as_object()});
    return resources_.apply(test::call(), input);
  }
  void apply(const std::string& text) { must(try_apply(text)); }
  void declare(const std::string& name, const std::string& rest) {
    apply("kind: monitor\nname: " + name + "\nowner: ops\nroute: flight-delay\n" + rest);
  }

  // The day is of July 2013. Values go through all of [0, 1) in turn, and `delay` is added to them.
  serving::InferenceEvent event(int day, int number, double delay = 0) {
    const double value = static_cast<double>(number * 37 % 100) / 100;
    return {.id = "d" + std::to_string(day) + "-" + std::to_string(number),
            .at = clock_.now(),
            .event_time = *from_rfc3339("2013-07-01") + std::chrono::days(day - 1) +
                          std::chrono::seconds(number),
            .project = "p1",
            .route = "flight-delay",
            .model = "flight-delay",
            .version = 1,
            .feature_schema = "features_v1@1",
            .features = {value + delay, number % 10 ? std::optional(1.0) : std::nullopt},
            .oldest_feature_seconds = 100,
            .score = value,
            .decision = value >= 0.5,
            .total_micros = 1'000 + number};
  }
  std::vector<serving::InferenceEvent> day(int number, int calls, double delay = 0) {
    std::vector<serving::InferenceEvent> out;
    for (int i = 0; i < calls; ++i) out.push_back(event(number, i, delay));
    return out;
  }
  void send(const std::vector<serving::InferenceEvent>& events) {
    must(serving::record(rocks_->log(), events));
  }
  void label(const std::string& id, double value) {
    must(rocks_->log().append({{std::string(serving::label_topic), id,
                                serving::json_text(serving::Label{id, clock_.now(), "p1", value})}},
                              kv::Durability::process));
  }
  void run() {
    while (must(observer_->run_once())) {
    }
  }
  MonitorView shown(const std::string& name) { return must(service_.show(test::call(), {name})); }
  std::vector<RouteStats> stats(StatsBy by = StatsBy::version) {
    return must(service_.stats(test::call(), {"flight-delay", by})).stats;
  }
  // By their keys.
  std::vector<incidents::Incident> incidents() {
    auto found = must(incidents::Service(*db_, clock_).list(test::call(), {})).incidents;
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.dedup_key < b.dedup_key; });
    return found;
  }

  test::TempDir folder_;
  ManualClock clock_;
  std::unique_ptr<sql::Database> db_;
  std::unique_ptr<olap::Engine> olap_ = duckdb::open({.threads = 1});
  std::unique_ptr<rocksdb::Database> rocks_;
  ObserverOptions options_;
  std::unique_ptr<serving::EventReader> events_;
  std::unique_ptr<Observer> observer_;
  resources::Service resources_{*db_, clock_};
  catalog::Service catalog_{*db_, *olap_, clock_, {.data_directory = folder_.path()}};
  Service service_{*db_, clock_};
};

}  // namespace penstock::monitor
