#include "serving/reports.h"

#include <gtest/gtest.h>

#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using test::must;

class ReportsTest : public ::testing::Test {
 protected:
  ReportsTest() {
    world_.gateway.mirrors().price_by(
        [](const InferenceEvent&) { return std::optional(Money{10'000'000'000}); });
  }
  void call(int calls) {
    for (int i = 0; i < calls; ++i) {
      auto answer = must(world_.gateway.infer(
          test::call(), {.route = "flight-delay", .rows = {{{"flight_id", std::to_string(i)}}}}));
      if (answer.after) answer.after();
    }
  }
  void read(Reports& reports) {
    must(world_.telemetry.flush(std::chrono::seconds(10)));
    while (must(reports.run_once())) {
    }
  }
  void label(const std::string& prediction, double value) {
    must(world_.log().append(
        {{std::string(label_topic), prediction,
          json_text(Label{.prediction = prediction, .project = "p1", .value = value})}},
        kv::Durability::process));
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
  EventReader events_{world_.log()};
  Reports reports_{events_, world_.table, world_.gateway.mirrors()};
};

TEST_F(ReportsTest, AddsUpHowShadowsCompare) {
  auto route = world_.route({{"flight-delay", 1, weight_total, Arm::live},
                             {"flight-delay", 2, 0, Arm::shadow},
                             {"flight-delay", 3, 0, Arm::shadow}});
  route.declaration.shadow.max_concurrency = 1;  // of the two, the second is always too many
  route.declaration.shadow.max_cost_per_day = Money::whole(1);
  world_.serve(route);
  call(60);
  read(reports_);
  const ShadowReport report = must(reports_.shadows(test::call(), "flight-delay"));
  EXPECT_EQ(report.spent_today, (Money{60 * Money::per_whole / 100}));
  ASSERT_EQ(report.shadows.size(), 2u);
  const ShadowView& shadow = report.shadows[0];
  EXPECT_EQ(shadow.version, 2);
  EXPECT_TRUE(shadow.running);
  EXPECT_EQ(shadow.calls, 60);
  EXPECT_EQ(shadow.mirrored, 60);
  int agreed = 0;
  double difference = 0;
  for (const InferenceEvent& event : world_.events())
    if (event.mode == Mode::shadow) {
      agreed += event.comparison.at("agreement") == 1 ? 1 : 0;
      difference += event.comparison.at("score_difference");
    }
  EXPECT_DOUBLE_EQ(*shadow.agreement, agreed / 60.0);
  ASSERT_EQ(shadow.differences.size(), 3u);
  EXPECT_EQ(shadow.differences[2].what, "score_difference");
  EXPECT_NEAR(*shadow.differences[2].mean, difference / 60, 1e-12);
  EXPECT_GT(*shadow.differences[2].p95, *shadow.differences[2].p05);
  EXPECT_EQ(report.shadows[1].calls, 0) << "one that gets nothing is shown, too";
  EXPECT_EQ(report.shadows[1].not_mirrored, 60);
  EXPECT_EQ(must(reports_.shadows(test::call(), "flight-delay")).shadows[0].calls, 60);
  EXPECT_EQ(reports_.shadows(test::call(), "nope").error().code, Code::not_found);

  // Another process reads on where this one was, and knows what was spent.
  Mirrors mirrors(world_.clock, [](auto) {});
  EventReader its_events(world_.log());
  Reports again(its_events, world_.table, mirrors);
  EXPECT_FALSE(must(again.run_once()));
  const auto today =
      std::chrono::floor<std::chrono::days>(world_.clock.now().time_since_epoch()).count();
  EXPECT_EQ(again.spent("p1/flight-delay", today), report.spent_today);
  EXPECT_EQ(again.spent("p1/flight-delay", today - 1), Money{});
}

TEST_F(ReportsTest, CountsCallsAndRewardsOfAnExperimentsArms) {
  auto route = world_.route(
      {{"flight-delay", 1, 5'000, Arm::live}, {"flight-delay", 2, 5'000, Arm::canary}});
  route.declaration.experiment = Experiment{.id = "exp-1"};
  world_.serve(route);
  call(100);
  EXPECT_FALSE(must(world_.gateway.infer(test::call(), {.route = "flight-delay",
                                                        .version = 1,
                                                        .rows = {{{"flight_id", "asked"}}}}))
                   .after)
      << "asked for, so no part of it";
  std::map<std::int64_t, std::int64_t> calls, ones;
  const auto events = world_.events();
  for (const InferenceEvent& event : events) {
    if (event.experiment.empty()) continue;
    ++calls[event.version];
    const double reward = event.version == 2 || calls[event.version] % 2 ? 1 : 0;
    ones[event.version] += reward == 1 ? 1 : 0;
    label(event.id, reward);
  }
  label(events.back().id, 1);  // of the one that was asked for
  label("nobody", 1);
  read(reports_);
  ExperimentTally tally = *must(reports_.experiment("p1", "exp-1"));
  EXPECT_EQ(tally.route, "flight-delay");
  ASSERT_EQ(tally.arms.size(), 2u);
  for (const ArmTally& arm : tally.arms) {
    EXPECT_EQ(arm.calls, calls[arm.version]);
    EXPECT_EQ(arm.rewards, calls[arm.version]);
    EXPECT_EQ(arm.reward_sum, static_cast<double>(ones[arm.version]));
    EXPECT_EQ(arm.between, 0);
  }
  // A label that is corrected counts once, as it is now.
  const ArmTally before = tally.arms[0];
  for (const InferenceEvent& event : events)
    if (event.version == before.version && !event.experiment.empty()) {
      label(event.id, 0.5);
      label(event.id, 0);
      break;
    }
  read(reports_);
  tally = *must(reports_.experiment("p1", "exp-1"));
  EXPECT_EQ(tally.arms[0].rewards, before.rewards);
  EXPECT_EQ(tally.arms[0].between, 0);
  EXPECT_EQ(tally.arms[0].reward_sum, before.reward_sum - 1);
  EXPECT_FALSE(must(reports_.experiment("p2", "exp-1"))) << "of another project";
}

// What a shadow said is no answer: no id leads to it, and no id repeats it.
TEST_F(ReportsTest, GivesShadowsNoIdThatACallerMayUse) {
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}, {"flight-delay", 2, 0, Arm::shadow}});
  const InferRequest request{.route = "flight-delay", .id = "c", .rows = {{{"flight_id", "UA1"}}}};
  must(world_.gateway.infer(test::call(), request)).after();
  ASSERT_EQ(world_.events().back().id, "c.shadow.v2");
  EXPECT_FALSE(must(recorded(world_.log(), gateway_group, "p1", "c.shadow.v2")));
  InferRequest guess = request;
  guess.id = "c.shadow.v2";
  // Its lines are in the ledger: a call under its id would be paid by nobody.
  const auto guessed = world_.gateway.infer(test::call(), guess);
  ASSERT_FALSE(guessed);
  EXPECT_EQ(guessed.error().code, Code::invalid_argument);
  EXPECT_EQ(guessed.error().message.find("version"), std::string::npos) << "and says nothing of it";
}

}  // namespace
}  // namespace penstock::serving
