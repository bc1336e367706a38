#include "tests/unit/monitor/monitor_fixture.h"

namespace penstock::monitor {
namespace {

using MonitorObserver = MonitorTest;

TEST_F(MonitorObserver, CountsByVersionArmAndDay) {
  send(day(1, 100));
  auto canary = event(1, 3);
  canary.id = "canary";
  canary.version = 2;
  canary.arm = serving::Arm::canary;
  auto failed = event(2, 7);
  failed.id = "failed";
  failed.error = "unavailable";
  failed.score.reset();
  failed.decision.reset();
  auto batch = event(2, 8);
  batch.mode = serving::Mode::batch;
  send({canary, failed, batch});
  run();

  const auto by_version = stats();
  ASSERT_EQ(by_version.size(), 2u);
  EXPECT_EQ(by_version[0].calls, 101);
  EXPECT_EQ(by_version[0].errors, 1);
  EXPECT_NEAR(*by_version[0].error_rate, 1.0 / 101, 1e-12);
  EXPECT_NEAR(*by_version[0].mean_score, 0.495, 1e-12);
  EXPECT_NEAR(*by_version[0].decision_rate, 0.5, 1e-12);
  EXPECT_NEAR(*by_version[0].p50_ms, 1.05, 0.022);
  EXPECT_EQ(by_version[0].features[0].name, "delay");
  EXPECT_EQ(by_version[0].features[1].nulls, 10);
  EXPECT_EQ(by_version[1].version, 2);
  EXPECT_EQ(by_version[1].arm, serving::Arm::canary);
  EXPECT_FALSE(by_version[1].wrong_rate) << "no labels: no rate, and not 0";

  const auto by_day = stats(StatsBy::day);
  ASSERT_EQ(by_day.size(), 3u);
  EXPECT_EQ(*by_day[0].day, "2013-07-01");
  EXPECT_EQ(by_day[2].calls, 1);
  EXPECT_EQ(*by_day[2].day, "2013-07-02");
}

TEST_F(MonitorObserver, JoinsLabelsThatComeLate) {
  declare("quality", "quantity: label_quality\nwindow_days: 1\nthreshold: 0.3\nmin_calls: 50\n");
  send(day(1, 100));
  run();
  send(day(2, 1));
  run();
  EXPECT_EQ(shown("quality").verdict, Verdict::undecided);
  // Every positive is called negative: half of all decisions are wrong.
  for (int i = 0; i < 100; ++i) label("d1-" + std::to_string(i), 0);
  label("nobody", 1);
  run();
  EXPECT_EQ(stats()[0].labels, 100);
  EXPECT_NEAR(*stats()[0].wrong_rate, 0.5, 1e-12);
  // The mean of (k/100)^2 for k of 0..99.
  EXPECT_NEAR(*stats()[0].brier, 0.328350, 1e-12);
  EXPECT_TRUE(incidents().empty());
  send(day(3, 1));
  run();
  const auto results = shown("quality").results;
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[1].day, "2013-07-01");
  EXPECT_EQ(results[1].verdict, Verdict::breach);
  EXPECT_NEAR(*results[1].value, 0.5, 1e-12);
  ASSERT_EQ(incidents().size(), 1u);
}

// The whole of a day is in each turn's transaction, or none of it.
TEST_F(MonitorObserver, ACrashBetweenTurnsRepeatsNothing) {
  for (int number = 1; number <= 3; ++number) {
    send(day(number, 1'500));
    label("d" + std::to_string(number) + "-1", 1);
  }
  int turns = 0;
  while (must(observer_->run_once())) {
    ++turns;
    open();
  }
  EXPECT_GE(turns, 3);
  EXPECT_EQ(stats()[0].calls, 4'500);
  EXPECT_EQ(stats()[0].labels, 3);
  EXPECT_EQ(test::count(*db_, "monitor_samples"), 0);
  const auto rows = must(db_->read(test::call(), [](sql::Tx& tx) {
    return store::stats(tx, "p1", "flight-delay", 0, 100'000);
  }));
  ASSERT_EQ(rows.size(), 3u);
  for (const DayStats& row : rows) {
    EXPECT_EQ(row.tally.calls, 1'500);
    std::int64_t cut = 0;
    for (const std::int64_t bin : row.tally.features[0].bins) cut += bin;
    EXPECT_EQ(cut, 1'500) << "samples that waited are cut once";
    cut = 0;
    for (const std::int64_t bin : row.tally.score_bins) cut += bin;
    EXPECT_EQ(cut, 1'500);
  }
}

// A transaction that fails in its middle leaves nothing behind.
TEST_F(MonitorObserver, ATurnThatFailsIsAsIfItWasNot) {
  must(db_->write(test::call(), [](sql::Tx& tx) {
    return tx.run("ALTER TABLE monitor_positions RENAME TO away", {});
  }));
  send(day(1, 100));
  EXPECT_FALSE(observer_->run_once());
  must(db_->write(test::call(), [](sql::Tx& tx) {
    return tx.run("ALTER TABLE away RENAME TO monitor_positions", {});
  }));
  // Refused at the very end of the turn: after everything was counted.
  must(db_->write(test::call(), [](sql::Tx& tx) -> Result<void> {
    TRY(tx.run("DROP TABLE monitor_positions", {}));
    TRY(
        tx.run("CREATE TABLE monitor_positions (topic TEXT PRIMARY KEY, next_offset BIGINT NOT "
               "NULL CHECK (next_offset = 0))",
               {}));
    return {};
  }));
  EXPECT_FALSE(observer_->run_once());
  EXPECT_EQ(test::count(*db_, "monitor_stats"), 0);
  EXPECT_EQ(test::count(*db_, "monitor_samples"), 0);
}

TEST_F(MonitorObserver, TwoAtOnceCountOnce) {
  Observer other(*db_, *events_, *olap_, clock_);
  for (int number = 1; number <= 4; ++number) {
    send(day(number, 500));
    must(observer_->run_once());
    must(other.run_once());
  }
  EXPECT_EQ(stats()[0].calls, 2'000);
}

TEST_F(MonitorObserver, RefusesWhatWouldGrowWithoutBound) {
  options_.series_max = 4;
  open();
  auto future = event(1, 1);
  future.id = "future";
  future.event_time = future.at + std::chrono::days(2);
  send({event(1, 2), future});
  std::vector<serving::InferenceEvent> many;
  for (int version = 1; version <= 20; ++version) {
    many.push_back(event(1, 10 + version));
    many.back().version = version;
  }
  auto ancient = event(1, 1);
  ancient.id = "ancient";
  ancient.event_time = *from_rfc3339("1999-01-01");
  many.push_back(ancient);
  send(many);
  run();
  EXPECT_EQ(stats().size(), 4u);
  EXPECT_EQ(must(service_.stats(test::call(), {"flight-delay"})).refused, 16 + 2);
  EXPECT_EQ(stats(StatsBy::day).back().day, "2013-07-01");
}

TEST_F(MonitorObserver, PassesWhatItCannotRead) {
  must(rocks_->log().append({{std::string(serving::inference_topic), "x", "{\"id\": 3"},
                             {std::string(serving::label_topic), "x", "[]"}},
                            kv::Durability::process));
  send(day(1, 5));
  run();
  EXPECT_EQ(stats()[0].calls, 5);
  EXPECT_FALSE(must(observer_->run_once()));
}

// Servers of one database have each a log of their own.
TEST_F(MonitorObserver, EachServerReadsALogOfItsOwn) {
  options_.server = "one";
  open();
  const auto theirs = must(rocksdb::open(folder_ / "theirs"));
  serving::EventReader their_events(theirs->log());
  Observer other(*db_, their_events, *olap_, clock_, {.server = "two"});
  const auto run_both = [&] {
    run();
    while (must(other.run_once())) {
    }
  };
  must(observer_->begin());
  must(other.begin());
  send(day(1, 500));
  must(serving::record(theirs->log(), day(2, 300)));
  run_both();
  EXPECT_EQ(stats()[0].calls, 800);
  EXPECT_EQ(must(observer_->position(serving::inference_topic)), 500);
  EXPECT_EQ(must(other.position(serving::inference_topic)), 300);
  must(serving::record(theirs->log(), day(3, 10)));
  label("d1-1", 1.0);
  run_both();
  EXPECT_EQ(stats()[0].calls, 810);
  EXPECT_EQ(stats()[0].labels, 1);
  open();  // again
  must(observer_->begin());
  must(other.begin());
  run_both();
  EXPECT_EQ(stats()[0].calls, 810);
}

// The position of the time before is the one server's; whoever comes later begins at the start of
// an empty log.
TEST_F(MonitorObserver, GoesOnWhereItWasBeforeServersHadPositions) {
  send(day(1, 100));
  run();  // as server ''
  send(day(2, 50));
  options_.server = "one";
  open();
  must(observer_->begin());
  run();
  EXPECT_EQ(stats()[0].calls, 150);
  const auto theirs = must(rocksdb::open(folder_ / "theirs"));
  serving::EventReader their_events(theirs->log());
  Observer other(*db_, their_events, *olap_, clock_, {.server = "two"});
  must(other.begin());
  must(serving::record(theirs->log(), day(3, 7)));
  while (must(other.run_once())) {
  }
  EXPECT_EQ(stats()[0].calls, 157);
}

}  // namespace
}  // namespace penstock::monitor
