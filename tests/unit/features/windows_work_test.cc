// Gates and profiles of windowed views, and the cause of each value that differs.
#include "features/codec.h"
#include "features/operations.h"
#include "tests/unit/features/windows_fixture.h"

namespace penstock::features {
namespace {

class WindowsWorkTest : public FeaturesTest {
 protected:
  WindowsWorkTest() {
    clock_.set(at(1'000));
    given({});
    features_.operations().on_trouble(
        [this](sql::Tx&, const Call&, Timestamp, const Trouble& trouble) -> Result<void> {
          told_.push_back((trouble.over ? "over " : "") + trouble.key);
          return {};
        });
  }
  void declare(const std::string& more) { test::must(apply(source() + windowed_view(more))); }
  Result<MaterializeOutput> move(std::int64_t seconds) {
    return features_.materialize(ana_, {.until = at(seconds)});
  }
  FeatureRow row(const std::string& place, std::int64_t seconds) {
    const auto handle = test::must(features_.open_schema(ana_, "windows_v1"));
    return test::must(features_.read(*handle, {{"place", place}}, at(seconds)));
  }
  // "entity feature: cause" of each difference.
  std::set<std::string> found() {
    std::set<std::string> out;
    for (const VerifyDifference& one :
         test::must(features_.verify(ana_, {.name = "place_windows"})).differences)
      out.insert(one.entity + " " + one.feature + ": " + one.cause.substr(0, one.cause.find(':')));
    return out;
  }
  std::vector<std::string> told_;
};

TEST_F(WindowsWorkTest, AGateIsOfTheValuesThatReadersWouldSee) {
  declare("checks: [{feature: average, rule: max, value: 10}]\n");
  given({{"a", 1, 0, {}, 1.0, "x"}, {"b", 1, 10, {}, 2.0, "x"}});
  test::must(move(20));
  given({{"a", 1, 0, {}, 1.0, "x"}, {"b", 1, 10, {}, 2.0, "x"}, {"a", 1, 30, {}, 99.0, "x"}});
  const auto stopped = move(40);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().message,
            "feature view place_windows@1 was not materialized: check average max does not hold: "
            "average is above 10 in 1 of 2 entities (such as a); what is online stays as it was, "
            "up to 2020-09-13T12:27:00Z; mend the source, or the check");
  EXPECT_EQ(told_, std::vector<std::string>{"check:average:max"});
  EXPECT_EQ(row("a", 40).values[5], Scalar(1.0));
  // 99 alone would break it; with what the window holds beside it, it does not.
  std::vector<Reading> many = {{"a", 1, 0, {}, 1.0, "x"}, {"b", 1, 10, {}, 2.0, "x"}};
  for (int i = 0; i < 20; ++i) many.push_back({"a", 1, 21, {}, 1.0, "x"});
  many.push_back({"a", 1, 30, {}, 99.0, "x"});
  given(many);
  test::must(move(40));
  EXPECT_EQ(row("a", 40).values[0], Scalar(std::int64_t{22}));
  EXPECT_EQ(told_.back(), "over check:average:max");
}

TEST_F(WindowsWorkTest, GatesCountEventsAndEntities) {
  struct Case {
    std::string gate, what;  // empty: it holds
  };
  const Case cases[] = {
      {"{rule: min_rows, value: 4}", "3 rows arrived, and at least 4 must"},
      {"{rule: min_rows, value: 3}", ""},
      {"{rule: max_rows, value: 4}", ""},
      {"{feature: least, rule: not_null}", "least is null in 1 of 3 entities"},
      {"{feature: least, rule: max_null_share, value: 0.3}",
       "least is null in 33.33% (1 of 3 entities), and may for 30%"},
      {"{feature: newest, rule: one_of, value: [x, y]}",
       "newest is none of [\"x\",\"y\"] in 1 of 3 entities"},
      {"{feature: n, rule: max_share_changed, value: 0.5}",
       "n changed for 100% (2 of 2 entities), and may for 50%"},
      {"{feature: newest, rule: max_share_changed, value: 0.5}", ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.gate);
    declare("checks: [" + c.gate + "]\n");
    std::vector<Reading> readings = {{"a", 1, 0, {}, 1.0, "x"},
                                     {"a", 1, 1, {}, 1.0, "x"},
                                     {"b", 1, 0, {}, 2.0, "y"},
                                     {"b", 1, 1, {}, 2.0, "y"}};
    given(readings);
    test::must(move(10));
    readings.push_back({"a", 1, 20, {}, 1.0, "x"});
    readings.push_back({"b", 1, 20, {}, 1.0, "z"});
    readings.push_back({"c", 1, 20, {}, {}, "y"});
    given(readings);
    const auto second = move(30);
    const std::string message = second ? "" : second.error().message;
    if (c.what.empty())
      EXPECT_EQ(message, "");
    else
      EXPECT_NE(message.find("does not hold: " + c.what), std::string::npos) << message;
  }
}

TEST_F(WindowsWorkTest, NoGateRejectsSingleEvents) {
  const std::string found = faults(
      source() +
      windowed_view("checks: [{feature: average, rule: min, value: 0, reject_rows: true}]\n"));
  EXPECT_NE(found.find("checks[0].reject_rows is for views without windows"), std::string::npos)
      << found;
}

TEST_F(WindowsWorkTest, AProfileIsOfTheEntitiesOfADayAsTheyWereAtItsEnd) {
  declare("");
  // at(0) is 12:26:40 of a day.
  given({{"a", 1, -86'400, {}, 5.0, "x"},
         {"c", 1, -86'400, {}, 7.0, "x"},
         {"a", 1, 0, {}, 1.0, "x"},
         {"a", 1, 10, {}, 2.5, "x"},
         {"b", 1, 20, {}, 8.0, "x"},
         {"b", 1, 500, {}, 90.0, "x"}});
  test::must(move(100));
  while (test::must(features_.operations().run_due())) continue;
  EXPECT_EQ(test::count(*db_, "feature_profiles"), 2);
  const auto column = [](const ViewProfile& profile, const std::string& name) {
    const auto at = std::ranges::find(profile.columns, name, &catalog::ColumnProfile::name);
    return at == profile.columns.end() ? throw std::runtime_error(name) : *at;
  };
  auto out = test::must(features_.profile(ana_, {.view = "place_windows"}));
  EXPECT_EQ(out.days.size(), 2u);
  EXPECT_EQ(out.profile.row_count, 2);  // a and b, as of the watermark
  EXPECT_EQ(out.profile.columns.size(), asked().size());
  EXPECT_EQ(column(out.profile, "day_total").min, "3.5");
  EXPECT_EQ(column(out.profile, "day_total").max, "8.0");
  EXPECT_EQ(column(out.profile, "least").nulls, 0);
  out = test::must(features_.profile(ana_, {.view = "place_windows", .day = at(-86'400)}));
  EXPECT_EQ(out.profile.row_count, 2);  // a and c, as of midnight
  EXPECT_EQ(column(out.profile, "day_total").min, "5.0");
  EXPECT_EQ(column(out.profile, "day_total").max, "7.0");
  EXPECT_EQ(column(out.profile, "least").nulls, 2);  // nothing in its last five minutes
  // What is confidential shows no value.
  EXPECT_EQ(column(out.profile, "newest").min, std::nullopt);
}

TEST_F(WindowsWorkTest, VerifySaysOfEachValueWhyItDiffers) {
  declare("");
  // As of 1000, of the windows up to 10 minutes the later events alone are seen, of a day all.
  given({{"late", 1, 0, {}, 1.0, "x"},
         {"late", 1, 900, {}, 1.0, "x"},
         {"changed", 1, 900, {}, 1.0, "x"},
         {"both", 1, 0, {}, 1.0, "x"},
         {"both", 1, 900, {}, 1.0, "x"},
         {"gone", 1, 900, {}, 1.0, "x"},
         {"lost", 1, 900, {}, 1.0, "x"},
         {"same", 1, 900, {}, 1.0, "x"}});
  test::must(move(1'000));
  EXPECT_EQ(found(), std::set<std::string>{});
  given({{"late", 1, 0, {}, 1.0, "x"},
         {"late", 1, 900, {}, 1.0, "x"},
         {"late", 1, 100, {}, 4.0, "x"},
         {"changed", 1, 900, {}, 8.0, "x"},
         {"both", 1, 900, {}, 1.0, "x"},
         {"both", 1, 910, {}, 1.0, "x"},
         {"lost", 1, 900, {}, 1.0, "x"},
         {"new", 1, 900, {}, 1.0, "x"},
         {"same", 1, 900, {}, 1.0, "x"}});
  const auto view = test::must(features_.open_schema(ana_, "windows_v1"))->views[0];
  kv::Batch batch;
  batch.erase(row_key(*view, {"lost"}));
  test::must(rocks_->store().write(batch, kv::Durability::process));
  const std::set<std::string> all = found();
  for (const char* one :
       {"late day: late data", "late day_total: late data", "new : late data",
        "changed total: sources changed", "changed least: sources changed",
        "gone : sources changed", "lost : lost", "both n: late data", "both total: late data"})
    EXPECT_TRUE(all.contains(one)) << one;
  // Of a day one event went and another came.
  EXPECT_FALSE(all.contains("both day: late data"));
  for (const std::string& one : all) {
    EXPECT_FALSE(one.starts_with("same ")) << one;
    EXPECT_FALSE(one.starts_with("late n:")) << one;  // its window does not hold the new event
    EXPECT_FALSE(one.starts_with("changed n:")) << one;
  }
  const auto out = test::must(features_.verify(ana_, {.name = "place_windows"}));
  std::int64_t sum = 0;
  for (const auto& [cause, count] : out.causes) sum += count;
  EXPECT_EQ(sum, out.differing);
  // The next run of materialize mends all of it but what was lost at its watermark.
  test::must(move(1'001));
  EXPECT_EQ(found(), std::set<std::string>{});
}

TEST_F(WindowsWorkTest, VerifyTellsTilesThatOthersWrote) {
  declare("");
  given({{"a", 1, 900, {}, 1.0, "x"}, {"b", 1, 900, {}, 2.0, "x"}});
  test::must(move(1'000));
  const auto view = test::must(features_.open_schema(ana_, "windows_v1"))->views[0];
  kv::Batch batch;
  batch.put(row_key(*view, {"a"}), *test::must(rocks_->store().get(row_key(*view, {"b"}))));
  test::must(rocks_->store().write(batch, kv::Durability::process));
  EXPECT_TRUE(found().contains("a total: lost"));
  Service newer(*db_, *olap_, *blobs_, rocks_->store(), catalog_, clock_, metrics_,
                Options{.scratch = folder_ / "scratch", .program = "9.9"});
  const auto out = test::must(newer.verify(ana_, {.name = "place_windows"}));
  ASSERT_GT(out.differing, 0);
  EXPECT_EQ(out.causes.count("code version"), 1u);
  EXPECT_NE(out.differences[0].cause.find("and this is 9.9"), std::string::npos);
}

}  // namespace
}  // namespace penstock::features
