// Views with work of their own, and who is told of it.
#pragma once

#include "features/operations.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {

class OperationsTest : public FeaturesTest {
 protected:
  OperationsTest() {
    listen(features_);
    clock_.set(at(100));
  }

  void listen(Service& service) {
    service.operations().on_trouble(
        [this](sql::Tx&, const Call& call, Timestamp, const Trouble& trouble) -> Result<void> {
          told_.push_back((trouble.over ? "over " : "") + call.project + " " + trouble.view_urn +
                          " " + trouble.key);
          last_ = trouble;
          return {};
        });
  }

  // `more` stands in the declaration of sensor_heat, which has created times and no TTL.
  static std::string sensor_heat(const std::string& more) {
    return R"(kind: feature_view
name: sensor_heat
owner: sensors
entity: sensor
sources: [readings]
sql: SELECT place, sensor, seen, created, heat, note FROM readings
event_time: seen
created_time: created
features: [{name: heat}, {name: note, type: text}]
)" + more + "---\n";
  }
  static std::string place_heat(const std::string& more) {
    return R"(kind: feature_view
name: place_heat
owner: sensors
entity: place
sources: [readings]
sql: SELECT place, seen AS happened, heat AS place_heat FROM readings
event_time: happened
features: [{name: place_heat}]
)" + more + "---\n";
  }

  // Of the newest version, or of that one.
  ViewStatus status(const std::string& view, std::int64_t version = 0) {
    std::optional<ViewStatus> found;
    for (ViewStatus& one : test::must(features_.list(ana_)).views)
      if (one.view.name == view && (version == 0 || one.version == version)) found = one;
    if (!found) throw std::runtime_error("there is no view " + view);
    return *found;
  }
  Result<MaterializeOutput> move(std::int64_t seconds, std::vector<std::string> views = {}) {
    return features_.materialize(ana_, {.views = std::move(views), .until = at(seconds)});
  }
  // Every turn that is due now.
  int run_all(Service& service) {
    int turns = 0;
    while (test::must(service.operations().run_due())) ++turns;
    return turns;
  }
  std::vector<std::string> told() { return std::exchange(told_, {}); }
  std::string value_of(const std::string& feature, const std::string& place, std::int64_t sensor) {
    const auto out = test::must(features_.online(
        ana_, {.features = {feature},
               .entities = {{{"place", place}, {"sensor", std::to_string(sensor)}}},
               .event_time = at(1000)}));
    return json::serialize(out.rows.at(0).values.at(0)) + " " +
           std::string(name_of(out.rows.at(0).statuses.at(0)));
  }

  std::vector<std::string> told_;
  Trouble last_;
};

}  // namespace penstock::features
