// A gateway over a real log and real models; the table is made by hand, the features by a rule.
#pragma once

#include <fstream>

#include "adapters/onnx/onnx.h"
#include "adapters/rocksdb/rocksdb.h"
#include "serving/gateway.h"
#include "serving/text.h"
#include "tests/support/fixture.h"
#include "tests/unit/serving/tiny_model.h"

namespace penstock::test {

// Two features of a flight: a number that follows from its id, and one that is always missing.
inline serving::OpenSchema flight_schema() {
  return {"features_v1@1",
          {"delay", "unknown"},
          [](const serving::Entities& entities, Timestamp) -> Result<serving::FeatureRow> {
            const std::string& flight = entities.at("flight_id");
            if (flight == "broken") return Error{Code::unavailable, "the feature store is away"};
            const double delay =
                static_cast<double>(std::hash<std::string>()(flight) % 1000) / 250.0 - 2;
            return serving::FeatureRow{{delay, std::nullopt}, 60.0};
          }};
}

inline serving::RouteDeclaration flight_route() {
  return {.name = "flight-delay",
          .owner = "ml-platform",
          .model = "flight-delay",
          .entity_keys = {"flight_id"},
          .feature_schema = "features_v1",
          .unit = "flight_id",
          .threshold = 0.4};
}

class World {
 public:
  explicit World(const std::string& directory)
      : directory_(directory),
        rocks_(must(rocksdb::open(directory + "/events"))),
        runtime_(onnx::open({})),
        telemetry(log(), metrics),
        gateway(table, telemetry, log(), clock) {}

  events::Log& log() { return rocks_->log(); }
  infer::Runtime& runtime() { return *runtime_; }

  std::string model_file(std::int64_t version) const {
    const std::string path = directory_ + "/v" + std::to_string(version) + ".onnx";
    std::ofstream(path, std::ios::binary) << tiny_model({1, 1}, static_cast<float>(version) - 1);
    return path;
  }

  std::shared_ptr<const serving::Deployment> deployment(std::int64_t version) {
    auto& known = deployments_[version];
    if (!known)
      known = std::make_shared<const serving::Deployment>(
          serving::Deployment{.model = "flight-delay",
                              .version = version,
                              .runtime = must(runtime_->load(model_file(version)))});
    return known;
  }

  serving::LiveRoute route(const std::vector<serving::Target>& targets,
                           const std::string& release = "r1") {
    serving::LiveRoute route{
        .project = "p1", .declaration = flight_route(), .features = flight_schema()};
    for (const serving::Target& target : targets) {
      auto& counters = counters_[target.version];
      if (!counters) counters = std::make_shared<serving::Counters>();
      route.targets.push_back(
          {.arm = target.arm,
           .weight = target.weight,
           .release = release,
           .seed = serving::seed_of("flight-delay", release, "flight-delay", target.version),
           .deployment = deployment(target.version),
           .counters = counters});
    }
    route.mirrors_running = mirrors_;
    route.seconds = &metrics.histogram("seconds", "");
    return route;
  }

  void serve(const std::vector<serving::Target>& targets) { serve(route(targets)); }
  void serve(serving::LiveRoute route) {
    auto next = std::make_shared<serving::RoutingTable>();
    next->number = ++number_;
    next->routes["p1/flight-delay"] = std::make_shared<const serving::LiveRoute>(std::move(route));
    table.set(std::move(next));
  }

  std::vector<serving::InferenceEvent> events() {
    must(telemetry.flush(std::chrono::seconds(10)));
    std::vector<serving::InferenceEvent> out;
    while (true) {
      const auto records =
          must(log().read(serving::inference_topic, static_cast<std::int64_t>(out.size()), 10'000));
      if (records.empty()) return out;
      for (const events::Record& record : records)
        out.push_back(must(serving::read_json<serving::InferenceEvent>(record.value)));
    }
  }

 private:
  std::string directory_;
  std::unique_ptr<rocksdb::Database> rocks_;
  std::unique_ptr<infer::Runtime> runtime_;
  std::map<std::int64_t, std::shared_ptr<const serving::Deployment>> deployments_;
  std::map<std::int64_t, std::shared_ptr<serving::Counters>> counters_;
  std::shared_ptr<std::atomic<std::int64_t>> mirrors_ =
      std::make_shared<std::atomic<std::int64_t>>(0);
  std::int64_t number_ = 0;

 public:
  SystemClock clock;
  Metrics metrics;
  serving::TableHolder table;
  serving::Telemetry telemetry;  // no writer: what reads it flushes it
  serving::Gateway gateway;
};

}  // namespace penstock::test
