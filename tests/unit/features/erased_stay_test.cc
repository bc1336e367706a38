// What was erased stays away, whoever pushes or moves it, on whichever store the tests run.
#include <thread>

#include "features/codec.h"
#include "features/erasure.h"
#include "tests/unit/features/windows_fixture.h"

namespace penstock::features {
namespace {

class StayErasedTest : public FeaturesTest {
 protected:
  StayErasedTest() {
    clock_.set(at(15));
    given({{"a", 1, 10, 10, 1.0, "x"}, {"a", 2, 11, 11, 2.0, "y"}, {"b", 1, 12, 12, 3.0, "z"}});
    test::must(apply(source() + views() + schema() + "---\n" + windowed_view()));
    materialize(14);
  }
  std::unique_ptr<Service> another() {
    return std::make_unique<Service>(*db_, *olap_, *blobs_, rocks_->store(), catalog_, clock_,
                                     metrics_, Options{.scratch = folder_ / "scratch"});
  }
  EraseOutput erase(const std::map<std::string, std::string>& entity) {
    return test::must(features_.erase(ana_, {.entities = {entity}}));
  }
  static json::object heat(const std::string& place, std::int64_t sensor, std::int64_t seconds) {
    return {{"place", place},
            {"sensor", sensor},
            {"seen", to_rfc3339(at(seconds))},
            {"created", to_rfc3339(at(30))},
            {"heat", 5.0},
            {"note", "p"}};
  }
  static json::object event(const std::string& place, std::int64_t seconds, double value) {
    return {{"place", place},
            {"seen", to_rfc3339(at(seconds))},
            {"created", to_rfc3339(at(30))},
            {"heat", value}};
  }
  PushOutput push(Service& service, const std::string& view, std::vector<json::object> rows) {
    return test::must(service.push(ana_, {.view = view, .rows = std::move(rows)}));
  }
  Status status(const std::string& place, std::int64_t sensor, std::int64_t seconds) {
    return read(place, sensor, seconds).statuses[1];
  }
  FeatureRow windows(const std::string& place, std::int64_t seconds) {
    const auto handle = test::must(features_.open_schema(ana_, "windows_v1"));
    return test::must(features_.read(*handle, {{"place", place}}, at(seconds)));
  }
  std::int64_t differing(const std::string& name) {
    return test::must(features_.verify(ana_, {.name = name})).differing;
  }
};

TEST_F(StayErasedTest, ARowThatNobodyHadSeenIsCoveredByTheKeysThatWereGiven) {
  erase({{"place", "a"}});
  // Sensor 9 has no row and no mark of its own.
  EXPECT_EQ(push(features_, "sensor_heat", {heat("a", 9, 14), heat("b", 9, 14)}).written, 1);
  EXPECT_EQ(status("a", 9, 40), Status::NOT_FOUND);
  EXPECT_EQ(status("b", 9, 14), Status::PRESENT);
  const auto other = another();  // another server
  EXPECT_EQ(push(*other, "sensor_heat", {heat("a", 9, 15)}).ignored, 1);
  EXPECT_EQ(push(*other, "sensor_heat", {heat("a", 9, 16)}).written, 1);  // a later event
  EXPECT_EQ(status("a", 9, 16), Status::PRESENT);
}

TEST_F(StayErasedTest, AnOldEventOfAWindowIsNotCountedAgain) {
  EXPECT_EQ(windows("a", 14).values[0], Scalar(std::int64_t{2}));
  EXPECT_EQ(push(features_, "place_windows", {event("a", 13, 1.0)}).written, 1);
  EXPECT_EQ(windows("a", 30).values[0], Scalar(std::int64_t{3}));
  const EraseOutput out = erase({{"place", "a"}});
  const auto windowed = std::ranges::find(out.views, "place_windows@1", &ErasedView::view);
  ASSERT_NE(windowed, out.views.end());
  EXPECT_EQ(windowed->rows, 1);
  EXPECT_EQ(windows("a", 30).statuses[0], Status::NOT_FOUND);
  EXPECT_EQ(push(features_, "place_windows", {event("a", 13, 1.0), event("a", 15, 1.0)}).ignored,
            2);
  EXPECT_EQ(windows("a", 30).statuses[0], Status::NOT_FOUND);
  EXPECT_EQ(push(features_, "place_windows", {event("a", 16, 4.0)}).written, 1);
  EXPECT_EQ(windows("a", 30).values[0], Scalar(std::int64_t{1}));
  materialize(20);
  EXPECT_EQ(windows("a", 30).values[0], Scalar(std::int64_t{1}));
  EXPECT_EQ(windows("b", 30).values[0], Scalar(std::int64_t{1}));
  EXPECT_EQ(differing("place_windows"), 0);
}

TEST_F(StayErasedTest, VersionsOfAViewThatComeLaterKnowOfIt) {
  erase({{"place", "a"}});
  std::string changed = views();
  changed.replace(changed.find("heat, note FROM"), 15, "heat * 2 AS heat, note FROM");
  test::must(apply(changed));
  EXPECT_EQ(push(features_, "sensor_heat", {heat("a", 1, 14), heat("b", 1, 14)}).written, 1);
  const auto handle = test::must(features_.open_features(ana_, {"sensor_heat:heat"}));
  EXPECT_EQ(handle->views[0]->version, 2);
  const auto found = [&](const char* place) {
    return test::must(features_.read(*handle, {{"place", place}, {"sensor", "1"}}, at(16)))
        .statuses[0];
  };
  EXPECT_EQ(found("a"), Status::NOT_FOUND);
  EXPECT_EQ(found("b"), Status::PRESENT);
}

TEST_F(StayErasedTest, AStoreThatLacksItLearnsItFromTheDatabase) {
  erase({{"place", "a"}});
  kv::Batch batch;
  test::must(rocks_->store().scan("features-erased", "features-erasee",
                                  [&](std::string_view key, std::string_view) {
                                    batch.erase(std::string(key));
                                    return true;
                                  }));
  EXPECT_EQ(batch.writes.size(), 2u);
  test::must(rocks_->store().write(batch, kv::Durability::disk));
  const auto other = another();
  EXPECT_EQ(push(*other, "sensor_heat", {heat("a", 9, 14)}).ignored, 1);
  EXPECT_EQ(push(*other, "place_windows", {event("a", 14, 1.0)}).ignored, 1);
}

TEST_F(StayErasedTest, NothingThatIsPushedMeanwhileGetsThrough) {
  std::atomic<bool> over = false;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 3; ++thread)
      threads.emplace_back([&, thread] {
        const auto service = another();
        for (std::int64_t i = 0; !over; ++i) {
          push(*service, "sensor_heat", {heat("a", 100 * thread + i % 100, 14)});
          push(*service, "place_windows", {event("a", 14, static_cast<double>(i % 50))});
        }
      });
    for (int turn = 0; turn < 5; ++turn) erase({{"place", "a"}});
    over = true;
  }
  for (std::int64_t sensor = 0; sensor < 300; ++sensor)
    EXPECT_EQ(status("a", sensor, 40), Status::NOT_FOUND) << sensor;
  EXPECT_EQ(windows("a", 40).statuses[0], Status::NOT_FOUND);
}

TEST_F(StayErasedTest, NoNameStandsInTheMarks) {
  given({{"Ada Lovelace", 1, 10, 10, 1.0, "x"}});
  erase({{"place", "Ada Lovelace"}});
  test::must(rocks_->store().scan("features-erased", "features-erasee",
                                  [&](std::string_view key, std::string_view value) {
                                    EXPECT_EQ(key.find("Lovelace"), std::string_view::npos);
                                    EXPECT_EQ(value.find("Lovelace"), std::string_view::npos);
                                    return true;
                                  }));
}

// A gate that compares with what is online meets the marks of rows that were erased.
TEST_F(StayErasedTest, AMarkIsNoValueToCompareWith) {
  std::string gated = views();
  gated.replace(gated.find("ttl: 5s"), 7,
                "checks: [{feature: heat, rule: max_share_changed, value: 0.9}]");
  test::must(apply(gated));
  materialize(14);
  erase({{"place", "a"}});
  given({{"a", 1, 20, 20, 9.0, "back"}, {"b", 1, 12, 12, 3.0, "z"}});
  materialize(21);
  EXPECT_EQ(differing("sensor_heat"), 0);
}

}  // namespace
}  // namespace penstock::features
