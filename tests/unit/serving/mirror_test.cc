#include "serving/mirror.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "serving/classes.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using catalog::Classification;
using test::must;

const Money cent{10'000'000'000};

class MirrorTest : public ::testing::Test {
 protected:
  LiveRoute shadowed() {
    return world_.route(
        {{"flight-delay", 1, weight_total, Arm::live}, {"flight-delay", 2, 0, Arm::shadow}});
  }
  // Answers one call and runs its mirrors. The events that came of it.
  std::vector<InferenceEvent> call(const InferRequest& request) {
    const std::size_t before = world_.events().size();
    auto answer = must(world_.gateway.infer(test::call(), request));
    if (answer.after) answer.after();
    auto events = world_.events();
    events.erase(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(before));
    return events;
  }
  static InferRequest flight(const std::string& flight, const std::string& id = "") {
    return {.route = "flight-delay", .id = id, .rows = {{{"flight_id", flight}}}};
  }
  static infer::Tensor matrix(const std::vector<float>& values) {
    infer::Tensor tensor{"features", "FP32", {1, static_cast<std::int64_t>(values.size())}, {}};
    tensor.bytes.assign(reinterpret_cast<const char*>(values.data()),
                        values.size() * sizeof(float));
    return tensor;
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
};

TEST_F(MirrorTest, ComparesTheShadowWithWhatWasAnswered) {
  world_.gateway.mirrors().price_by([](const InferenceEvent& event) {
    return std::optional(Money{event.version == 1 ? cent.units : 3 * cent.units});
  });
  world_.serve(shadowed());
  int agreed = 0;
  for (int i = 0; i < 40; ++i) {
    const auto events = call(flight("UA" + std::to_string(i)));
    ASSERT_EQ(events.size(), 2u);
    const InferenceEvent &live = events[0], &shadow = events[1];
    EXPECT_EQ(shadow.shadow_of, live.id);
    EXPECT_EQ(shadow.id, live.id + ".shadow.v2");
    ASSERT_EQ(shadow.comparison.size(), 4u);
    EXPECT_EQ(shadow.comparison.at("score_difference"), *shadow.score - *live.score);
    EXPECT_EQ(shadow.comparison.at("agreement"), *shadow.decision == *live.decision ? 1 : 0);
    EXPECT_EQ(shadow.comparison.at("latency_difference_micros"),
              static_cast<double>(shadow.total_micros - live.total_micros));
    EXPECT_DOUBLE_EQ(shadow.comparison.at("cost_difference"), 0.02);
    agreed += shadow.comparison.at("agreement") == 1 ? 1 : 0;
  }
  EXPECT_GT(agreed, 0);
  EXPECT_LT(agreed, 40) << "the two versions do not always decide alike";
}

TEST_F(MirrorTest, ShowsAShadowNothingAboveItsClass) {
  auto route = shadowed();
  route.declaration.shadow.max_class = Classification::internal;
  route.classes = std::make_shared<const Classes>(
      Classes{.features = {Classification::confidential, Classification::open},
              .entities = {{"flight_id", Classification::confidential}}});
  world_.serve(route);
  const auto events = call(flight("UA1"));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_TRUE(events[0].features[0]) << "the caller's own answer saw it";
  EXPECT_FALSE(events[1].features[0]);
  EXPECT_EQ(events[1].entities.count("flight_id"), 0u);
  EXPECT_EQ(events[1].unit.find("UA1"), std::string::npos);
  const double without = 1 / (1 + std::exp(-1.0));  // its bias alone
  EXPECT_NEAR(*events[1].score, without, 1e-6) << "it ran on what was left";

  // The same features, sent by the caller.
  const auto sent = call({.route = "flight-delay", .tensors = {matrix({2, 3})}});
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_NEAR(*sent[1].score, 1 / (1 + std::exp(-(3.0 + 1))), 1e-6);
  EXPECT_EQ(sent[1].features, (std::vector<std::optional<double>>{std::nullopt, 3.0}));

  route.declaration.shadow.max_class = Classification::restricted;
  world_.serve(route);
  EXPECT_EQ(call(flight("UA1"))[1].features, call(flight("UA1"))[0].features);
}

// What nobody classified is not shown: a table that was made without the catalog, a caller's
// tensor.
TEST_F(MirrorTest, TakesTheUnknownForTheStrictest) {
  auto route = shadowed();
  route.declaration.shadow.max_class = Classification::confidential;
  world_.serve(route);
  const auto events = call(flight("UA1"));
  EXPECT_EQ(events.at(1).features, (std::vector<std::optional<double>>{{}, {}}));
  EXPECT_EQ(call({.route = "flight-delay", .tensors = {matrix({2, 3})}}).size(), 1u);
  EXPECT_EQ(route.targets[1].counters->withheld, 1);

  route.classes = std::make_shared<const Classes>(Classes{.input = Classification::confidential});
  world_.serve(route);
  EXPECT_EQ(call({.route = "flight-delay", .tensors = {matrix({2, 3})}}).size(), 2u)
      << "declared low enough, it is shown as it is";
}

TEST_F(MirrorTest, StopsAtTheCostOfItsDay) {
  auto route = shadowed();
  route.declaration.shadow.max_cost_per_day = Money{cent.units * 5};
  world_.serve(route);
  EXPECT_EQ(call(flight("UA1")).size(), 1u) << "without a price nobody can keep to a cap";
  EXPECT_EQ(route.targets[1].counters->capped, 1);
  const auto unpriced = world_.gateway.mirrors().take_capped();
  ASSERT_EQ(unpriced.size(), 1u);
  EXPECT_TRUE(unpriced[0].unpriced);
}

TEST_F(MirrorTest, SpendsNoMoreThanItsCapHoweverManyCallAtOnce) {
  auto route = shadowed();
  route.declaration.shadow.max_cost_per_day = Money{cent.units * 50 + 1};
  route.declaration.shadow.max_concurrency = 64;
  Mirrors& mirrors = world_.gateway.mirrors();
  mirrors.price_by([](const InferenceEvent&) { return std::optional(cent); });
  mirrors.spent_before([](const std::string& key, std::int64_t) {
    return key == "p1/flight-delay" ? Money{cent.units * 10} : Money{};
  });
  world_.serve(route);
  std::atomic<int> shadows = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread)
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) {
          auto answer = must(world_.gateway.infer(test::call(), flight("UA1")));
          if (!answer.after) continue;
          ++shadows;
          answer.after();
        }
      });
  }
  EXPECT_EQ(shadows, 40) << "ten of fifty were spent before";
  EXPECT_EQ(route.targets[1].counters->capped, 160);
  EXPECT_EQ(mirrors.spent_today("p1/flight-delay"), Money{cent.units * 50});
  const auto capped = mirrors.take_capped();
  ASSERT_EQ(capped.size(), 1u) << "told once a day";
  EXPECT_EQ(capped[0].route, "flight-delay");
  EXPECT_FALSE(capped[0].unpriced);
  EXPECT_TRUE(mirrors.take_capped().empty());

  // What was picked and never run is not spent.
  route.declaration.shadow.max_cost_per_day = Money{cent.units * 51};
  world_.serve(route);
  must(world_.gateway.infer(test::call(), flight("UA1")));
  EXPECT_EQ(mirrors.spent_today("p1/flight-delay"), Money{cent.units * 50});
  EXPECT_EQ(call(flight("UA1")).size(), 2u);
}

TEST_F(MirrorTest, CountsWhatWasSpentBeforeItBeganOnlyOnce) {
  Mirrors& mirrors = world_.gateway.mirrors();
  mirrors.price_by([](const InferenceEvent&) { return std::optional(cent); });
  auto route = shadowed();
  route.declaration.shadow.max_cost_per_day = Money{cent.units * 100};
  world_.serve(route);
  InferenceEvent shadow{.id = "a.shadow.v2", .project = "p1", .route = "flight-delay"};
  shadow.mode = Mode::shadow;
  shadow.at = world_.clock.now() - std::chrono::hours(24);
  mirrors.remember(shadow);  // of no route that was called yet
  EXPECT_EQ(call(flight("UA1")).size(), 2u);
  EXPECT_EQ(mirrors.spent_today("p1/flight-delay"), cent);
  mirrors.remember(shadow);
  EXPECT_EQ(mirrors.spent_today("p1/flight-delay"), cent) << "of another day";
  shadow.at = world_.clock.now() + std::chrono::seconds(1);
  mirrors.remember(shadow);
  EXPECT_EQ(mirrors.spent_today("p1/flight-delay"), cent) << "its own calls it has counted";
}

}  // namespace
}  // namespace penstock::serving
