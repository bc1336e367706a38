// Evaluation datasets, scorers and issues, on both databases.
#include <gtest/gtest.h>

#include "tests/support/fixture.h"
#include "tracking/evaluation_datasets.h"
#include "tracking/issues.h"
#include "tracking/scorers.h"

namespace penstock::tracking {
namespace {

using test::must;

class EvaluationTest : public testing::Test {
 protected:
  // Makes experiment 0.
  EvaluationTest() { must(tracking_.experiment(ana_, 0)); }
  json::array records(const std::string& text) { return json::parse(text).as_array(); }

  const Call ana_ = test::call("user:ana");
  ManualClock clock_;
  std::unique_ptr<sql::Database> db_ = test::database();
  Service tracking_{*db_, clock_};
  EvaluationDatasets datasets_{*db_, clock_};
  Scorers scorers_{*db_, clock_};
  Issues issues_{*db_, clock_};
};

TEST_F(EvaluationTest, TheSameInputsAreTheSameRecord) {
  const std::string id =
      must(datasets_.create(ana_, "d", {{"mlflow.user", "ana"}}, {0})).dataset.id;
  auto done = must(datasets_.upsert(
      ana_, id, records(R"([{"inputs": {"a": 1, "b": {"c": 2, "d": 3}}, "expectations": {"x": 1}},
                            {"inputs": {"a": 2}}])")));
  EXPECT_EQ(done.inserted, 2);
  done = must(datasets_.upsert(
      ana_, id, records(R"([{"inputs": {"b": {"d": 3, "c": 2}, "a": 1}, "outputs": "o",
                             "expectations": {"y": null}, "tags": {"t": "1"}},
                            {"inputs": {"a": 3}}])")));
  EXPECT_EQ(done.inserted, 1);
  EXPECT_EQ(done.updated, 1);
  const auto first = must(datasets_.records(ana_, id, 2, ""));
  ASSERT_EQ(first.items.size(), 2U);
  EXPECT_EQ(first.items[0].outputs, "\"o\"");
  EXPECT_EQ(first.items[0].expectations, R"({"x":1,"y":null})");
  const auto rest = must(datasets_.records(ana_, id, 2, first.next_page_token));
  ASSERT_EQ(rest.items.size(), 1U);
  EXPECT_EQ(rest.items[0].inputs, R"({"a":3})");
  EXPECT_EQ(rest.next_page_token, "");
  const auto kept = must(datasets_.get(ana_, id)).dataset;
  EXPECT_EQ(kept.profile, R"({"num_records":3})");
  EXPECT_EQ(json::parse(kept.schema_text).at("inputs").at("b").as_string(), "object");
  EXPECT_EQ(must(datasets_.remove_records(ana_, id, {first.items[0].id, "dr-none"})), 1);
  EXPECT_EQ(must(datasets_.get(ana_, id)).dataset.profile, R"({"num_records":2})");
  must(datasets_.remove(ana_, id));
  must(datasets_.remove(ana_, id));
  EXPECT_EQ(test::count(*db_, "evaluation_records"), 0);
}

TEST_F(EvaluationTest, RefusesRecordsNamingThemAndKeepsNone) {
  const std::string id = must(datasets_.create(ana_, "d", {}, {})).dataset.id;
  for (const char* wrong :
       {R"([5])", R"([{"inputs": {"a": 1}}, {}])", R"([{"inputs": {"a": 1}}, {"inputs": [1]}])",
        R"([{"inputs": {"a": 1}}, {"inputs": {}, "tags": 5}])"}) {
    const auto refused = datasets_.upsert(ana_, id, records(wrong));
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
    EXPECT_NE(refused.error().message.find("records["), std::string::npos);
  }
  EXPECT_EQ(test::count(*db_, "evaluation_records"), 0);
  EXPECT_EQ(datasets_.upsert(ana_, "d-none", {}).error().code, Code::not_found);
  EXPECT_EQ(datasets_.create(ana_, "", {}, {}).error().code, Code::invalid_argument);
  EXPECT_EQ(datasets_.create(ana_, "d", {}, {77}).error().code, Code::not_found);
}

TEST_F(EvaluationTest, FindsDatasetsByNameTagsAndExperiments) {
  must(datasets_.create(ana_, "alpha", {{"team", "ops"}}, {0}));
  clock_.advance(std::chrono::seconds(1));
  must(datasets_.create(ana_, "beta", {{"team", "web"}}, {}));
  const auto found = [&](const Search& search) {
    std::string names;
    for (const auto& one : must(datasets_.search(ana_, search)).items)
      names += one.dataset.name + " ";
    return names;
  };
  EXPECT_EQ(found({}), "beta alpha ");
  EXPECT_EQ(found({.experiments = {0}}), "alpha ");
  EXPECT_EQ(found({.filter = "tags.team = 'web' AND name LIKE 'b%'"}), "beta ");
  EXPECT_EQ(found({.filter = "created_time > 1700000000000"}), "beta ");
  EXPECT_EQ(found({.order_by = {"name ASC"}}), "alpha beta ");
  for (const char* wrong : {"colour = 'a'", "name > 'a'", "created_time = 'x'", "name = 5"})
    EXPECT_EQ(datasets_.search(ana_, {.filter = wrong}).error().code, Code::invalid_argument)
        << wrong;
}

TEST_F(EvaluationTest, ScorersCountTheirVersions) {
  const auto first = must(scorers_.add(ana_, 0, "right", R"({"v": 1})"));
  const auto second = must(scorers_.add(ana_, 0, "right", R"({"v": 2})"));
  EXPECT_EQ(second.version, 2);
  EXPECT_EQ(second.id, first.id);
  ASSERT_EQ(must(scorers_.list(ana_, {0})).size(), 1U);
  EXPECT_EQ(must(scorers_.list(ana_, {}))[0].version, 2);
  EXPECT_EQ(must(scorers_.get(ana_, 0, "right", 1)).body, R"({"v": 1})");
  must(scorers_.remove(ana_, 0, "right", 2));
  EXPECT_EQ(must(scorers_.get(ana_, 0, "right", {})).version, 1);
  EXPECT_EQ(scorers_.get(ana_, 0, "right", 2).error().code, Code::not_found);
  must(scorers_.remove(ana_, 0, "right", {}));
  EXPECT_EQ(scorers_.remove(ana_, 0, "right", {}).error().code, Code::not_found);
  EXPECT_EQ(scorers_.versions(ana_, 0, "right").error().code, Code::not_found);
  EXPECT_EQ(scorers_.add(ana_, 0, "a", "no json").error().code, Code::invalid_argument);
  EXPECT_EQ(scorers_.add(ana_, 0, "", "{}").error().code, Code::invalid_argument);
  EXPECT_EQ(scorers_.add(ana_, 77, "a", "{}").error().code, Code::not_found);
}

TEST_F(EvaluationTest, IssuesComeTheMostSevereFirst) {
  const auto add = [&](const std::string& name, const std::string& severity) {
    clock_.advance(std::chrono::seconds(1));
    return must(issues_.add(
        ana_, {.experiment = 0, .name = name, .description = "d", .severity = severity}));
  };
  const Issue low = add("low", "low");
  add("none", "");
  add("high", "high");
  std::string names;
  for (const Issue& one : must(issues_.search(ana_, {.experiment = 0})).items)
    names += one.name + " ";
  EXPECT_EQ(names, "high low none ");
  must(issues_.change(ana_, {.id = low.id, .status = "resolved"}));
  EXPECT_EQ(must(issues_.search(ana_, {.filter = "status = 'resolved'"})).items.size(), 1U);
  EXPECT_EQ(must(issues_.search(ana_, {.filter = "status != 'resolved'"})).items.size(), 2U);
  EXPECT_EQ(issues_.change(ana_, {.id = low.id, .status = "gone"}).error().code,
            Code::invalid_argument);
  EXPECT_EQ(issues_.get(ana_, "iss-none").error().code, Code::not_found);
  EXPECT_EQ(issues_.search(ana_, {.filter = "name = 'a'"}).error().code, Code::invalid_argument);
  EXPECT_EQ(must(issues_.traces(ana_, {low.id})), std::vector<std::int64_t>{0});
}

}  // namespace
}  // namespace penstock::tracking
