// Rows that are pushed to the offline side, with or without the online one.
#include <random>

#include "features/erasure.h"
#include "tests/unit/features/windows_fixture.h"

namespace penstock::features {
namespace {

class PushOfflineTest : public FeaturesTest {
 protected:
  PushOfflineTest() {
    clock_.set(at(100));
    given({{"a", 1, 10, 10, 1.0, "x"}});
    test::must(apply(source() + views() + schema()));
  }
  static json::object row(const std::string& place, std::int64_t seen, std::optional<double> heat) {
    json::object out{{"place", place}, {"happened", to_rfc3339(at(seen))}, {"last_sensor", 7}};
    if (heat) out["place_heat"] = *heat;
    return out;
  }
  Result<PushOutput> push(PushTo to, std::vector<json::object> rows) {
    return features_.push(ana_, {.view = "place_heat", .rows = std::move(rows), .to = to});
  }
  // What the place's heat is offline as of each of these instants.
  std::string offline(const std::string& place, std::vector<std::int64_t> seconds,
                      std::optional<std::int64_t> known_as_of = {}) {
    std::string values;
    for (const std::int64_t second : seconds)
      values += (values.empty() ? "(" : ", (") + sql_text(place) + ", " + sql_time(second) + ")";
    HistoricalInput input{
        .entity_sql = "SELECT * FROM (VALUES " + values + ") AS t(place, event_time)",
        .features = {"place_heat:place_heat"}};
    if (known_as_of) input.known_as_of = at(*known_as_of);
    const auto out = test::must(features_.historical(ana_, input));
    std::string text;
    for (const auto& one :
         rows("SELECT place_heat FROM read_parquet(" + olap::quoted_text(out.uri) + ")"))
      text += json::serialize(to_json(one[0])) + " ";
    return text;
  }
  std::string online(const std::string& place, std::int64_t seconds) {
    const FeatureRow found = read(place, 1, seconds);
    return std::string(name_of(found.statuses[0])) + " " +
           json::serialize(to_json(found.values[0]));
  }
  VerifyOutput verify() { return test::must(features_.verify(ana_, {.name = "place_heat"})); }
};

TEST_F(PushOfflineTest, OnlineAloneIsNeverKnownOffline) {
  EXPECT_EQ(test::must(push(PushTo::online, {row("a", 50, 5.0)})).kept, 0);
  EXPECT_EQ(online("a", 100), "PRESENT 5E0");
  EXPECT_EQ(offline("a", {200}), "1E0 ");
  materialize(60);
  EXPECT_EQ(verify().causes, (std::map<std::string, std::int64_t>{{"pushed only", 1}}));
}

TEST_F(PushOfflineTest, OfflineIsSeenByJoinsAtOnceAndOnlineOnceItWasMoved) {
  const PushOutput out = test::must(push(PushTo::offline, {row("a", 50, 5.0), row("b", 60, {})}));
  EXPECT_EQ(out.kept, 2);
  EXPECT_EQ(out.written, 2);
  EXPECT_EQ(out.ignored, 0);
  EXPECT_EQ(online("a", 100), "NOT_FOUND null");
  // From its arrival on; what is known by now of the time before is asked for.
  EXPECT_EQ(offline("a", {5, 50, 99, 100, 200}), "null 1E0 1E0 5E0 5E0 ");
  EXPECT_EQ(offline("a", {5, 49, 50, 99}, 1'000), "null 1E0 5E0 5E0 ");
  EXPECT_EQ(offline("b", {100}), "null ");
  materialize(99);
  EXPECT_EQ(online("a", 100), "PRESENT 1E0");
  materialize(100);
  EXPECT_EQ(online("a", 100), "PRESENT 5E0");
  EXPECT_EQ(online("b", 100), "NULL_VALUE null");
  EXPECT_EQ(verify().differing, 0);
}

TEST_F(PushOfflineTest, BothSidesAgreeBeforeTheWatermarkComesAndAfter) {
  materialize(60);
  const PushOutput out =
      test::must(push(PushTo::online_and_offline, {row("a", 50, 5.0), row("new", 55, 6.0)}));
  EXPECT_EQ(out.kept, 2);
  EXPECT_EQ(out.written, 2);
  EXPECT_EQ(online("a", 100), "PRESENT 5E0");
  EXPECT_EQ(offline("a", {99, 100}), "1E0 5E0 ");
  VerifyOutput found = verify();
  EXPECT_EQ(found.differing, 0) << json::serialize(encode(found));
  EXPECT_EQ(found.entities, 2);
  materialize(200);
  EXPECT_EQ(online("a", 200), "PRESENT 5E0");
  found = verify();
  EXPECT_EQ(found.differing, 0) << json::serialize(encode(found));
  EXPECT_EQ(found.entities, 2);
}

// The last word at an equal event time counts on both sides, in one call and in several.
TEST_F(PushOfflineTest, CorrectionsAtAnEqualEventTimeCountOnBothSides) {
  test::must(push(PushTo::online_and_offline, {row("a", 50, 9.0), row("a", 50, 8.0)}));
  EXPECT_EQ(online("a", 100), "PRESENT 8E0");
  EXPECT_EQ(offline("a", {101}), "8E0 ");
  test::must(push(PushTo::online_and_offline, {row("a", 50, 2.0)}));
  EXPECT_EQ(online("a", 100), "PRESENT 2E0");
  EXPECT_EQ(offline("a", {101}), "2E0 ");
  materialize(101);
  EXPECT_EQ(online("a", 101), "PRESENT 2E0");
  EXPECT_EQ(verify().differing, 0);
}

TEST_F(PushOfflineTest, AnOlderEventTakesNothingBackOnEitherSide) {
  test::must(push(PushTo::online_and_offline, {row("a", 50, 5.0)}));
  const PushOutput out = test::must(push(PushTo::online_and_offline, {row("a", 40, 4.0)}));
  EXPECT_EQ(out.written, 0);
  EXPECT_EQ(out.ignored, 1);
  EXPECT_EQ(out.kept, 1);
  EXPECT_EQ(online("a", 101), "PRESENT 5E0");
  EXPECT_EQ(offline("a", {101}), "5E0 ");
  materialize(101);
  EXPECT_EQ(online("a", 101), "PRESENT 5E0");
  EXPECT_EQ(verify().differing, 0);
}

TEST_F(PushOfflineTest, RefusesWhatIsBadAndKeepsNothingOfIt) {
  EXPECT_EQ(test::faults_of(features_
                                .push(ana_, {.view = "place_heat",
                                             .rows = {row("a", 50, 5.0), {{"place", "b"}}},
                                             .all_or_nothing = true,
                                             .to = PushTo::offline})
                                .error()),
            "rows[1].happened is missing\n");
  EXPECT_EQ(test::faults_of(features_
                                .push(ana_, {.view = "place_heat",
                                             .deletes = {{{"place", "a"}, {"happened", "x"}}},
                                             .to = PushTo::online_and_offline})
                                .error()),
            "deletes go to online alone\n");
  EXPECT_EQ(
      features_.push(ana_, {.view = "none", .rows = {row("a", 1, 1.0)}, .to = PushTo::offline})
          .error()
          .code,
      Code::not_found);
  EXPECT_EQ(test::count(*db_, "feature_pushed_rows"), 0);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'features.rows.pushed'"), 0);
  test::must(push(PushTo::offline, {row("a", 50, 5.0), row("b", 50, 5.0)}));
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'features.rows.pushed'"), 1);
}

TEST_F(PushOfflineTest, AnErasureTakesTheRowsAwayAndKeepsThemAway) {
  test::must(push(PushTo::online_and_offline, {row("a", 50, 5.0), row("b", 50, 6.0)}));
  materialize(100);
  const std::map<std::string, std::string> entity{{"place", "b"}};
  test::must(features_.erase(ana_, {.entities = {entity}, .reason = "asked"}));
  EXPECT_EQ(test::count(*db_, "feature_pushed_rows"), 1);
  EXPECT_EQ(test::count(*db_, "feature_pushed_rows WHERE row_text LIKE '%\"b\"%'"), 0);
  EXPECT_EQ(online("b", 101), "NOT_FOUND null");
  EXPECT_EQ(offline("b", {101}), "null ");
  const PushOutput out = test::must(push(PushTo::online_and_offline, {row("b", 60, 7.0)}));
  EXPECT_EQ(out.kept + out.written, 0);
  EXPECT_EQ(test::count(*db_, "feature_pushed_rows"), 1);
  clock_.set(at(200));
  test::must(push(PushTo::online_and_offline, {row("b", 150, 8.0)}));  // came back
  EXPECT_EQ(online("b", 200), "PRESENT 8E0");
  EXPECT_EQ(offline("b", {200}), "8E0 ");
  EXPECT_EQ(offline("a", {200}), "5E0 ");
  EXPECT_EQ(verify().differing, 0);
}

TEST_F(PushOfflineTest, AnotherVersionTakesWhatItCanOfTheRows) {
  json::object whole = row("a", 50, {});
  whole["place_heat"] = 5;
  test::must(push(PushTo::offline, {whole, row("b", 50, 6.5)}));
  std::string changed = views();
  const std::string before = "{name: place_heat}, ";
  changed.replace(changed.find(before), before.size(),
                  "{name: place_heat, type: bigint}, {name: more, type: text}, ");
  const std::string sql = "heat AS place_heat, ";
  changed.replace(changed.find(sql), sql.size(), "heat::BIGINT AS place_heat, 'm' AS more, ");
  changed.replace(changed.find("event_time: happened"), 20,
                  "compatibility: none\nevent_time: happened");
  test::must(apply(source() + changed));
  // 6.5 is no bigint.
  EXPECT_EQ(offline("a", {100}), "5 ");
  EXPECT_EQ(offline("b", {100}), "null ");
}

// Values of every kind come back as they were pushed, beside those of the sources.
TEST_F(PushOfflineTest, EveryKindOfValueIsTheSameOnBothSides) {
  test::must(apply(R"(kind: feature_view
name: kinds
owner: sensors
entity: place
sources: [readings]
sql: >-
  SELECT place, seen, heat AS real, sensor AS whole, heat > 1 AS truth, note, seen AS instant,
  heat::DECIMAL(6, 2) AS money, [heat] AS reals, [sensor] AS wholes, [note] AS notes, [true] AS truths,
  [heat, 1]::FLOAT[] AS look FROM readings
event_time: seen
features:
  - {name: real}
  - {name: whole, type: bigint}
  - {name: truth, type: boolean}
  - {name: note, type: text}
  - {name: instant, type: timestamp}
  - {name: money, type: decimal}
  - {name: reals, type: list<double>}
  - {name: wholes, type: list<bigint>}
  - {name: notes, type: list<text>}
  - {name: truths, type: list<boolean>}
  - {name: look, type: embedding, dimension: 2}
)"));
  const json::object full{{"place", "b"},
                          {"seen", to_rfc3339(at(50))},
                          {"real", 0.1},
                          {"whole", std::int64_t{9'007'199'254'740'993}},
                          {"truth", true},
                          {"note", "it's \"q\" \xc3\xb8"},
                          {"instant", "2024-05-01T00:00:00.000001Z"},
                          {"money", "12345678901234.123456"},
                          {"reals", {1.5, nullptr, "NaN", "Infinity"}},
                          {"wholes", {1, nullptr}},
                          {"notes", {"a,b", nullptr, "\"c\""}},
                          {"truths", {true, nullptr}},
                          {"look", {0.1, -2.5}}};
  const json::object nulls{{"place", "c"}, {"seen", to_rfc3339(at(50))}};
  const json::object nan{{"place", "d"}, {"seen", to_rfc3339(at(50))}, {"money", "-0.5"}};
  test::must(features_.push(
      ana_, {.view = "kinds", .rows = {full, nulls, nan}, .to = PushTo::online_and_offline}));
  const auto said = [&] {
    std::string text;
    const auto out = test::must(features_.online(
        ana_, {.features = {"kinds:real", "kinds:whole", "kinds:truth", "kinds:note",
                            "kinds:instant", "kinds:money", "kinds:reals", "kinds:wholes",
                            "kinds:notes", "kinds:truths", "kinds:look"},
               .entities = {{{"place", "b"}}, {{"place", "c"}}, {{"place", "d"}}},
               .event_time = at(200)}));
    for (const auto& one : out.rows) text += json::serialize(encode(one.values)) + "\n";
    return text;
  };
  const std::string pushed = said();
  EXPECT_NE(pushed.find("12345678901234.123456"), std::string::npos) << pushed;
  test::must(features_.materialize(ana_, {.views = {"kinds"}, .until = at(100)}));
  const VerifyOutput found = test::must(features_.verify(ana_, {.name = "kinds"}));
  EXPECT_EQ(found.differing, 0) << json::serialize(encode(found));
  EXPECT_EQ(found.values, 44);
  // As the offline table has them, moved by another server to a store of its own.
  test::OnlineStore other(folder_ / "other");
  Service second(*db_, *olap_, *blobs_, other.store(), catalog_, clock_, metrics_,
                 {.scratch = folder_ / "scratch"});
  test::must(second.materialize(ana_, {.views = {"kinds"}, .until = at(100)}));
  const auto names = std::vector<std::string>{
      "kinds:real",  "kinds:whole",  "kinds:truth", "kinds:note",   "kinds:instant", "kinds:money",
      "kinds:reals", "kinds:wholes", "kinds:notes", "kinds:truths", "kinds:look"};
  std::string moved;
  const auto out = test::must(
      second.online(ana_, {.features = names,
                           .entities = {{{"place", "b"}}, {{"place", "c"}}, {{"place", "d"}}},
                           .event_time = at(200)}));
  for (const auto& one : out.rows) moved += json::serialize(encode(one.values)) + "\n";
  EXPECT_EQ(moved, pushed);
}

// What a store would refuse later must not stop the view then.
TEST_F(PushOfflineTest, ARowThatNoStoreTakesIsRejectedAtOnce) {
  const std::string zero("a\0b", 3);
  const auto out = test::must(push(PushTo::online_and_offline,
                                   {row(std::string(70'000, 'x'), 50, 1.0), row(zero, 50, 2.0)}));
  EXPECT_EQ(out.rejected, 1);
  EXPECT_EQ(out.kept, 1);
  EXPECT_EQ(out.rejects.at(0).field, "place");
  EXPECT_NE(out.rejects.at(0).reason.find("over the limit of 65472"), std::string::npos);
  EXPECT_EQ(
      test::must(push(PushTo::online, {row(std::string(70'000, 'x'), 50, 1.0), row("c", 1, 1.0)}))
          .rejected,
      1);
  test::must(apply(R"(kind: feature_view
name: notes
owner: sensors
entity: place
sources: [readings]
sql: SELECT place, seen, note FROM readings
event_time: seen
features: [{name: note, type: text}]
)"));
  EXPECT_EQ(features_
                .push(ana_, {.view = "notes",
                             .rows = {{{"place", "a"},
                                       {"seen", to_rfc3339(at(50))},
                                       {"note", std::string(9 << 20, 'y')}}},
                             .to = PushTo::offline})
                .error()
                .code,
            Code::invalid_argument);
  materialize(100);
  EXPECT_EQ(online(zero, 100), "PRESENT 2E0");
  EXPECT_EQ(verify().causes, (std::map<std::string, std::int64_t>{{"pushed only", 1}}));
}

TEST_F(PushOfflineTest, AViewThatIsNoneIsNamedAsTheCallerNamedIt) {
  for (const PushTo to : {PushTo::online, PushTo::online_and_offline})
    EXPECT_EQ(
        test::faults_of(
            features_.push(ana_, {.view = "none", .rows = {row("a", 1, 1.0)}, .to = to}).error()),
        "view is no online feature view\n");
}

TEST_F(PushOfflineTest, ColumnsMayBeCalledAsOurs) {
  test::must(apply(R"(kind: entity
name: odd
owner: sensors
join_keys: [{name: k1, type: text}]
---
kind: feature_view
name: odd
owner: sensors
entity: odd
sources: [readings]
sql: SELECT place AS k1, seen AS t, heat AS k0, heat AS e, heat AS v0, heat AS penstock_created_time FROM readings
event_time: t
features: [{name: k0}, {name: e}, {name: v0}, {name: penstock_created_time}]
)"));
  test::must(features_.materialize(ana_, {.views = {"odd"}, .until = at(40)}));
  const json::object one{{"k1", "a"}, {"t", to_rfc3339(at(50))},     {"k0", 1.0}, {"e", 2.0},
                         {"v0", 3.0}, {"penstock_created_time", 4.0}};
  EXPECT_EQ(test::must(features_.push(
                           ana_, {.view = "odd", .rows = {one}, .to = PushTo::online_and_offline}))
                .kept,
            1);
  for (const std::int64_t until : {40, 100}) {
    test::must(features_.materialize(ana_, {.views = {"odd"}, .until = at(until)}));
    const VerifyOutput found = test::must(features_.verify(ana_, {.name = "odd"}));
    EXPECT_EQ(found.differing, 0) << json::serialize(encode(found.differences));
    EXPECT_EQ(found.values, 4);
  }
}

TEST_F(PushOfflineTest, DoublesAreTheSameToTheLastBit) {
  std::mt19937_64 engine(3);
  std::uniform_real_distribution<double> any(-1e6, 1e6);
  std::vector<json::object> some;
  for (int i = 0; i < 500; ++i) some.push_back(row("p" + std::to_string(i), 50, any(engine)));
  EXPECT_EQ(test::must(push(PushTo::online_and_offline, some)).kept, 500);
  materialize(60);
  const VerifyOutput found = verify();
  EXPECT_EQ(found.differing, 0) << json::serialize(encode(found.differences.front()));
  EXPECT_EQ(found.entities, 501);
}

// G3 and G4 with pushes of every kind between materializations: late, tied, again, to one side or
// both. What is online is what offline says of now, once it was moved; and of what went to both
// sides at any time.
TEST_F(PushOfflineTest, OnlineIsOfflineAsOfNowWhateverComes) {
  std::mt19937 engine(7);
  const auto below = [&](std::int64_t count) {
    return std::uniform_int_distribution<std::int64_t>(0, count - 1)(engine);
  };
  std::int64_t now = 100;
  for (int turn = 0; turn < 60; ++turn) {
    now += 1 + below(20);
    clock_.set(at(now));
    std::vector<json::object> some;
    for (std::int64_t count = 1 + below(6); count > 0; --count)
      some.push_back(row(std::string(1, static_cast<char>('a' + below(3))), now - 10 * below(6),
                         static_cast<double>(below(100))));
    const bool both = below(3) > 0;
    test::must(push(both ? PushTo::online_and_offline : PushTo::offline, some));
    if (!both || below(3) == 0) {
      now += 2;
      clock_.set(at(now));
      materialize(now - 1);
    }
    for (const char* place : {"a", "b", "c"}) {
      // Rows of one call with equal keys and times are kept a microsecond apart.
      const std::string found = online(place, now + 1);
      const std::string value = offline(place, {now + 1});
      EXPECT_EQ(found.substr(found.find(' ') + 1) + " ", value) << place << " in turn " << turn;
    }
    EXPECT_EQ(verify().differing, 0) << "turn " << turn;
  }
}

// A view with windows: an event that went to both sides counts once, before the watermark comes and
// after, however often it is sent and however late it came.
class PushOfflineWindows : public WindowsTest {
 protected:
  PushOfflineWindows() { clock_.set(at(1'000)); }
  PushOutput push(PushTo to, std::vector<json::object> rows) {
    return test::must(
        features_.push(ana_, {.view = "place_windows", .rows = std::move(rows), .to = to}));
  }
  std::string offline(std::int64_t seconds) {
    const auto out = test::must(features_.historical(
        ana_, {.entity_sql = "SELECT 'a' AS place, " + sql_time(seconds) + " AS event_time",
               .feature_schema = "windows_v1"}));
    return text_of(rows("SELECT * EXCLUDE (place, event_time) FROM read_parquet(" +
                        olap::quoted_text(out.uri) + ")")
                       .at(0));
  }
  std::string online(std::int64_t seconds) {
    return text_of(read_windows(features_, "a", seconds).values);
  }
  std::int64_t count(std::int64_t seconds) {
    return std::get<std::int64_t>(read_windows(features_, "a", seconds).values.at(16));  // day
  }
  std::int64_t differing() {
    const auto out = test::must(features_.verify(ana_, {.name = "place_windows"}));
    EXPECT_EQ(out.differing, 0) << json::serialize(encode(out));
    return out.differing;
  }
};

TEST_F(PushOfflineWindows, AnEventCountsOnceOnBothSides) {
  given({{"a", 1, 900, 900, 2.0, "s"}});
  materialize(950);
  const std::vector<json::object> events = {pushed({"a", 2, 960, {}, 1.5, "n1"}),
                                            pushed({"a", 3, 900, {}, 0.1, "late"}),
                                            pushed({"a", 3, 900, {}, 0.1, "late"})};
  const PushOutput out = push(PushTo::online_and_offline, events);
  EXPECT_EQ(out.kept, 2);
  EXPECT_EQ(out.written, 2);
  EXPECT_EQ(out.ignored, 1);
  EXPECT_EQ(out.late, 0);
  for (const std::int64_t t : {1'001, 1'100}) {
    EXPECT_EQ(count(t), 3);
    EXPECT_EQ(online(t), offline(t)) << t;
  }
  differing();
  clock_.set(at(1'010));
  PushOutput again = push(PushTo::online_and_offline, events);
  EXPECT_EQ(again.kept + again.written, 0);
  EXPECT_EQ(again.ignored, 3);
  EXPECT_EQ(count(1'100), 3);
  clock_.set(at(1'200));
  materialize(1'150);
  EXPECT_EQ(count(1'200), 3);
  again = push(PushTo::online_and_offline, events);  // behind the watermark
  EXPECT_EQ(again.kept + again.written + again.late, 0);
  EXPECT_EQ(count(1'200), 3);
  EXPECT_EQ(online(1'200), offline(1'200));
  differing();
  materialize(1'300);
  EXPECT_EQ(count(1'300), 3);
  EXPECT_EQ(online(1'300), offline(1'300));
  differing();
}

TEST_F(PushOfflineWindows, OfflineAloneCountsOnceItWasMoved) {
  push(PushTo::offline, {pushed({"a", 2, 960, {}, 1.5, "n1"})});
  EXPECT_EQ(read_windows(features_, "a", 1'100).statuses[0], Status::NOT_FOUND);
  EXPECT_EQ(offline(999), text_of(std::vector<Scalar>(asked().size())));
  materialize(1'100);
  EXPECT_EQ(count(1'100), 1);
  EXPECT_EQ(online(1'100), offline(1'100));
  differing();
  const std::map<std::string, std::string> entity{{"place", "a"}};
  test::must(features_.erase(ana_, {.entities = {entity}, .reason = "asked"}));
  EXPECT_EQ(test::count(*db_, "feature_pushed_rows"), 0);
  EXPECT_EQ(read_windows(features_, "a", 1'100).statuses[0], Status::NOT_FOUND);
  EXPECT_EQ(offline(1'100), text_of(std::vector<Scalar>(asked().size())));
}

TEST_F(PushOfflineWindows, OnlineIsOfflineWhateverComes) {
  WindowRandom random(11);
  std::int64_t now = 1'000;
  for (int turn = 0; turn < 30; ++turn) {
    now += 1 + random.below(100);
    clock_.set(at(now));
    std::vector<json::object> some;
    for (std::int64_t count = 1 + random.below(6); count > 0; --count) {
      Reading r = random.reading(now - 600, now + 1);
      if (!r.place || !r.time) continue;
      if (r.created) r.created = std::min(*r.created, now);  // what is of later is not moved yet
      some.push_back(pushed(r));
      if (random.one_in(4)) some.push_back(pushed(r));
    }
    if (some.empty()) continue;
    const bool both = !random.one_in(3);
    push(both ? PushTo::online_and_offline : PushTo::offline, some);
    now += 2;
    clock_.set(at(now));
    if (!both || random.one_in(3)) materialize(now - 1);
    for (const std::int64_t t : {now, now + 61}) {
      const FeatureRow found = read_windows(features_, "a", t);
      if (found.from_future > 0) continue;
      EXPECT_EQ(text_of(found.values), offline(t)) << turn << " at " << t;
    }
    if (turn % 5 == 4) materialize(now), differing();
  }
}

}  // namespace
}  // namespace penstock::features
