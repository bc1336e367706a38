#include "tests/unit/features/operations_fixture.h"

namespace penstock::features {
namespace {

class VerifyTest : public OperationsTest {
 protected:
  VerifyTest() {
    given(rows_);
    test::must(apply(source() + sensor_heat("verify_every: 1h\nttl: 50s\n")));
    test::must(move(60));
  }
  VerifyOutput verify() { return test::must(features_.verify(ana_, {.name = "sensor_heat"})); }
  // The one difference.
  std::string only() {
    const VerifyOutput out = verify();
    if (out.differing != 1) return std::to_string(out.differing) + " differ";
    const VerifyDifference& one = out.differences.at(0);
    EXPECT_EQ(out.causes.size(), 1u);
    return one.entity + " " + one.feature + ": " + one.online + " / " + one.offline + ": " +
           one.cause;
  }
  std::string row_key_of(const std::string& place) {
    std::string found;
    test::must(rocks_->store().scan("features/", "", [&](std::string_view key, std::string_view) {
      if (key.find(place) != std::string_view::npos) found = key;
      return true;
    }));
    return found;
  }
  void put(const std::string& key, std::optional<std::string> value) {
    kv::Batch batch;
    batch.writes.push_back({key, std::move(value)});
    test::must(rocks_->store().write(batch, kv::Durability::process));
  }
  void push(std::int64_t seen, double heat) {
    PushInput input{.view = "sensor_heat"};
    input.rows.push_back({{"place", "qq"},
                          {"sensor", 1},
                          {"seen", to_rfc3339(at(seen))},
                          {"created", to_rfc3339(at(seen))},
                          {"heat", heat},
                          {"note", "x"}});
    test::must(features_.push(ana_, input));
  }

  std::vector<Reading> rows_ = {
      {"qq", 1, 10, 10, 1.0, "x"}, {"rr", 2, 20, 20, 2.0, "y"}, {"ss", 3, 0, 0, 3.0, "z"}};
};

TEST_F(VerifyTest, FindsNothingWhereThereIsNothing) {
  const VerifyOutput out = verify();
  EXPECT_EQ(out.entities, 3);
  EXPECT_EQ(out.values, 6);
  EXPECT_EQ(out.differing, 0);
}

TEST_F(VerifyTest, TellsLateDataFromWhatElseChangedInTheSources) {
  rows_.push_back({"qq", 1, 30, 30, 9.0, "x"});
  given(rows_);
  EXPECT_EQ(only(),
            "qq, 1 : 2020-09-13T12:26:50Z / 2020-09-13T12:27:10Z: late data: a newer row came into "
            "the sources after the view was moved up to 2020-09-13T12:27:40Z");
  rows_.back() = {"tt", 4, 30, 30, 9.0, "x"};
  given(rows_);
  EXPECT_EQ(only(),
            "tt, 4 :  / 2020-09-13T12:27:10Z: late data: the row came into the sources after the "
            "view was moved up to 2020-09-13T12:27:40Z");
  rows_.pop_back();
  rows_[1].heat = 7.0;
  given(rows_);
  EXPECT_EQ(only(),
            "rr, 2 heat: 2E0 / 7E0: sources changed: the same row has another value in the sources "
            "now");
  rows_.erase(rows_.begin() + 1);
  given(rows_);
  EXPECT_EQ(only(), "rr, 2 : a row / : sources changed: its rows were taken out of the sources");
}

TEST_F(VerifyTest, TellsWhatWasPushedFromWhatWasLost) {
  push(59, 5);
  EXPECT_EQ(only(),
            "qq, 1 : 2020-09-13T12:27:39Z / 2020-09-13T12:26:50Z: pushed only: the online row is "
            "newer than the watermark: it was pushed");
  const std::string key = row_key_of("rr");
  put(key, std::nullopt);
  const VerifyOutput out = verify();
  EXPECT_EQ(out.causes, (std::map<std::string, std::int64_t>{{"lost", 1}, {"pushed only", 1}}));
}

TEST_F(VerifyTest, TellsAPushOfAnotherValueFromAnotherProgramAndFromDamage) {
  const std::string from = row_key_of("qq"), to = row_key_of("rr");
  // The value of another row at the time of this one: as if the SQL had given it.
  std::string other = *test::must(rocks_->store().get(to));
  const std::string own = *test::must(rocks_->store().get(from));
  other.replace(0, 17, own.substr(0, 17));
  put(from, other);
  VerifyOutput out = verify();
  EXPECT_EQ(out.differing, 2);
  EXPECT_EQ(out.causes, (std::map<std::string, std::int64_t>{{"transform", 2}}));
  test::must(db_->write(ana_, [](sql::Tx& tx) {
    return tx.run("UPDATE feature_view_states SET program = '0.0.9'", {});
  }));
  out = verify();
  EXPECT_EQ(out.causes, (std::map<std::string, std::int64_t>{{"code version", 2}}));
  EXPECT_NE(out.differences.at(0).cause.find("written by Penstock 0.0.9"), std::string::npos);
  put(from, own);
  EXPECT_EQ(verify().differing, 0);
  push(10, 5);
  EXPECT_EQ(only(),
            "qq, 1 heat: 5E0 / 1E0: pushed only: the same row was pushed with another value");
}

TEST_F(VerifyTest, RunsByItselfAndTellsOfDifferences) {
  EXPECT_TRUE(test::must(features_.operations().verify_due()));
  EXPECT_FALSE(test::must(features_.operations().verify_due()));
  EXPECT_EQ(status("sensor_heat").work->differing, 0);
  EXPECT_EQ(status("sensor_heat").work->next_verify, at(3700));
  EXPECT_TRUE(told().empty());
  rows_[1].heat = 7.0;
  given(rows_);
  clock_.set(at(3699));
  EXPECT_FALSE(test::must(features_.operations().verify_due()));
  clock_.set(at(3700));
  EXPECT_TRUE(test::must(features_.operations().verify_due()));
  EXPECT_EQ(told(), std::vector<std::string>{"p1 feature_view:sensor_heat@1 verify"});
  EXPECT_EQ(last_.title,
            "feature view sensor_heat@1: 1 difference between online and offline, in a sample of 3 "
            "entities");
  EXPECT_FALSE(last_.minor);
  EXPECT_EQ(status("sensor_heat").work->differing, 1);
  test::must(move(3701));
  clock_.set(at(7300));
  EXPECT_TRUE(test::must(features_.operations().verify_due()));
  EXPECT_EQ(told(), std::vector<std::string>{"over p1 feature_view:sensor_heat@1 verify"});
  push(7301, 5);
  clock_.set(at(10'900));
  EXPECT_TRUE(test::must(features_.operations().verify_due()));
  EXPECT_TRUE(last_.minor);
}

TEST_F(VerifyTest, WhatAScheduleWillMoveIsNoTrouble) {
  test::must(apply(sensor_heat("verify_every: 1h\nschedule: 1d\n")));
  clock_.set(at(200));
  EXPECT_EQ(run_all(features_), 3);  // the new version, its profile, and that of the old one
  rows_[1].heat = 7.0;
  given(rows_);
  EXPECT_TRUE(test::must(features_.operations().verify_due()));
  EXPECT_TRUE(told().empty());
  EXPECT_EQ(status("sensor_heat").work->differing, 0);
  EXPECT_EQ(verify().differing, 1);
  put(row_key_of("qq"), std::nullopt);
  clock_.set(at(3800));
  EXPECT_TRUE(test::must(features_.operations().verify_due()));
  EXPECT_EQ(told(), std::vector<std::string>{"p1 feature_view:sensor_heat@2 verify"});
  EXPECT_EQ(last_.title.find("feature view sensor_heat@2: 1 difference "), 0u) << last_.title;
}

}  // namespace
}  // namespace penstock::features
