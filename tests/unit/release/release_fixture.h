// Releases over a real database, a real log and real models; calls and labels are made by hand.
#pragma once

#include <random>
#include <gtest/gtest.h>

#include "adapters/duckdb/duckdb.h"
#include "catalog/service.h"
#include "incidents/service.h"
#include "registry/service.h"
#include "release/controller.h"
#include "release/service.h"
#include "serving/service.h"
#include "tests/unit/serving/world.h"

namespace penstock::release {

using test::must;

class ReleaseTest : public ::testing::Test {
 protected:
  ReleaseTest() {
    for (const char* field : {"eval_report", "artifact_uri"})
      registry_.verify_with(
          field,
          [](sql::Tx&, const Call&, const std::string& text) -> Result<std::optional<std::string>> {
            return std::optional("evaluation:" + text);
          });
    catalog_.register_kinds(resources_);
    resources_.add(registry_.kind());
    serving_.register_kinds(resources_);
    apply({{"kind", "model"}, {"name", "flight-delay"}, {"owner", "ml"}});
    apply({{"kind", "route"},
           {"name", "flight-delay"},
           {"owner", "desk"},
           {"model", "flight-delay"},
           {"entity_keys", json::array{"flight_id"}},
           {"feature_schema", "features_v1"},
           {"unit", "flight_id"},
           {"threshold", 0.4}});
    for (int version = 1; version <= 3; ++version) add_version(version);
    restart();
  }

  void apply(const json::object& declaration) {
    must(resources_.apply(ana_, {.documents = {{.declaration = declaration}}}));
  }
  void add_version(std::int64_t version) {
    registry::Record record{.model_id = "flight-delay-v" + std::to_string(version),
                            .artifact_uri = "x",
                            .eval_report = "eval",
                            .owner = "ml"};
    if (version > 1) record.rollback_to = "flight-delay-v" + std::to_string(version - 1);
    must(registry_.register_version(ana_, record));
    must(registry_.approve(bo_, {.model = "flight-delay",
                                 .version = "v" + std::to_string(version),
                                 .scope = "production"}));
  }

  // As a new process: nothing is known but what the database, the log and the table's file keep.
  void restart() {
    controller_ = std::make_unique<Controller>(service_, *db_, events_, serving_, clock_);
  }

  static Plan plan(std::vector<Guard> guards = {{.name = "errors", .safe_ratio = 2}}) {
    return {.shadow = {20},
            .canary = {2'000, 5'000},
            .stage = {50},
            .bake = {50},
            .watch = {50},
            .guards = std::move(guards)};
  }
  Result<Release> create(std::int64_t version, const Plan& with) {
    return service_.create(
        ana_, {.route = "flight-delay", .model = "flight-delay", .version = version, .plan = with});
  }
  std::string start(std::int64_t version, const Plan& with = plan()) {
    const Release made = must(create(version, with));
    must(service_.approve(bo_, {.id = made.id}));
    return made.id;
  }
  // v1 live, with nothing to be compared with and its watch over.
  std::string first() {
    const std::string id = start(1);
    play(id, 60);
    EXPECT_EQ(state(id), State::closed);
    return id;
  }

  struct Rates {
    double live = 0.02, canary = 0.02;
    // Whether what is bad is the call itself, or the decision once its label has come.
    bool of_labels = false;
    // Of the calls that should fall on the canary, how many do.
    double honest = 1;
  };
  // Calls as the gateway would have answered them, by the weights of now, then one turn.
  void play(const std::string& id, int calls, const Rates& rates) {
    const Release release = get(id);
    const auto targets = must(
        db_->read(ana_, [&](sql::Tx& tx) { return serving_.targets(tx, ana_, "flight-delay"); }));
    double rho = 0;
    bool shadow = false;
    for (const serving::StoredTarget& target : targets) {
      if (target.arm == serving::Arm::canary) rho = static_cast<double>(target.weight) / 10'000;
      shadow = shadow || target.arm == serving::Arm::shadow;
    }
    std::vector<serving::InferenceEvent> events;
    std::vector<events::Append> labels;
    std::uniform_real_distribution<double> chance(0, 1);
    for (int i = 0; i < calls; ++i) {
      const bool canary = chance(random_) < rho * rates.honest;
      serving::InferenceEvent event{.id = "call-" + std::to_string(++calls_),
                                    .at = clock_.now(),
                                    .event_time = clock_.now(),
                                    .project = "p1",
                                    .route = "flight-delay",
                                    .release = id,
                                    .model = "flight-delay",
                                    .version = canary ? release.version : release.from_version,
                                    .arm = canary ? serving::Arm::canary : serving::Arm::live,
                                    .assignment_probability = canary ? rho : 1 - rho,
                                    .unit = std::to_string(calls_),
                                    .score = 0.9,
                                    .decision = true,
                                    .total_micros = 1'000};
      const bool bad = chance(random_) < (canary ? rates.canary : rates.live);
      if (rates.of_labels)
        labels.push_back(
            {std::string(serving::label_topic), event.id,
             serving::json_text(serving::Label{event.id, clock_.now(), "p1", bad ? 0.0 : 1.0})});
      else if (bad)
        event.error = "internal";
      events.push_back(event);
      if (!shadow) continue;
      event.id += "-shadow";
      event.arm = serving::Arm::shadow;
      event.mode = serving::Mode::shadow;
      event.version = release.version;
      events.push_back(event);
    }
    must(serving::record(world_.log(), events));
    if (!labels.empty()) must(world_.log().append(labels, kv::Durability::process));
    turn();
  }
  void play(const std::string& id, int calls) { play(id, calls, Rates{}); }
  void turn() {
    while (must(controller_->advance())) {
    }
  }
  // Until it ends, or for so many turns.
  State play_out(const std::string& id, const Rates& rates, int turns = 400) {
    for (int i = 0; i < turns && has_traffic(state(id)); ++i) play(id, 100, rates);
    return state(id);
  }

  Release get(const std::string& id) { return must(service_.get(ana_, {id})).release; }
  State state(const std::string& id) { return get(id).state; }
  // "v1 8000 live, v2 2000 canary" as SQL has it, and as callers get it.
  std::string stored() {
    std::string text;
    for (const auto& target : must(db_->read(
             ana_, [&](sql::Tx& tx) { return serving_.targets(tx, ana_, "flight-delay"); })))
      text += say(target.version, target.weight, target.arm);
    return text;
  }
  std::string served() {
    const auto table = serving_.table().get();
    const auto found = table->routes.find("p1/flight-delay");
    std::string text;
    if (found != table->routes.end())
      for (const auto& target : found->second->targets)
        text += say(target.deployment->version, target.weight, target.arm);
    return text;
  }
  static std::string say(std::int64_t version, std::int64_t weight, serving::Arm arm) {
    return "v" + std::to_string(version) + " " + std::to_string(weight) + " " +
           std::string(name_of(arm)) + "; ";
  }
  registry::Status status(std::int64_t version) {
    return must(db_->read(ana_,
                          [&](sql::Tx& tx) {
                            return registry::version(tx, "p1", "flight-delay", version);
                          }))
        .status;
  }
  std::vector<incidents::Incident> incidents() {
    return must(incidents::Service(*db_, clock_).list(ana_, {})).incidents;
  }

  const Call ana_ = test::call("user:ana"), bo_ = test::call("user:bo"),
             cy_ = test::call("user:cy");
  test::TempDir folder_;
  std::unique_ptr<sql::Database> db_ = test::database();
  std::unique_ptr<olap::Engine> olap_ = duckdb::open({});
  test::World world_{folder_.path()};
  SystemClock clock_;
  Metrics metrics_;
  resources::Service resources_{*db_, clock_};
  catalog::Service catalog_{*db_, *olap_, clock_, {.data_directory = folder_.path()}};
  registry::Service registry_{*db_, clock_};
  serving::Service serving_{
      *db_,
      world_.log(),
      world_.runtime(),
      clock_,
      metrics_,
      [this](sql::Tx&, const Call&, const std::string&,
             std::int64_t version) -> Result<serving::Artifact> {
        return serving::Artifact{world_.model_file(version), "digest-" + std::to_string(version)};
      },
      [](const Call&, const std::string&) -> Result<serving::OpenSchema> {
        return test::flight_schema();
      },
      {.table_path = folder_ / "routing_table.json"}};
  Service service_{*db_, serving_, clock_};
  serving::EventReader events_{world_.log()};
  std::unique_ptr<Controller> controller_;
  std::mt19937 random_{1};
  std::int64_t calls_ = 0;
};

}  // namespace penstock::release
