#include "tests/unit/features/operations_fixture.h"

namespace penstock::features {
namespace {

class ScheduleTest : public OperationsTest {
 protected:
  void break_place() {
    given({{"a", 1, 0, 0, 1.0, "x"}});
    run("COPY (SELECT 'x' AS wrong) TO '" + folder_ / "readings.parquet" + "' (FORMAT parquet)");
  }
  std::unique_ptr<Service> server(const std::string& holder) {
    auto service = std::make_unique<Service>(
        *db_, *olap_, *blobs_, rocks_->store(), catalog_, clock_, metrics_,
        Options{.scratch = folder_ / "scratch", .holder = holder, .program = "2"});
    listen(*service);
    return service;
  }
};

TEST_F(ScheduleTest, MovesAViewEachTimeItIsDue) {
  given({{"a", 1, 0, 0, 1.0, "x"}});
  test::must(apply(source() + sensor_heat("schedule: 1m\n") + place_heat("")));
  EXPECT_EQ(run_all(features_), 2);  // the view, and the profile of what was moved
  EXPECT_EQ(run_all(features_), 0);
  ViewStatus after = status("sensor_heat");
  EXPECT_EQ(after.watermark, at(100));
  EXPECT_EQ(after.work->last_run, at(100));
  EXPECT_EQ(after.work->next_run, at(160));
  EXPECT_EQ(after.work->row_count, 1);
  EXPECT_EQ(after.work->newest_event, at(0));
  EXPECT_FALSE(status("place_heat").watermark);
  clock_.set(at(159));
  EXPECT_EQ(run_all(features_), 0);
  given({{"a", 1, 0, 0, 1.0, "x"}, {"a", 1, 150, 150, 2.0, "x"}});
  clock_.set(at(160));
  EXPECT_EQ(run_all(features_), 2);
  EXPECT_EQ(value_of("sensor_heat:heat", "a", 1), "2E0 PRESENT");
  EXPECT_EQ(status("sensor_heat").work->next_run, at(220));
  // A schedule that became closer holds at once, also for a version that is pinned.
  test::must(apply(R"(kind: feature_schema
name: features_v1
owner: sensors
features: [{view: sensor_heat, feature: heat}]
)"));
  test::must(apply(sensor_heat("schedule: 10s\n")));
  clock_.set(at(170));
  EXPECT_GE(run_all(features_), 2);
  EXPECT_EQ(status("sensor_heat", 1).watermark, at(170));
  EXPECT_EQ(status("sensor_heat", 2).watermark, at(170));
  test::must(apply(sensor_heat("")));
  clock_.set(at(500));
  EXPECT_EQ(run_all(features_), 0);
  EXPECT_FALSE(status("sensor_heat", 3).work);
}

TEST_F(ScheduleTest, AViewThatFailsIsTriedMoreSeldomAndHoldsUpNoOther) {
  given({{"a", 1, 0, 0, 1.0, "x"}});
  run("COPY (SELECT * FROM '" + folder_ / "readings.parquet" + "') TO '" +
      folder_ / "others.parquet" + "' (FORMAT parquet)");
  std::string others = source();
  others = others.substr(0, others.find("---"));
  others.replace(others.find("name: readings"), 14, "name: others");
  others.replace(others.find("readings.parquet"), 16, "others.parquet");
  std::string place = place_heat("schedule: 1m\n");
  place.replace(place.find("[readings]"), 10, "[others]");
  place.replace(place.find("FROM readings"), 13, "FROM others");
  test::must(apply(source() + others + "---\n" + sensor_heat("schedule: 1m\n") + place));
  break_place();
  struct Try {
    std::int64_t time, failures;
  };
  run_all(features_);
  EXPECT_EQ(status("sensor_heat").work->failures, 1);
  for (const Try& one : {Try{110, 2}, {130, 3}, {170, 4}, {250, 5}}) {
    SCOPED_TRACE(one.time);
    clock_.set(at(one.time - 1));
    run_all(features_);
    EXPECT_EQ(status("sensor_heat").work->failures, one.failures - 1);
    clock_.set(at(one.time));
    run_all(features_);
    const ViewStatus now = status("sensor_heat");
    EXPECT_EQ(now.work->failures, one.failures);
    EXPECT_NE(now.work->last_error, "");
    EXPECT_FALSE(now.watermark);
    EXPECT_EQ(status("place_heat").work->failures, 0);
    EXPECT_GE(*status("place_heat").watermark, at(one.time - 60));
  }
  const std::string trouble = "p1 feature_view:sensor_heat@1 materialize";
  EXPECT_EQ(told(), (std::vector<std::string>{trouble, trouble, trouble}));
  EXPECT_EQ(last_.key, "materialize");
  EXPECT_EQ(last_.owner, "sensors");
  given({{"a", 1, 0, 0, 1.0, "x"}});
  clock_.set(at(1000));
  run_all(features_);
  EXPECT_EQ(told(), std::vector<std::string>{"over " + trouble});
  EXPECT_EQ(status("sensor_heat").work->last_error, "");
  EXPECT_EQ(status("sensor_heat").watermark, at(1000));
}

TEST_F(ScheduleTest, OfSeveralServersOneRunsAView) {
  given({{"a", 1, 0, 0, 1.0, "x"}});
  test::must(apply(source() + sensor_heat("schedule: 1m\n")));
  const auto one = server("one"), other = server("other");
  test::must(one->list(ana_));
  const std::string store = test::must(rocks_->store().get("features-store")).value();
  const states::Key key{store, "p1", "sensor_heat", 1};
  const auto take = [&](const std::string& holder, std::int64_t now, std::int64_t until) {
    return test::must(db_->write(
        ana_, [&](sql::Tx& tx) { return states::take(tx, key, holder, at(now), at(until)); }));
  };
  EXPECT_TRUE(take("other", 100, 200));
  EXPECT_FALSE(take("one", 150, 300));
  EXPECT_EQ(run_all(*one), 0);
  EXPECT_FALSE(status("sensor_heat").watermark);
  EXPECT_EQ(run_all(*other), 2);  // its own, taken back
  EXPECT_EQ(status("sensor_heat").watermark, at(100));
  EXPECT_EQ(status("sensor_heat").work->holder, "");
  EXPECT_EQ(run_all(*one), 0);  // done already
  // Whoever died holds it no longer than its lease.
  EXPECT_TRUE(take("dead", 100, 200));
  clock_.set(at(199));
  EXPECT_EQ(run_all(*one), 0);
  clock_.set(at(201));
  EXPECT_EQ(run_all(*one), 1);
  EXPECT_EQ(status("sensor_heat").watermark, at(201));
}

TEST_F(ScheduleTest, RefusesTimesThatMakeNoSense) {
  given({});
  test::must(apply(source()));
  EXPECT_EQ(faults(sensor_heat("schedule: 10ms\n")),
            "feature_view sensor_heat: schedule must be from 1s to 366d\n");
  EXPECT_EQ(faults(sensor_heat("verify_every: 30s\n")),
            "feature_view sensor_heat: verify_every must be from 1m to 366d\n");
  EXPECT_EQ(faults(sensor_heat("freshness: 1h\nonline: false\n")),
            "feature_view sensor_heat: freshness is of online rows, and the view has none\n");
}

TEST_F(ScheduleTest, TellsWhenAnObjectiveIsMissedAndWhenItIsKeptAgain) {
  given({{"a", 1, 90, 90, 1.0, "x"}});
  test::must(apply(source() + sensor_heat("freshness: 30s\n")));
  const auto measure = [&](std::int64_t seconds) {
    clock_.set(at(seconds));
    test::must(features_.operations().measure());
  };
  measure(100);
  EXPECT_EQ(told(), std::vector<std::string>{"p1 feature_view:sensor_heat@1 freshness"});
  EXPECT_EQ(last_.title, "feature view sensor_heat@1: its rows are not there, and may be 30s old");
  test::must(move(100));
  measure(101);
  EXPECT_EQ(told(), std::vector<std::string>{"over p1 feature_view:sensor_heat@1 freshness"});
  EXPECT_EQ(status("sensor_heat").fresh, true);
  measure(120);  // the newest event is 30 s old: at the edge
  EXPECT_TRUE(told().empty());
  EXPECT_EQ(status("sensor_heat").newest_event_seconds, 30.0);
  EXPECT_EQ(status("sensor_heat").staleness_seconds, 20.0);
  const std::string text = metrics_.expose();
  EXPECT_NE(text.find("penstock_features_staleness_seconds{project=\"p1\",view=\"sensor_heat@1\"} "
                      "20"),
            std::string::npos)
      << text;
  test::must(move(121));
  measure(121);
  EXPECT_EQ(told(), std::vector<std::string>{"p1 feature_view:sensor_heat@1 freshness"});
  EXPECT_EQ(last_.title, "feature view sensor_heat@1: its rows are 31 seconds old, and may be 30s");
  EXPECT_EQ(status("sensor_heat").fresh, false);
  measure(122);
  EXPECT_TRUE(told().empty());  // told once
  PushInput pushed{.view = "sensor_heat"};
  pushed.rows.push_back(
      {{"place", "a"}, {"sensor", 1}, {"seen", to_rfc3339(at(122))}, {"heat", 4.0}});
  test::must(features_.push(ana_, pushed));
  measure(123);
  EXPECT_EQ(told(), std::vector<std::string>{"over p1 feature_view:sensor_heat@1 freshness"});
}

TEST_F(ScheduleTest, EveryReadSaysHowOldAValueIs) {
  given({{"a", 1, 90, 90, 1.0, "x"}});
  test::must(apply(source() + sensor_heat("")));
  test::must(move(100));
  const auto out = test::must(features_.online(
      ana_, {.features = {"sensor_heat:heat"},
             .entities = {{{"place", "a"}, {"sensor", "1"}}, {{"place", "z"}, {"sensor", "1"}}},
             .event_time = at(100)}));
  EXPECT_EQ(out.rows[0].ages, std::vector<std::optional<double>>{10.0});
  EXPECT_EQ(out.rows[1].ages, std::vector<std::optional<double>>{std::nullopt});
}

TEST_F(ScheduleTest, ProfilesTheDaysThatWereMoved) {
  constexpr std::int64_t day = 86'400;
  given({{"a", 1, 0, 0, 1.0, "x"},
         {"b", 2, 1, 1, 3.0, "y"},
         {"a", 1, day, day, {}, "x"},
         {"a", 1, 2 * day, 2 * day, 5.0, "x"}});
  std::string open = source();
  for (const char* one : {"classification: internal", "classification: confidential"})
    open.replace(open.find(one), std::string(one).size(), "classification: public");
  test::must(apply(open + sensor_heat("")));
  clock_.set(at(3 * day));
  test::must(move(day + 10));
  EXPECT_EQ(run_all(features_), 1);
  EXPECT_EQ(test::count(*db_, "feature_profiles"), 2);
  auto found = test::must(features_.profile(ana_, {.view = "sensor_heat", .day = at(5)}));
  EXPECT_EQ(found.profile.row_count, 2);
  EXPECT_EQ(found.days.size(), 2u);
  ASSERT_EQ(found.profile.columns.size(), 2u);
  EXPECT_EQ(found.profile.columns[0].name, "heat");
  EXPECT_EQ(found.profile.columns[0].mean, 2.0);
  EXPECT_EQ(found.profile.columns[0].max, "3.0");
  found = test::must(features_.profile(ana_, {.view = "sensor_heat"}));
  EXPECT_EQ(found.profile.columns[0].nulls, 1);
  const auto none = features_.profile(ana_, {.view = "sensor_heat", .day = at(2 * day)});
  ASSERT_FALSE(none);  // not moved yet
  EXPECT_EQ(none.error().code, Code::not_found);
  test::must(move(3 * day));
  EXPECT_EQ(run_all(features_), 1);
  EXPECT_EQ(test::count(*db_, "feature_profiles"), 3);

  // Single values of what is confidential are nobody's business.
  std::string closed = open;
  closed.replace(closed.find("name: heat, type: double, classification: public"), 48,
                 "name: heat, type: double, classification: restricted");
  test::must(apply(closed));
  found = test::must(features_.profile(ana_, {.view = "sensor_heat", .day = at(5)}));
  EXPECT_EQ(found.profile.columns[0].mean, 2.0);
  EXPECT_FALSE(found.profile.columns[0].max);
  EXPECT_TRUE(found.profile.columns[0].quantiles.empty());
}

}  // namespace
}  // namespace penstock::features
