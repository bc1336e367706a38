// When a freeze is in force, also where clocks change, and what lets something through.
#include <gtest/gtest.h>

#include "freezes/calendar.h"
#include "freezes/service.h"
#include "incidents/service.h"
#include "tests/support/fixture.h"

namespace penstock::freezes {
namespace {

using test::must;

Timestamp at(const std::string& text) { return *from_rfc3339(text); }

std::string span_of(const Freeze& freeze, const std::string& now) {
  const auto span = must(span_at(freeze, at(now)));
  return span ? to_rfc3339(span->from) + " " + to_rfc3339(span->until) : "never";
}

Freeze weekly(std::vector<Weekly> times, std::string zone = "UTC") {
  return {.name = "f", .weekly = std::move(times), .time_zone = std::move(zone)};
}

TEST(CalendarTest, GivesTheSpanThatIsOrComesNext) {
  const Freeze dates{.from = at("2026-12-20T00:00:00Z"), .until = at("2027-01-04T00:00:00Z")};
  const Freeze weekend = weekly({{"fri 16:00", "mon 08:00"}});
  const Freeze nights = weekly({{"mon 22:00", "tue 06:00"}, {"tue 06:00", "tue 07:00"}});
  Freeze bound = weekend;
  bound.from = at("2026-11-28T12:00:00Z");
  bound.until = at("2026-12-05T12:00:00Z");
  struct Case {
    const char* what;
    const Freeze& freeze;
    const char *now, *span;
  };
  // 2026-11-27 is a Friday.
  const Case cases[] = {
      {"long before", dates, "2026-01-01T00:00:00Z", "2026-12-20T00:00:00Z 2027-01-04T00:00:00Z"},
      {"its first instant", dates, "2026-12-20T00:00:00Z",
       "2026-12-20T00:00:00Z 2027-01-04T00:00:00Z"},
      {"its end is out", dates, "2027-01-04T00:00:00Z", "never"},
      {"on Thursday", weekend, "2026-11-26T12:00:00Z", "2026-11-27T16:00:00Z 2026-11-30T08:00:00Z"},
      {"on Sunday", weekend, "2026-11-29T23:59:59Z", "2026-11-27T16:00:00Z 2026-11-30T08:00:00Z"},
      {"on Monday early", weekend, "2026-11-30T07:59:59.999999Z",
       "2026-11-27T16:00:00Z 2026-11-30T08:00:00Z"},
      {"on Monday at eight", weekend, "2026-11-30T08:00:00Z",
       "2026-12-04T16:00:00Z 2026-12-07T08:00:00Z"},
      {"times that touch are one", nights, "2026-11-30T23:00:00Z",
       "2026-11-30T22:00:00Z 2026-12-01T07:00:00Z"},
      {"before the first", bound, "2026-01-01T00:00:00Z",
       "2026-11-28T12:00:00Z 2026-11-30T08:00:00Z"},
      {"cut at its end", bound, "2026-12-01T00:00:00Z",
       "2026-12-04T16:00:00Z 2026-12-05T12:00:00Z"},
      {"after the last", bound, "2026-12-05T12:00:00Z", "never"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    EXPECT_EQ(span_of(c.freeze, c.now), c.span);
  }
}

TEST(CalendarTest, FollowsLocalClocksWhereTheyChange) {
  struct Case {
    const char* what;
    Freeze freeze;
    const char *now, *span;
  };
  const std::string york = "America/New_York", berlin = "Europe/Berlin",
                    lord_howe = "Australia/Lord_Howe";
  const Case cases[] = {
      {"the same local time in winter", weekly({{"fri 16:00", "mon 08:00"}}, york),
       "2026-01-10T00:00:00Z", "2026-01-09T21:00:00Z 2026-01-12T13:00:00Z"},
      {"and in summer", weekly({{"fri 16:00", "mon 08:00"}}, york), "2026-07-11T00:00:00Z",
       "2026-07-10T20:00:00Z 2026-07-13T12:00:00Z"},
      // Clocks go from 02:00 to 03:00 on 8 March 2026: that weekend has an hour less.
      {"over the hour that is left out", weekly({{"fri 16:00", "mon 08:00"}}, york),
       "2026-03-08T12:00:00Z", "2026-03-06T21:00:00Z 2026-03-09T12:00:00Z"},
      {"begins in the hour that is left out", weekly({{"sun 02:30", "sun 05:00"}}, york),
       "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z 2026-03-08T09:00:00Z"},
      {"ends in the hour that is left out", weekly({{"sun 00:00", "sun 02:30"}}, york),
       "2026-03-08T06:00:00Z", "2026-03-08T05:00:00Z 2026-03-08T07:00:00Z"},
      // From 02:00 back to 01:00 on 1 November 2026: 01:30 is at 05:30Z and at 06:30Z.
      {"begins in the hour that comes twice", weekly({{"sun 01:30", "sun 05:00"}}, york),
       "2026-11-01T05:30:00Z", "2026-11-01T05:30:00Z 2026-11-01T10:00:00Z"},
      {"ends in the hour that comes twice", weekly({{"sun 00:00", "sun 01:30"}}, york),
       "2026-11-01T06:15:00Z", "2026-11-01T04:00:00Z 2026-11-01T06:30:00Z"},
      {"lies within the hour that comes twice", weekly({{"sun 01:15", "sun 01:45"}}, york),
       "2026-11-01T06:00:00Z", "2026-11-01T05:15:00Z 2026-11-01T06:45:00Z"},
      {"another zone changes on another day", weekly({{"sun 02:30", "sun 05:00"}}, berlin),
       "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z 2026-03-29T03:00:00Z"},
      {"a change of half an hour", weekly({{"sun 01:45", "sun 03:00"}}, lord_howe),
       "2026-04-04T14:00:00Z", "2026-04-04T14:45:00Z 2026-04-04T16:30:00Z"},
      {"a day that is Monday here and Sunday there", weekly({{"sun 20:00", "sun 24:00"}}, york),
       "2026-01-12T02:00:00Z", "2026-01-12T01:00:00Z 2026-01-12T05:00:00Z"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    EXPECT_EQ(span_of(c.freeze, c.now), c.span);
  }
}

TEST(CalendarTest, NamesWhatIsWrong) {
  struct Case {
    Freeze freeze;
    const char *field, *problem;
  };
  const Case cases[] = {
      {{.name = "f"}, "from", "and until must both be said"},
      {{.from = at("2026-01-01T00:00:00Z")}, "from", "and until"},
      {{.from = at("2026-01-02T00:00:00Z"), .until = at("2026-01-01T00:00:00Z")},
       "until",
       "later than from"},
      {weekly({{"friday 16", "mon 08:00"}}), "weekly[0].from", "such as fri 16:00"},
      {weekly({{"fri 16:00", "mon 25:00"}}), "weekly[0].until", "such as fri 16:00"},
      {weekly({{"fri 16:00", "mon 24:30"}}), "weekly[0].until", "such as fri 16:00"},
      {weekly({{"fri 16:60", "mon 08:00"}}), "weekly[0].from", "such as fri 16:00"},
      {weekly({{"fri 16:00", "fri 16:00"}}), "weekly[0].until", "another time"},
      {weekly({{"sun 24:00", "mon 00:00"}}), "weekly[0].until", "another time"},
      {weekly({{"fri 16:00", "mon 08:00"}}, "Mars/Olympus"), "time_zone", "Mars/Olympus"},
      {weekly({{"fri 16:00", "mon 08:00"}}, "../etc/passwd"), "time_zone", "passwd"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.problem);
    const auto faults = faults_of(c.freeze);
    ASSERT_EQ(faults.size(), 1u);
    EXPECT_EQ(faults[0].field, c.field);
    EXPECT_NE(faults[0].problem.find(c.problem), std::string::npos) << faults[0].problem;
  }
  EXPECT_TRUE(faults_of(weekly({{"fri 16:00", "mon 08:00"}}, "Europe/Berlin")).empty());
}

class FreezesTest : public testing::Test {
 protected:
  FreezesTest() {
    resources_.add(service_.kind());
    clock_.set(at("2026-12-24T12:00:00Z"));
  }
  void declare(const std::string& name, json::object more = {}) {
    json::object one{{"kind", "freeze"},
                     {"name", name},
                     {"owner", "platform"},
                     {"reason", "nobody is here"},
                     {"applies_to", json::array{"release"}},
                     {"from", "2026-12-20T00:00:00Z"},
                     {"until", "2027-01-04T00:00:00Z"}};
    for (const auto& field : more) one[field.key()] = field.value();
    must(resources_.apply(ana_, {.documents = {{.declaration = one}}}));
  }
  bool holds(const Subject& subject) {
    const auto done = db_->read(
        ana_, [&](sql::Tx& tx) { return freezes::check(tx, "p1", clock_.now(), subject); });
    if (!done) {
      EXPECT_EQ(done.error().code, Code::failed_precondition);
      EXPECT_NE(done.error().message.find("nobody is here"), std::string::npos);
      EXPECT_NE(done.error().message.find("penstock freezes override"), std::string::npos);
    }
    return !done;
  }

  const Call ana_ = test::call("user:ana");
  ManualClock clock_;
  const std::unique_ptr<sql::Database> db_ = test::database();
  resources::Service resources_{*db_, clock_};
  Service service_{*db_, clock_};
};

TEST_F(FreezesTest, HoldWhatTheySpeakOf) {
  struct Case {
    const char* what;
    json::object freeze;
    Subject subject;
    bool held;
  };
  const json::array both{"release", "approve"};
  const Case cases[] = {
      {"everything", {}, {What::release, "release:1", "desk", "m"}, true},
      {"not approvals", {}, {What::approve, "model:m@v1", "", "m"}, false},
      {"approvals too", {{"applies_to", both}}, {What::approve, "model:m@v1", "", "m"}, true},
      {"this route", {{"routes", json::array{"desk"}}}, {What::release, "r:1", "desk", "m"}, true},
      {"routes like it",
       {{"routes", json::array{"de*"}}},
       {What::release, "r:1", "desk", "m"},
       true},
      {"another route",
       {{"routes", json::array{"de"}}},
       {What::release, "r:1", "desk", "m"},
       false},
      {"another model", {{"models", json::array{"n"}}}, {What::release, "r:1", "desk", "m"}, false},
      {"route, but not model",
       {{"routes", json::array{"desk"}}, {"models", json::array{"n"}}},
       {What::release, "r:1", "desk", "m"},
       false},
      {"it is over",
       {{"until", "2026-12-24T12:00:00Z"}},
       {What::release, "r:1", "desk", "m"},
       false},
      {"it is to come",
       {{"from", "2026-12-24T12:00:01Z"}},
       {What::release, "r:1", "desk", "m"},
       false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    declare("f", c.freeze);
    EXPECT_EQ(holds(c.subject), c.held);
  }
}

TEST_F(FreezesTest, AnOverrideLetsOneThingThroughUntilTheFreezeEndsAndOpensAnIncident) {
  const Subject one{What::release, "release:1", "desk", "m"},
      other{What::release, "release:2", "desk", "m"};
  EXPECT_EQ(service_.override_for(ana_, {"release:1", "it cannot wait"}).error().code,
            Code::failed_precondition)
      << "there is no freeze";
  declare("weekend",
          {{"from", nullptr},
           {"until", nullptr},
           {"weekly", json::array{json::object{{"from", "thu 10:00"}, {"until", "mon 08:00"}}}}});
  ASSERT_TRUE(holds(one));
  EXPECT_EQ(service_.override_for(ana_, {"nonsense", "it cannot wait"}).error().code,
            Code::invalid_argument);
  EXPECT_EQ(service_.override_for(ana_, {"route:desk", "it cannot wait"}).error().code,
            Code::invalid_argument);
  EXPECT_EQ(test::count(*db_, "freeze_overrides"), 0);
  const auto made = must(service_.override_for(ana_, {"release:1", "it cannot wait"}));
  ASSERT_EQ(made.overrides.size(), 1u);
  EXPECT_EQ(to_rfc3339(made.overrides[0].until), "2026-12-28T08:00:00Z");
  EXPECT_FALSE(holds(one));
  EXPECT_TRUE(holds(other));
  EXPECT_EQ(test::count(*db_,
                        "audit_events WHERE action = 'freezes.overridden' AND subject = "
                        "'release:1' AND detail LIKE '%it cannot wait%'"),
            1);
  const auto incident = must(incidents::Service(*db_, clock_).get(ana_, {made.incident})).incident;
  EXPECT_EQ(incident.title, "user:ana lets release:1 through freeze weekend: it cannot wait");
  // Once more changes nothing; and the next weekend holds again.
  must(service_.override_for(ana_, {"release:1", "it cannot wait"}));
  EXPECT_EQ(test::count(*db_, "freeze_overrides"), 1);
  clock_.set(at("2026-12-31T12:00:00Z"));
  EXPECT_TRUE(holds(one));
}

TEST_F(FreezesTest, AreListedWithTheirNextTime) {
  declare("now");
  declare("later", {{"from", "2027-02-01T00:00:00Z"}, {"until", "2027-02-02T00:00:00Z"}});
  declare("past", {{"from", "2025-02-01T00:00:00Z"}, {"until", "2025-02-02T00:00:00Z"}});
  const auto list = must(service_.list(ana_)).freezes;
  ASSERT_EQ(list.size(), 3u);
  EXPECT_FALSE(list[0].in_force);
  EXPECT_EQ(to_rfc3339(*list[0].since), "2027-02-01T00:00:00Z");
  EXPECT_TRUE(list[1].in_force);
  EXPECT_FALSE(list[2].in_force);
  EXPECT_FALSE(list[2].since);
}

TEST_F(FreezesTest, HoldWhereTheirTimeZoneIsNotKnownAnyMore) {
  must(db_->write(ana_, [](sql::Tx& tx) {
    return tx.run(
        "INSERT INTO resources (project, kind, name, version, digest, owner, declaration, "
        "applied_at, applied_by) VALUES ('p1', 'freeze', 'f', 1, 'd', 'o', '{\"name\":\"f\","
        "\"owner\":\"o\",\"applies_to\":[\"release\"],\"reason\":\"nobody is "
        "here\",\"time_zone\":\"Mars/Olympus\",\"weekly\":"
        "[{\"from\":\"fri 16:00\",\"until\":\"mon 08:00\"}]}', 1, 'user:ana')",
        {});
  }));
  EXPECT_TRUE(holds({What::release, "release:1", "desk", "m"}));
  EXPECT_NE(must(service_.list(ana_)).freezes.at(0).fault.find("install tzdata"),
            std::string::npos);
}

}  // namespace
}  // namespace penstock::freezes
