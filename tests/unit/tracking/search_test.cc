// The search grammar against a slow oracle that looks at every run; on both databases.
#include <algorithm>
#include <random>
#include <set>
#include <gtest/gtest.h>

#include "tests/support/fixture.h"
#include "tracking/search.h"
#include "tracking/service.h"

namespace penstock::tracking {
namespace {

using test::must;

class TrackingTest : public testing::Test {
 protected:
  RunDetail add(const std::string& name, std::int64_t start) {
    return must(tracking_.create_run(
        ana_, {.experiment = 0, .name = name, .user_id = "ana", .start_time = start}));
  }
  std::vector<std::string> found(const std::string& filter,
                                 const std::vector<std::string>& order = {}) {
    std::vector<std::string> names;
    Search search{.experiments = {0}, .filter = filter, .order_by = order, .limit = 7};
    do {
      const auto page = must(tracking_.search_runs(ana_, search));
      for (const RunDetail& run : page.items) names.push_back(run.run.name);
      search.page_token = page.next_page_token;
    } while (!search.page_token.empty());
    return names;
  }

  const Call ana_ = test::call("user:ana");
  ManualClock clock_;
  std::unique_ptr<sql::Database> db_ = test::database();
  Service tracking_{*db_, clock_};
};

TEST_F(TrackingTest, FiltersAsAnOracleThatLooksAtEveryRun) {
  std::mt19937 random(7);
  const auto roll = [&](int sides) { return std::uniform_int_distribution(0, sides - 1)(random); };
  struct Known {
    std::string name;
    std::int64_t start = 0;
    std::optional<double> loss;
    std::optional<std::string> depth, team;
  };
  std::vector<Known> runs;
  for (int i = 0; i < 60; ++i) {
    Known run{.name = "run" + std::to_string(i), .start = 1'000 + i};
    const std::string id = add(run.name, run.start).run.id;
    Batch batch;
    if (roll(4)) {
      run.loss = roll(10) / 4.0 - 1;
      batch.metrics = {{.key = "loss", .value = *run.loss}};
    }
    if (roll(3)) {
      run.depth = std::string(1, static_cast<char>('a' + roll(4))) + "_x";
      batch.params = {{"depth", *run.depth}};
    }
    if (roll(2)) {
      run.team = roll(2) ? "Red" : "red";
      batch.tags = {{"a team", *run.team}};
    }
    must(tracking_.log(ana_, id, batch));
    runs.push_back(run);
  }
  using Holds = std::function<bool(const Known&)>;
  const auto one = [&]() -> std::pair<std::string, Holds> {
    const double bound = roll(10) / 4.0 - 1;
    const std::string letter(1, static_cast<char>('a' + roll(4)));
    const std::int64_t start = 1'000 + roll(60);
    switch (roll(8)) {
      case 0:
        return {"metrics.loss > " + std::to_string(bound),
                [=](const Known& r) { return r.loss && *r.loss > bound; }};
      case 1:
        return {"metric.`loss` != " + std::to_string(bound),
                [=](const Known& r) { return r.loss && *r.loss != bound; }};
      case 2:
        return {"params.depth = '" + letter + "_x'",
                [=](const Known& r) { return r.depth && *r.depth == letter + "_x"; }};
      case 3:
        return {"parameters.depth LIKE '" + letter + "%'",
                [=](const Known& r) { return r.depth && r.depth->starts_with(letter); }};
      case 4:
        return {"tags.`a team` ILIKE 'RED'", [](const Known& r) { return r.team.has_value(); }};
      case 5: return {"tag.\"a team\" = 'Red'", [](const Known& r) { return r.team == "Red"; }};
      case 6: return {"tags.`a team` IS NULL", [](const Known& r) { return !r.team; }};
      default:
        return {"attributes.start_time <= " + std::to_string(start),
                [=](const Known& r) { return r.start <= start; }};
    }
  };
  for (int round = 0; round < 200; ++round) {
    std::string filter;
    std::vector<Holds> all;
    for (int i = 1 + roll(3); i > 0; --i) {
      auto [text, holds] = one();
      filter += (filter.empty() ? "" : roll(2) ? " AND " : " and ") + text;
      all.push_back(holds);
    }
    std::vector<std::string> expected;
    for (auto run = runs.rbegin(); run != runs.rend(); ++run)
      if (std::all_of(all.begin(), all.end(), [&](const Holds& holds) { return holds(*run); }))
        expected.push_back(run->name);
    EXPECT_EQ(found(filter), expected) << filter;
  }
}

TEST_F(TrackingTest, OrdersWithWhatIsMissingLastAndNanBeforeIt) {
  const auto log = [&](const std::string& name, std::optional<double> value, bool is_nan = false) {
    const std::string id = add(name, 1).run.id;
    if (value)
      must(tracking_.log(ana_, id, {.metrics = {{.key = "m", .value = *value, .is_nan = is_nan}}}));
  };
  log("two", 2);
  log("nan", 0, true);
  log("none", {});
  log("one", 1);
  using Names = std::vector<std::string>;
  EXPECT_EQ(found("", {"metrics.m ASC"}), (Names{"one", "two", "nan", "none"}));
  EXPECT_EQ(found("", {"metrics.m DESC"}), (Names{"two", "one", "nan", "none"}));
  EXPECT_EQ(found("metrics.m = 0"), Names{}) << "NaN is equal to nothing";
}

TEST_F(TrackingTest, RefusesWhatItCannotRead) {
  for (const std::string filter : {"metrics.",
                                   "metrics.a",
                                   "metrics.a >",
                                   "metrics.a > 'x'",
                                   "metrics.a > 1 OR metrics.b > 2",
                                   "params.a > '1'",
                                   "params.a = 1",
                                   "params.a = 'open",
                                   "run_id IN ()",
                                   "run_id IN ('a'",
                                   "nothing = 'a'",
                                   "status IS",
                                   "metrics.a > 1 AND",
                                   "; DROP TABLE tracked_runs",
                                   "metrics.a > 1e",
                                   "metrics.a > +1",
                                   "tags.`a = 'b'",
                                   "run_name IN ('a')",
                                   "Metrics.a > 1",
                                   "tags.a = `b`",
                                   "user = 'a'",
                                   "lifecycle_stage = 'active'",
                                   "status IS NULL",
                                   "metrics.a IS NULL",
                                   "dataset.role = 'a'",
                                   "params.a NOT LIKE 'a'",
                                   "run_id IN ('a' 'b')"}) {
    const auto made = compile(Subject::run, filter, {});
    ASSERT_FALSE(made) << filter;
    EXPECT_EQ(made.error().code, Code::invalid_argument);
  }
  for (const std::string order :
       {"metrics.a UP", "metrics.a ASC DESC", "", "nothing", "1", "dataset.name ASC", "name"})
    EXPECT_FALSE(compile(Subject::run, "", {order})) << order;
}

TEST_F(TrackingTest, WalksAlongAMetricAsASortOfEverythingWould) {
  std::mt19937 random(11);
  const auto roll = [&](int sides) { return std::uniform_int_distribution(0, sides - 1)(random); };
  struct Known {
    std::string name, depth;
    std::int64_t start = 0;
    int rank = 2;  // 0: a number, 1: NaN, 2: none
    double loss = 0;
  };
  std::vector<Known> runs;
  for (int i = 0; i < 80; ++i) {
    Known run{"run" + std::to_string(i), std::to_string(roll(3)), 1'000 + roll(20), roll(3)};
    if (run.rank == 0) run.loss = roll(6) - 3;
    const std::string id = add(run.name, run.start).run.id;
    Batch batch{.params = {{"depth", run.depth}}};
    if (run.rank < 2) batch.metrics = {{.key = "loss", .value = run.loss, .is_nan = run.rank == 1}};
    must(tracking_.log(ana_, id, batch));
    runs.push_back(run);
  }
  struct Case {
    std::string filter;
    std::function<bool(const Known&)> holds;
  };
  const Case cases[] = {
      {"", [](const Known&) { return true; }},
      {"metrics.loss > -1", [](const Known& r) { return r.rank == 0 && r.loss > -1; }},
      {"metrics.loss != 0",
       [](const Known& r) { return r.rank == 1 || (r.rank == 0 && r.loss != 0); }},
      {"params.depth = '1' and metrics.loss <= 1 and metrics.loss > -2",
       [](const Known& r) { return r.rank == 0 && r.depth == "1" && r.loss <= 1 && r.loss > -2; }},
      {"params.depth != '1'", [](const Known& r) { return r.depth != "1"; }},
  };
  for (const Case& c : cases)
    for (const bool descending : {false, true}) {
      std::vector<Known> expected;
      std::copy_if(runs.begin(), runs.end(), std::back_inserter(expected), c.holds);
      std::stable_sort(expected.begin(), expected.end(), [&](const Known& a, const Known& b) {
        if (a.rank != b.rank) return a.rank < b.rank;
        if (a.loss != b.loss) return descending ? a.loss > b.loss : a.loss < b.loss;
        return a.start > b.start;
      });
      // What ties to the end is ordered by ids, which are random.
      const auto key = [&](const std::string& name) {
        const Known& run =
            *std::find_if(runs.begin(), runs.end(), [&](const Known& r) { return r.name == name; });
        return std::tuple(run.rank, run.loss, run.start);
      };
      const auto got = found(c.filter, {descending ? "metrics.loss DESC" : "metrics.loss"});
      ASSERT_EQ(got.size(), expected.size()) << c.filter;
      for (std::size_t i = 0; i < got.size(); ++i)
        EXPECT_EQ(key(got[i]), key(expected[i].name)) << c.filter << " at " << i;
      EXPECT_EQ(std::set(got.begin(), got.end()).size(), got.size()) << "none comes twice";
    }
}

TEST_F(TrackingTest, HistoryIsReadInPagesOfTimeThenStep) {
  const std::string id = add("one", 1).run.id;
  Batch batch;
  for (int i = 0; i < 50; ++i)
    batch.metrics.push_back({.key = "m", .step = i % 7, .at = i / 10, .value = 1.0 * (i % 3)});
  batch.metrics.push_back({.key = "m", .is_nan = true});
  must(tracking_.log(ana_, id, batch));
  std::vector<std::tuple<std::int64_t, std::int64_t, double>> paged;
  std::string token;
  do {
    const auto page = must(tracking_.history(ana_, id, "m", 4, token));
    for (const Metric& one : page.items) paged.emplace_back(one.at, one.step, one.value);
    token = page.next_page_token;
  } while (!token.empty());
  EXPECT_EQ(paged.size(), must(tracking_.history(ana_, id, "m", 1'000, "")).items.size());
  EXPECT_TRUE(std::is_sorted(paged.begin(), paged.end()));
  EXPECT_EQ(tracking_.history(ana_, id, "other", 4, "7").error().code, Code::invalid_argument);
}

TEST_F(TrackingTest, ABatchIsAllOrNothing) {
  const std::string id = add("one", 1).run.id;
  must(tracking_.log(ana_, id, {.params = {{"p", "1"}}}));
  Batch batch{.params = {{"q", "1"}, {"p", "2"}}};
  for (int i = 0; i < 50; ++i) batch.metrics.push_back({.key = "m", .step = i, .value = 1.0 * i});
  const auto refused = tracking_.log(ana_, id, batch);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("was already logged"), std::string::npos);
  const RunDetail kept = must(tracking_.run(ana_, id));
  EXPECT_TRUE(kept.metrics.empty());
  EXPECT_EQ(kept.params.size(), 1U);
  batch.params = {{"q", "1"}};
  must(tracking_.log(ana_, id, batch));
  must(tracking_.log(ana_, id, batch));
  EXPECT_EQ(must(tracking_.history(ana_, id, "m", 1'000, "")).items.size(), 50U)
      << "the same points sent again are the same points";
  EXPECT_EQ(must(tracking_.run(ana_, id)).metrics.at(0).step, 49);
}

TEST_F(TrackingTest, ProjectsNeverMeet) {
  Call other = ana_;
  other.project = "another";
  const std::string id = add("one", 1).run.id;
  EXPECT_EQ(tracking_.run(other, id).error().code, Code::not_found);
  EXPECT_EQ(tracking_.log(other, id, {.tags = {{"a", "b"}}}).error().code, Code::not_found);
  EXPECT_TRUE(must(tracking_.search_runs(other, {.experiments = {0}})).items.empty());
}

TEST_F(TrackingTest, KeepsMlflowsLimits) {
  const std::string id = add("one", 1).run.id;
  const auto code = [&](const Batch& batch) { return tracking_.log(ana_, id, batch).error().code; };
  EXPECT_EQ(code({.params = {{"p", std::string(6'001, 'x')}}}), Code::invalid_argument);
  EXPECT_EQ(code({.params = {{std::string(251, 'x'), ""}}}), Code::invalid_argument);
  EXPECT_EQ(code({.tags = std::vector<Pair>(101, {"a", "b"})}), Code::invalid_argument);
  EXPECT_EQ(code({.metrics = std::vector<Metric>(1'001, {.key = "a"})}), Code::invalid_argument);
  for (const char* key : {"", "/a", "a/", "a//b", "../a", "a/../b", ".", "a*b", "a;b"})
    EXPECT_EQ(code({.metrics = {{.key = key}}}), Code::invalid_argument) << key;
  for (const char* key : {"a b", "a/b.c-d_e:f", "größe"})
    must(tracking_.log(ana_, id, {.metrics = {{.key = key}}}));
}

}  // namespace
}  // namespace penstock::tracking
