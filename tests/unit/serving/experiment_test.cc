#include "serving/experiment.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "freezes/service.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using namespace std::chrono_literals;
using test::must;

class ExperimentTest : public ::testing::Test {
 protected:
  ExperimentTest() {
    resources_.add(
        {"model",
         [](sql::Tx&, const Call&, const json::object& in) -> Result<json::object> { return in; },
         {}});
    service_.register_kinds(resources_);
    resources_.add(policies_.kind());
    resources_.add(freezes_.kind());
    must(apply({{"kind", "model"}, {"name", "flight-delay"}, {"owner", "o"}}));
  }

  Result<resources::ApplyOutput> apply(const json::object& declaration) {
    return resources_.apply(call_, {.documents = {{.declaration = declaration}}});
  }
  static json::object route(const json::object& experiment) {
    return {{"kind", "route"},
            {"name", "flight-delay"},
            {"owner", "ml-platform"},
            {"model", "flight-delay"},
            {"entity_keys", json::array{"flight_id"}},
            {"feature_schema", "features_v1"},
            {"unit", "flight_id"},
            {"experiment", experiment}};
  }
  static json::object policy(const std::string& sql, const std::string& severity = "block") {
    return {{"kind", "policy"},
            {"name", "may-adapt"},
            {"owner", "platform"},
            {"severity", severity},
            {"applies_to", json::array{"adapt"}},
            {"message", "Not by itself"},
            {"sql", sql}};
  }
  void set(const std::vector<Target>& targets) {
    must(db_->write(call_, [&](sql::Tx& tx) {
      return service_.set_targets(tx, call_, "flight-delay", targets, "r1");
    }));
    must(service_.publish(call_));
  }
  // Answers, and rewards version 2 more often than the others.
  void call(int calls) {
    LabelsInput labels;
    for (int i = 0; i < calls; ++i, ++called_) {
      const auto made =
          must(gateway_.infer(call_, {.route = "flight-delay",
                                      .rows = {{{"flight_id", std::to_string(called_)}}}}))
              .predictions.at(0);
      const double reward = called_ % 10 < (made.version == 2 ? 6 : 3) ? 1 : 0;
      labels.labels.push_back({.prediction = made.id, .value = reward});
    }
    must(world_.telemetry.flush(10s));
    must(service_.add_labels(call_, labels));
    while (must(reports_.run_once())) {
    }
  }
  std::map<std::int64_t, std::int64_t> weights() {
    std::map<std::int64_t, std::int64_t> out;
    const auto route = service_.table().get()->routes.at("p1/flight-delay");
    for (const LiveTarget& target : route->targets) out[target.deployment->version] = target.weight;
    return out;
  }

  const Call call_ = test::call();
  test::TempDir directory_;
  test::World world_{directory_.path()};
  std::unique_ptr<sql::Database> db_ = test::database();
  ManualClock clock_;
  Metrics metrics_;
  resources::Service resources_{*db_, clock_};
  policies::Service policies_{*db_, resources_, clock_};
  freezes::Service freezes_{*db_, clock_};
  Service service_{
      *db_,
      world_.log(),
      world_.runtime(),
      clock_,
      metrics_,
      [this](sql::Tx&, const Call&, const std::string&, std::int64_t version) -> Result<Artifact> {
        return Artifact{world_.model_file(version), std::to_string(version)};
      },
      [](const Call&, const std::string&) -> Result<OpenSchema> { return test::flight_schema(); },
      {}};
  Gateway gateway_{service_.table(), world_.telemetry, world_.log(), clock_};
  EventReader events_{world_.log()};
  Reports reports_{events_, service_.table(), gateway_.mirrors()};
  Experiments experiments_{*db_, world_.log(), service_, reports_, clock_};
  int called_ = 0;
};

const json::object adaptive{{"id", "exp-1"}, {"adaptive", true}, {"floor", 1'000}, {"step", 800}};
const std::string holds = "SELECT 1 AS one WHERE 1 = 0";
const std::string refuses = "SELECT 'nobody watches at night' AS message";

TEST_F(ExperimentTest, AdaptsOnlyWherePoliciesLetIt) {
  const auto refused = [&](const std::string& says) {
    const auto got = apply(route(adaptive));
    ASSERT_FALSE(got);
    const std::string faults = test::faults_of(got.error());
    EXPECT_NE(faults.find("experiment.adaptive"), std::string::npos) << faults;
    EXPECT_NE(faults.find(says), std::string::npos) << faults;
  };
  refused("silence is no");
  must(apply(policy(holds, "warn")));
  refused("silence is no");
  must(apply(policy(refuses)));
  refused("nobody watches at night");
  json::object elsewhere = policy(holds);
  elsewhere["routes"] = json::array{"ticket-*"};
  must(apply(elsewhere));
  refused("silence is no");
  must(apply(policy(holds)));
  must(apply(route(adaptive)));
  json::object other = route({{"id", "exp-1"}});
  other["name"] = "other";
  EXPECT_NE(test::faults_of(apply(other).error()).find("of route flight-delay"), std::string::npos);
}

TEST_F(ExperimentTest, MovesTrafficToTheBetterArmStepByStep) {
  must(apply(policy(holds)));
  must(apply(route(adaptive)));
  set({{"flight-delay", 1, 5'000, Arm::live},
       {"flight-delay", 2, 5'000, Arm::canary},
       {"flight-delay", 3, 0, Arm::shadow}});
  call(20);
  EXPECT_FALSE(must(experiments_.adapt()));
  EXPECT_NE(must(experiments_.show(call_, {"exp-1"})).held.find("rewards of 50"),
            std::string::npos);
  call(400);
  EXPECT_FALSE(must(experiments_.adapt())) << "its pause is not over";
  std::map<std::string, std::int64_t> before;
  for (int flight = 0; flight < 500; ++flight)
    before[std::to_string(flight)] =
        choose(*service_.table().get()->routes.at("p1/flight-delay"), std::to_string(flight))
            ->deployment->version;
  std::int64_t last = 5'000;
  for (int turn = 0; turn < 6; ++turn) {
    clock_.advance(10min);
    EXPECT_TRUE(must(experiments_.adapt()));
    EXPECT_LE(weights()[2] - last, 800);
    EXPECT_GT(weights()[2], last);
    last = weights()[2];
    EXPECT_EQ(weights()[1] + weights()[2], 10'000);
    EXPECT_EQ(weights()[3], 0) << "a shadow is no arm";
    if (last > 8'900) break;
  }
  EXPECT_NEAR(static_cast<double>(last), 9'000, 100) << "the other one keeps its floor";
  clock_.advance(10min);
  must(experiments_.adapt());
  EXPECT_GE(weights()[1], 1'000);
  for (const auto& [flight, version] : before) {
    const auto now =
        choose(*service_.table().get()->routes.at("p1/flight-delay"), flight)->deployment->version;
    EXPECT_TRUE(now == version || now == 2) << "nobody was moved away from what gained";
  }
  EXPECT_EQ(test::count(*db_,
                        "audit_events WHERE action = 'serving.experiment.moved' AND actor = "
                        "'service:experiments'"),
            test::count(*db_, "audit_events WHERE action = 'serving.route.targets_set'") - 1);
  EXPECT_GT(test::count(*db_, "policy_results WHERE policy = 'may-adapt'"), 0);
  EXPECT_EQ(test::count(*db_, "route_targets WHERE release <> 'r1'"), 0);

  const ExperimentReport report = must(experiments_.show(call_, {"exp-1"}));
  EXPECT_EQ(report.route, "flight-delay");
  EXPECT_TRUE(report.adaptive);
  EXPECT_TRUE(report.moved_at);
  ASSERT_EQ(report.arms.size(), 2u);
  for (const ArmView& arm : report.arms) {
    EXPECT_EQ(arm.rewards, arm.calls);
    EXPECT_NEAR(*arm.reward.mean, arm.version == 2 ? 0.6 : 0.3, 0.15);
    EXPECT_LT(*arm.reward.lower, *arm.reward.mean);
    EXPECT_GT(*arm.reward.upper, *arm.reward.mean);
    EXPECT_EQ(*arm.best_chance > 0.95, arm.version == 2);
  }
}

TEST_F(ExperimentTest, StandsStillWhereItMayNotMoveAnyMore) {
  must(apply(policy(holds)));
  must(apply(route(adaptive)));
  set({{"flight-delay", 1, 5'000, Arm::live}, {"flight-delay", 2, 5'000, Arm::canary}});
  call(400);
  must(apply(policy(refuses)));
  EXPECT_FALSE(must(experiments_.adapt()));
  EXPECT_EQ(weights()[2], 5'000);
  EXPECT_NE(must(experiments_.show(call_, {"exp-1"})).held.find("nobody watches at night"),
            std::string::npos);
  must(apply(policy(holds)));
  must(apply({{"kind", "freeze"},
              {"name", "year-end"},
              {"owner", "platform"},
              {"reason", "the books are closed"},
              {"applies_to", json::array{"release"}},
              {"from", "2023-11-01T00:00:00Z"},
              {"until", "2023-12-01T00:00:00Z"}}));
  clock_.advance(10min);
  EXPECT_FALSE(must(experiments_.adapt()));
  EXPECT_NE(must(experiments_.show(call_, {"exp-1"})).held.find("freeze year-end"),
            std::string::npos);
  clock_.advance(24h * 30);
  // Rolled back, there is one arm, whatever was seen.
  set({{"flight-delay", 1, 10'000, Arm::live}});
  clock_.advance(10min);
  EXPECT_FALSE(must(experiments_.adapt()));
  EXPECT_EQ(weights()[1], 10'000);
  EXPECT_EQ(experiments_.show(call_, {"nope"}).error().code, Code::not_found);
  Call other = call_;
  other.project = "p2";
  EXPECT_EQ(experiments_.show(other, {"exp-1"}).error().code, Code::not_found);
}

}  // namespace
}  // namespace penstock::serving
