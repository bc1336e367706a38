// Rows behind the watermark that a store lost, as a failover of Redis may lose them.
#include "features/codec.h"
#include "features/erasure.h"
#include "tests/unit/features/windows_fixture.h"

namespace penstock::features {
namespace {

class OnlineRepairTest : public FeaturesTest {
 protected:
  OnlineRepairTest() {
    clock_.set(at(100));
    given(readings_);
    test::must(apply(source() + views() + schema() + "---\n" + windowed_view()));
    materialize(20);
  }
  std::string key(const std::string& view, const std::vector<std::string>& keys) {
    const std::string name = view == "place_windows" ? "windows_v1" : "features_v1";
    const auto schema = test::must(features_.open_schema(ana_, name));
    for (const auto& handle : schema->views)
      if (handle->view.name == view) return row_key(*handle, keys);
    throw std::runtime_error(view);
  }
  void lose(const std::vector<std::string>& keys) {
    kv::Batch batch;
    for (const std::string& one : keys) batch.erase(one);
    test::must(rocks_->store().write(batch, kv::Durability::disk));
  }
  std::int64_t differing() {
    return test::must(features_.verify(ana_, {.name = "features_v1"})).differing +
           test::must(features_.verify(ana_, {.name = "windows_v1"})).differing;
  }
  std::string repaired(std::vector<std::string> views = {}) {
    std::string text;
    for (const Materialized& one :
         test::must(features_.repair(ana_, {.views = std::move(views)})).views)
      text += one.view + " " + std::to_string(one.written) + "/" + std::to_string(one.rows) + " ";
    return text;
  }
  const std::vector<Reading> readings_ = {
      {"a", 1, 10, 10, 1.0, "x"}, {"a", 2, 11, 11, 2.0, "y"}, {"b", 1, 12, 12, 3.0, "z"}};
};

TEST_F(OnlineRepairTest, WritesAnewWhatIsMissingAndNothingElse) {
  EXPECT_EQ(repaired(), "place_heat@1 0/2 place_windows@1 0/0 sensor_heat@1 0/3 ");
  const std::string older = key("sensor_heat", {"b", "1"});
  lose({key("sensor_heat", {"a", "2"}), key("place_heat", {"a"}), key("place_windows", {"b"})});
  EXPECT_EQ(read("a", 2, 15).statuses[1], Status::NOT_FOUND);
  // A row that went back to an older one, and one that a push made newer.
  const auto handle = test::must(features_.open_schema(ana_, "features_v1"));
  for (const auto& view : handle->views)
    if (view->view.name == "sensor_heat") {
      kv::Batch batch;
      batch.put(older, encode_row(*view, {at(1), at(1), {Scalar(9.0), Scalar(std::string("o"))}}));
      test::must(rocks_->store().write(batch, kv::Durability::disk));
    }
  test::must(features_.push(ana_, {.view = "sensor_heat",
                                   .rows = {{{"place", "a"},
                                             {"sensor", 1},
                                             {"seen", to_rfc3339(at(30))},
                                             {"heat", 7.0},
                                             {"note", "new"}}}}));
  EXPECT_GT(differing(), 3);
  EXPECT_EQ(repaired({"sensor_heat"}), "sensor_heat@1 2/3 ");
  EXPECT_EQ(repaired(), "place_heat@1 1/2 place_windows@1 1/1 sensor_heat@1 0/3 ");
  EXPECT_EQ(differing(), 1);  // the pushed row
  EXPECT_EQ(read("a", 2, 15).values[1], Scalar(2.0));
  EXPECT_EQ(read("b", 1, 15).values[1], Scalar(3.0));
  EXPECT_EQ(read("a", 1, 30).values[1], Scalar(7.0));
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'features.view.repaired'"), 7);
}

// What came into the sources since is for the gates and for materialize to look at.
TEST_F(OnlineRepairTest, WritesWhatWasMovedAndNotWhatTheSourcesHoldNow) {
  lose({key("place_heat", {"b"}), key("place_windows", {"a"})});
  auto more = readings_;
  more.push_back({"c", 1, 15, 15, 8.0, "late"});
  given(more);
  repaired();
  EXPECT_EQ(read("b", 1, 20).values[0], Scalar(3.0));
  EXPECT_EQ(read("c", 1, 20).statuses[0], Status::NOT_FOUND);
  for (const auto& one : test::must(features_.verify(ana_, {.name = "place_heat"})).differences)
    EXPECT_TRUE(one.cause.starts_with("late data")) << one.cause;
  materialize(21);
  EXPECT_EQ(differing(), 0);
}

TEST_F(OnlineRepairTest, BringsNothingBackThatWasErased) {
  test::must(features_.erase(ana_, {.entities = {{{"place", "a"}}}}));
  const auto out = features_.repair(ana_, {.views = {"place_heat"}});
  ASSERT_FALSE(out);  // the rows that were moved are gone
  EXPECT_EQ(out.error().code, Code::failed_precondition);
  EXPECT_NE(out.error().message.find("features materialize"), std::string::npos);
  materialize(21);
  lose({key("place_heat", {"b"})});
  EXPECT_EQ(repaired({"place_heat"}), "place_heat@1 1/1 ");
  EXPECT_EQ(read("a", 1, 30).statuses[0], Status::NOT_FOUND);
  EXPECT_EQ(read("b", 1, 30).values[0], Scalar(3.0));
}

TEST_F(OnlineRepairTest, SaysWhatItCannotRepair) {
  EXPECT_EQ(features_.repair(ana_, {.views = {"none"}}).error().code, Code::not_found);
  lose({key("place_heat", {"a"}).substr(0, key("place_heat", {"a"}).find("@1") + 3) + "w"});
  const auto never = features_.repair(ana_, {.views = {"place_heat"}});
  EXPECT_NE(never.error().message.find("place_heat@1 was never materialized"), std::string::npos);
}

}  // namespace
}  // namespace penstock::features
