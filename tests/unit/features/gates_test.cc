#include <cmath>

#include "features/gates.h"
#include "tests/unit/features/operations_fixture.h"

namespace penstock::features {
namespace {

using GatesTest = OperationsTest;

constexpr const char* heat_from_zero = "checks: [{feature: heat, rule: min, value: 0}]\n";

TEST_F(GatesTest, AFailingGateStopsItsViewAndNoOther) {
  given({{"a", 1, 0, 0, 1.0, "x"}, {"b", 2, 1, 1, 2.0, "y"}});
  test::must(apply(source() + sensor_heat(heat_from_zero) + place_heat("")));
  test::must(move(5));
  given({{"a", 1, 0, 0, 1.0, "x"}, {"b", 2, 1, 1, 2.0, "y"}, {"a", 1, 6, 6, -3.0, "z"}});
  const auto stopped = move(10);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Code::failed_precondition);
  EXPECT_EQ(stopped.error().message,
            "feature view sensor_heat@1 was not materialized: check heat min does not hold: heat "
            "is below 0 in 1 of 3 rows (such as a, 1); what is online stays as it was, up to "
            "2020-09-13T12:26:45Z; mend the source, or the check");
  EXPECT_EQ(told(), std::vector<std::string>{"p1 feature_view:sensor_heat@1 check:heat:min"});
  EXPECT_EQ(last_.detail.at("violations").as_int64(), 1);
  EXPECT_EQ(value_of("sensor_heat:heat", "a", 1), "1E0 PRESENT");
  EXPECT_EQ(value_of("place_heat:place_heat", "a", 1), "-3E0 PRESENT");
  const ViewStatus after = status("sensor_heat");
  EXPECT_EQ(after.watermark, at(5));
  EXPECT_EQ(after.work->failures, 1);
  EXPECT_EQ(after.work->last_error, stopped.error().message);

  given({{"a", 1, 0, 0, 1.0, "x"}, {"b", 2, 1, 1, 2.0, "y"}, {"a", 1, 6, 6, 3.0, "z"}});
  test::must(move(10));
  EXPECT_EQ(told(), std::vector<std::string>{"over p1 feature_view:sensor_heat@1 check:heat:min"});
  EXPECT_EQ(value_of("sensor_heat:heat", "a", 1), "3E0 PRESENT");
  EXPECT_EQ(status("sensor_heat").work->last_error, "");
}

TEST_F(GatesTest, NamesTheKeysWhereNoneIsConfidential) {
  given({{"a", 1, 0, 0, -1.0, "x"}, {"b", 2, 1, 1, 2.0, "y"}, {"c", 3, 1, 1, -2.0, "y"}});
  test::must(apply(source() + sensor_heat(heat_from_zero)));
  ASSERT_FALSE(move(10));
  EXPECT_EQ(last_.detail.at("sample_keys"), json::value(json::array{"a, 1", "c, 3"}));
  std::string secret = source();
  secret.replace(secret.find("name: place, type: text, classification: public"), 47,
                 "name: place, type: text, classification: restricted");
  test::must(apply(secret));
  ASSERT_FALSE(move(10));
  EXPECT_EQ(last_.detail.at("sample_keys"), json::value(json::array{}));
}

TEST_F(GatesTest, RejectsRowsAndKeepsTheOthersOfflineAndOnline) {
  const std::string gates =
      "checks: [{feature: heat, rule: min, value: 0, reject_rows: true}, {feature: heat, rule: "
      "not_null, reject_rows: true}]\n";
  given({{"a", 1, 0, 0, 1.0, "x"},
         {"a", 1, 2, 2, -1.0, "x"},
         {"a", 1, 3, 3, {}, "x"},
         {"a", 1, 1, 1, 5.0, "x"},
         {"b", 2, 1, 1, 2.0, "y"},
         {"c", 3, 1, 1, -9.0, "y"}});
  test::must(apply(source() + sensor_heat(gates)));
  const auto moved = test::must(move(10));
  ASSERT_EQ(moved.views.size(), 1u);
  const Materialized& view = moved.views[0];
  EXPECT_EQ(view.rows, 6);
  EXPECT_EQ(view.rejected, 3);
  EXPECT_EQ(view.written, 2);
  EXPECT_EQ(view.ignored, 1);
  EXPECT_EQ(view.rows, view.written + view.ignored + view.rejected);
  ASSERT_EQ(view.checks.size(), 2u);
  EXPECT_EQ(view.checks[0].what, "heat is below 0 in 2 of 6 rows");
  EXPECT_EQ(view.checks[0].sample_keys, (std::vector<std::string>{"a, 1", "c, 3"}));
  EXPECT_EQ(view.checks[1].what, "heat is null in 1 of 6 rows");
  EXPECT_EQ(value_of("sensor_heat:heat", "a", 1), "5E0 PRESENT");
  EXPECT_EQ(value_of("sensor_heat:heat", "c", 3), "null NOT_FOUND");
  EXPECT_EQ(test::must(features_.verify(ana_, {.name = "sensor_heat"})).differing, 0);
  EXPECT_TRUE(told().empty());
  const auto offline = test::must(features_.historical(
      ana_, {.entity_sql = "SELECT place, sensor, TIMESTAMP '2030-01-01' AS event_time FROM "
                           "readings",
             .features = {"sensor_heat:heat"}}));
  EXPECT_EQ(rows("SELECT count(*) FROM read_parquet('" + offline.uri + "') WHERE heat < 0")[0][0],
            Scalar(std::int64_t{0}));

  PushInput pushed{.view = "sensor_heat"};
  pushed.rows.push_back(
      {{"place", "a"}, {"sensor", 1}, {"seen", to_rfc3339(at(20))}, {"heat", -4.0}, {"note", "p"}});
  const auto refused = features_.push(ana_, pushed);
  ASSERT_FALSE(refused);
  EXPECT_EQ(test::faults_of(refused.error()),
            "rows[0].heat breaks check heat min, which rejects rows\n");
}

// Where nothing arrived there is nothing to count, and that is no fault.
TEST_F(GatesTest, HoldWhereNothingArrived) {
  given({{"a", 1, 0, 0, 1.0, "x"}});
  test::must(
      apply(source() + sensor_heat("checks: [{feature: heat, rule: min, value: 0}, {feature: "
                                   "note, rule: not_null, reject_rows: true}]\n")));
  EXPECT_EQ(test::must(move(-5)).rows, 0);
  EXPECT_EQ(test::must(move(5)).rows, 1);
  EXPECT_EQ(test::must(move(10)).rows, 0);
  EXPECT_EQ(status("sensor_heat").watermark, at(10));
  EXPECT_EQ(status("sensor_heat").work->last_error, "");
}

TEST_F(GatesTest, JudgesEachRuleByTheRowsThatAreMoved) {
  struct Case {
    std::string gate;
    std::string what;  // empty: it holds
  };
  const Case cases[] = {
      {"{feature: heat, rule: not_null}", "heat is null in 1 of 4 rows"},
      {"{feature: note, rule: not_null}", ""},
      {"{feature: heat, rule: min, value: 1}", ""},
      {"{feature: heat, rule: min, value: 1.5}", "heat is below 1.5E0 in 1 of 4 rows"},
      {"{feature: heat, rule: max, value: 3}", ""},
      {"{feature: heat, rule: max, value: 2}", "heat is above 2 in 1 of 4 rows"},
      {"{feature: note, rule: max, value: y}", "note is above \"y\" in 1 of 4 rows"},
      {"{feature: note, rule: one_of, value: [x, y, z]}", ""},
      {"{feature: note, rule: one_of, value: [x, \"it's\"]}",
       "note is none of [\"x\",\"it's\"] in 3 of 4 rows"},
      {"{feature: heat, rule: max_null_share, value: 0.25}", ""},
      {"{feature: heat, rule: max_null_share, value: 0.2}",
       "heat is null in 25% (1 of 4 rows), and may for 20%"},
      {"{rule: min_rows, value: 4}", ""},
      {"{rule: min_rows, value: 5}", "4 rows arrived, and at least 5 must"},
      {"{rule: max_rows, value: 4}", ""},
      {"{rule: max_rows, value: 3}", "4 rows arrived, and at most 3 may"},
      {"{feature: heat, rule: max_share_changed, value: 0}", ""},  // nothing is online yet
  };
  given({{"a", 1, 0, 0, 1.0, "x"},
         {"b", 2, 1, 1, {}, "y"},
         {"c", 3, 1, 1, 3.0, "y"},
         {"d", 4, 1, 1, 2.0, "z"}});
  test::must(apply(source()));
  int number = 0;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.gate);
    std::string view = sensor_heat("checks: [" + c.gate + "]\n");
    const std::string name = "view_" + std::to_string(++number);
    view.replace(view.find("sensor_heat"), 11, name);
    test::must(apply(view));
    const auto moved = move(10, {name});
    ASSERT_EQ(static_cast<bool>(moved), c.what.empty());
    const std::string said = moved ? "" : moved.error().message;
    EXPECT_NE(said.find(c.what), std::string::npos) << said;
  }
}

TEST_F(GatesTest, AWarningIsOnlyTold) {
  given({{"a", 1, 0, 0, -1.0, "x"}});
  test::must(apply(source() + sensor_heat("checks: [{feature: heat, rule: min, value: 0, severity: "
                                          "warning}]\n")));
  const auto moved = test::must(move(10));
  ASSERT_EQ(moved.views.at(0).checks.size(), 1u);
  EXPECT_FALSE(moved.views[0].checks[0].passed);
  EXPECT_EQ(value_of("sensor_heat:heat", "a", 1), "-1E0 PRESENT");
  EXPECT_TRUE(told().empty());
}

TEST_F(GatesTest, SeesHowManyEntitiesChange) {
  const std::string gate = "checks: [{feature: heat, rule: max_share_changed, value: 0.5}]\n";
  given({{"a", 1, 0, 0, 1.0, "x"}, {"b", 2, 0, 0, 2.0, "y"}, {"c", 3, 0, 0, 3.0, "z"}});
  test::must(apply(source() + sensor_heat(gate)));
  test::must(move(5));
  const std::vector<Reading> before = {
      {"a", 1, 0, 0, 1.0, "x"}, {"b", 2, 0, 0, 2.0, "y"}, {"c", 3, 0, 0, 3.0, "z"}};
  std::vector<Reading> one = before, two = before;
  one.push_back({"a", 1, 6, 6, 9.0, "x"});
  two.push_back({"a", 1, 6, 6, 9.0, "x"});
  two.push_back({"b", 2, 6, 6, 9.0, "x"});
  given(two);
  const auto stopped = move(10);
  ASSERT_FALSE(stopped);
  EXPECT_NE(stopped.error().message.find("heat changed for 66.67% (2 of 3 entities)"),
            std::string::npos)
      << stopped.error().message;
  given(one);
  EXPECT_TRUE(move(10));
}

TEST_F(GatesTest, RefusesGatesThatMakeNoSense) {
  given({});
  test::must(apply(source()));
  struct Case {
    std::string gate, fault;
  };
  const Case cases[] = {
      {"{feature: cold, rule: not_null}", "checks[0].feature cold is no feature of the view"},
      {"{rule: not_null}", "checks[0].feature must name a feature of the view"},
      {"{feature: heat, rule: min_rows, value: 1}",
       "checks[0].feature must not be given: min_rows is of all rows"},
      {"{feature: heat, rule: not_null, value: 1}", "checks[0].value must not be given"},
      {"{feature: heat, rule: min, value: low}", "checks[0].value must be of type double"},
      {"{feature: note, rule: min, value: 1}", "checks[0].value must be of type text"},
      {"{feature: heat, rule: one_of, value: []}",
       "checks[0].value must be a list of 1 to 1000 values of type double"},
      {"{feature: heat, rule: max_null_share, value: 2}",
       "checks[0].value must be a share from 0 to 1"},
      {"{rule: max_rows, value: 1.5}", "checks[0].value must be a whole number from 0"},
      {"{feature: heat, rule: max_null_share, value: 0.5, reject_rows: true}",
       "checks[0].reject_rows is for not_null, min, max and one_of"},
      {"{feature: heat, rule: min, value: 0, severity: warning, reject_rows: true}",
       "checks[0].severity must be error where rows are rejected"},
      {"{feature: heat, rule: highest}", "checks[0].rule must be one of"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.gate);
    EXPECT_NE(faults(sensor_heat("checks: [" + c.gate + "]\n")).find(c.fault), std::string::npos)
        << faults(sensor_heat("checks: [" + c.gate + "]\n"));
  }
}

// The same rows are kept out of a push as of a materialize.
TEST_F(GatesTest, SaysTheSameInSqlAndOfOneRow) {
  const auto view = test::must(decode<FeatureView>(json::parse(R"({
    "name": "v", "owner": "o", "entity": "e", "sources": ["s"], "sql": "SELECT 1",
    "event_time": "t", "features": [{"name": "heat"}, {"name": "note", "type": "text"},
    {"name": "number", "type": "bigint"}, {"name": "on", "type": "boolean"}], "checks": [
    {"feature": "heat", "rule": "min", "value": 0.5, "reject_rows": true},
    {"feature": "heat", "rule": "max", "value": 10, "reject_rows": true},
    {"feature": "note", "rule": "one_of", "value": ["x", "it's"], "reject_rows": true},
    {"feature": "note", "rule": "min", "value": "b", "reject_rows": true},
    {"feature": "number", "rule": "not_null", "reject_rows": true},
    {"feature": "number", "rule": "max", "value": 2.5, "reject_rows": true},
    {"feature": "on", "rule": "one_of", "value": [true], "reject_rows": true}]})")));
  const std::vector<Scalar> heats = {Scalar{}, 0.5, 0.49, 10.0, 10.5, std::nan(""), -INFINITY},
                            notes = {Scalar{}, "x", "it's", "a", "", "ü"},
                            numbers = {Scalar{}, std::int64_t{2}, std::int64_t{3}},
                            ons = {Scalar{}, true, false};
  const auto session = test::must(olap_->session());
  const std::string condition = rejecting_condition(view);
  int rejected = 0, kept = 0;
  for (const Scalar& heat : heats)
    for (const Scalar& note : notes)
      for (const Scalar& number : numbers)
        for (const Scalar& on : ons) {
          const auto found = test::must(session->query(
              "SELECT " + condition +
                  " FROM (SELECT CAST($1 AS DOUBLE) AS heat, CAST($2 AS VARCHAR) AS note, CAST($3 "
                  "AS BIGINT) AS number, CAST($4 AS BOOLEAN) AS \"on\")",
              {heat, note, number, on}));
          const bool breaks = !broken_gates(view, {heat, note, number, on}).empty();
          EXPECT_EQ(found.rows.at(0).at(0), Scalar(breaks))
              << json::serialize(to_json(note)) << json::serialize(to_json(number));
          ++(breaks ? rejected : kept);
        }
  EXPECT_GT(rejected, 10);
  EXPECT_GT(kept, 5);
}

}  // namespace
}  // namespace penstock::features
