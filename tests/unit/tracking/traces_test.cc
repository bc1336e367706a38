// Traces, their spans and assessments, on both databases.
#include "tracking/trace_metrics.h"

#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace penstock::tracking {
namespace {

using test::must;
using Ids = std::vector<std::string>;

class TracesTest : public testing::Test {
 protected:
  static constexpr std::int64_t ms = 1'000'000;  // in nanoseconds

  TracedSpan span(const std::string& trace, const std::string& id, const std::string& parent = "",
                  std::int64_t start = 1'000, std::int64_t end = 2'000) {
    return {.trace = trace,
            .span = {.id = id,
                     .parent = parent,
                     .name = "name of " + id,
                     .type = "LLM",
                     .status = "OK",
                     .start_time = start * ms,
                     .end_time = end * ms,
                     .body = R"({"name":"name of )" + id + R"("})"}};
  }
  void add(const std::vector<TracedSpan>& spans) { must(traces_.add_spans(ana_, 0, spans)); }
  StartTrace start(const std::string& id, std::int64_t time = 5'000, std::int64_t duration = 10) {
    return {.trace = {.id = id,
                      .experiment = 0,
                      .request_time = time,
                      .duration = duration,
                      .state = TraceState::OK}};
  }
  Ids found(const std::string& filter, const std::vector<std::string>& order = {},
            std::int64_t limit = 3) {
    Ids ids;
    Search search{.experiments = {0}, .filter = filter, .order_by = order, .limit = limit};
    do {
      const auto page = must(traces_.search(ana_, search));
      for (const TraceDetail& one : page.items) ids.push_back(one.trace.id);
      search.page_token = page.next_page_token;
    } while (!search.page_token.empty());
    return ids;
  }
  std::string value_of(const std::vector<Pair>& pairs, const std::string& key) {
    for (const Pair& one : pairs)
      if (one.key == key) return one.value;
    return "(none)";
  }
  json::object feedback(const std::string& name, json::value value) {
    return {{"assessment_name", name}, {"feedback", json::object{{"value", std::move(value)}}}};
  }

  const Call ana_ = test::call("user:ana");
  ManualClock clock_;
  std::unique_ptr<sql::Database> db_ = test::database();
  Traces traces_{*db_, clock_};
  Service tracking_{*db_, clock_};
};

TEST_F(TracesTest, BeginsWithItsFirstSpanAndTakesItsStateFromTheRoot) {
  add({span("tr-1", "b", "a", 1'500, 1'800)});
  auto kept = must(traces_.get(ana_, "tr-1"));
  EXPECT_EQ(kept.trace.state, TraceState::IN_PROGRESS);
  EXPECT_EQ(kept.trace.request_time, 1'500);
  EXPECT_EQ(kept.trace.duration, 300);
  auto root = span("tr-1", "a", "", 1'000, 1'700);
  root.inputs = "what?";
  root.outputs = std::string(2'000, 'x');
  add({root});
  kept = must(traces_.get(ana_, "tr-1"));
  EXPECT_EQ(kept.trace.state, TraceState::OK);
  EXPECT_EQ(kept.trace.request_time, 1'000);
  EXPECT_EQ(kept.trace.duration, 800) << "the child ended later than the root";
  EXPECT_EQ(kept.trace.request_preview, "what?");
  EXPECT_EQ(kept.trace.response_preview, std::string(997, 'x') + "...");
  EXPECT_EQ(value_of(kept.tags, "mlflow.traceName"), "name of a");
  EXPECT_EQ(value_of(kept.tags, "mlflow.trace.spansLocation"), "TRACKING_STORE");
  EXPECT_EQ(value_of(kept.tags, "mlflow.artifactLocation"),
            "mlflow-artifacts:/0/traces/tr-1/artifacts");
  auto failed = span("tr-2", "a");
  failed.span.status = "ERROR";
  add({failed});
  EXPECT_EQ(must(traces_.get(ana_, "tr-2")).trace.state, TraceState::ERROR);
}

TEST_F(TracesTest, WhatItsClientSaysLastStands) {
  auto input = start("tr-1", 5'000, 10);
  input.tags = {{"mlflow.traceName", "given"}, {"team", "ops"}};
  input.metadata = {{"mlflow.trace.session", "s1"}};
  must(traces_.start(ana_, input));
  auto late = span("tr-1", "a", "", 1'000, 9'000);
  late.tags = {{"team", "other"}, {"host", "h"}};
  late.metadata = {{"mlflow.trace.session", "s2"}, {"mlflow.trace.user", "u"}};
  late.span.status = "ERROR";
  add({late});
  const auto kept = must(traces_.get(ana_, "tr-1"));
  EXPECT_EQ(kept.trace.request_time, 5'000);
  EXPECT_EQ(kept.trace.duration, 10);
  EXPECT_EQ(kept.trace.state, TraceState::OK);
  EXPECT_EQ(value_of(kept.tags, "mlflow.traceName"), "given");
  EXPECT_EQ(value_of(kept.tags, "team"), "ops");
  EXPECT_EQ(value_of(kept.tags, "host"), "h");
  EXPECT_EQ(value_of(kept.metadata, "mlflow.trace.session"), "s1");
  EXPECT_EQ(value_of(kept.metadata, "mlflow.trace.user"), "u");
}

TEST_F(TracesTest, ASpanSentAgainIsTheSameSpan) {
  add({span("tr-1", "a"), span("tr-1", "b", "a", 1'200)});
  auto again = span("tr-1", "b", "a", 1'300);
  again.span.name = "other";
  add({again});
  const auto spans = must(traces_.spans(ana_, "tr-1"));
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[0].id, "a") << "the root first";
  EXPECT_EQ(spans[1].name, "other");
}

TEST_F(TracesTest, TokensBelowASpanThatHasThemAreNotCountedAgain) {
  const auto with = [&](TracedSpan one, std::int64_t in, std::int64_t out, double dollars) {
    one.span.usage = json::serialize(
        json::object{{"tokens", json::object{{"input_tokens", in}, {"output_tokens", out}}},
                     {"cost", json::object{{"total_cost", dollars}}}});
    return one;
  };
  add({with(span("tr-1", "c", "b"), 5, 5, 0.25), with(span("tr-1", "b", "a"), 10, 2, 0.5),
       with(span("tr-1", "d", "a"), 1, 1, 0.125)});
  EXPECT_EQ(value_of(must(traces_.get(ana_, "tr-1")).metadata, "mlflow.trace.tokenUsage"), "(none)")
      << "the root is not here yet";
  add({span("tr-1", "a")});
  auto kept = must(traces_.get(ana_, "tr-1"));
  const auto tokens = json::parse(value_of(kept.metadata, "mlflow.trace.tokenUsage"));
  EXPECT_EQ(tokens.at("input_tokens").to_number<int>(), 11);
  EXPECT_EQ(tokens.at("output_tokens").to_number<int>(), 3);
  const auto cost = json::parse(value_of(kept.metadata, "mlflow.trace.cost"));
  EXPECT_EQ(cost.at("total_cost").to_number<double>(), 0.625);
  add({with(span("tr-1", "e", "a"), 100, 0, 0)});
  kept = must(traces_.get(ana_, "tr-1"));
  EXPECT_EQ(json::parse(value_of(kept.metadata, "mlflow.trace.tokenUsage"))
                .at("input_tokens")
                .to_number<int>(),
            111)
      << "a span after the root counts too";
  // Spans that are each other's parents hang on no root and count nothing; nor do they hang us.
  add({with(span("tr-2", "x", "y"), 1, 1, 0), with(span("tr-2", "y", "x"), 1, 1, 0),
       span("tr-2", "z")});
  EXPECT_EQ(value_of(must(traces_.get(ana_, "tr-2")).metadata, "mlflow.trace.tokenUsage"),
            "(none)");
}

class TraceSearchTest : public TracesTest {
 protected:
  // tr-0 is the oldest. Odd ones failed; every third has a session; all but tr-5 have a tag.
  TraceSearchTest() {
    for (int i = 0; i < 6; ++i) {
      const std::string id = "tr-" + std::to_string(i);
      auto input = start(id, 1'000 + i, i * 10);
      if (i == 4) input.trace.duration = {};
      input.trace.state = i % 2 ? TraceState::ERROR : TraceState::OK;
      input.trace.client_request_id = "client " + std::to_string(i);
      input.tags = {{"mlflow.traceName", i < 3 ? "chat" : "search 100%"}};
      if (i != 5) input.tags.push_back({"team", std::string(1, static_cast<char>('A' + i % 3))});
      if (i % 3 == 0) input.metadata = {{"mlflow.trace.session", "s" + std::to_string(i)}};
      must(traces_.start(ana_, input));
      auto root = span(id, "a" + std::to_string(i));
      auto child = span(id, "b" + std::to_string(i), "a" + std::to_string(i));
      root.span.type = "AGENT";
      child.span.name = i % 2 ? "llm" : "tool";
      child.span.body = R"({"attributes":[{"key":"model","value":{"string_value":"m)" +
                        std::to_string(i) + R"(_x"}},{"key":"n","value":{"int_value":")" +
                        std::to_string(i) +
                        R"("}},{"key":"q","value":{"string_value":"say \"hi\" now"}}]})";
      add({root, child});
    }
    must(traces_.assess(ana_, "tr-1", feedback("score", 0.5)));
    must(traces_.assess(ana_, "tr-2", feedback("score", 2)));
    must(traces_.assess(ana_, "tr-3", feedback("good", true)));
    must(traces_.assess(ana_, "tr-4", feedback("good", "yes")));
    must(traces_.assess(
        ana_, "tr-4",
        {{"assessment_name", "answer"}, {"expectation", json::object{{"value", "42"}}}}));
    must(traces_.assess(
        ana_, "tr-5",
        {{"assessment_name", "is-1"}, {"issue", json::object{{"issue_name", "slow"}}}}));
  }
};

TEST_F(TraceSearchTest, FindsByEveryWordOfMLflowsFilters) {
  const std::string run = must(tracking_.create_run(ana_, {.experiment = 0})).run.id;
  must(traces_.link_run(ana_, {"tr-2", "tr-4"}, run));
  must(traces_.link_prompts(ana_, "tr-3", {"greet/1", "greet/2"}));
  struct Case {
    std::string filter;
    Ids expected;
  };
  const Case cases[] = {
      {"", {"tr-5", "tr-4", "tr-3", "tr-2", "tr-1", "tr-0"}},
      {"status = 'ERROR'", {"tr-5", "tr-3", "tr-1"}},
      {"trace.status != 'ERROR' AND timestamp_ms > 1001", {"tr-4", "tr-2"}},
      {"attributes.status IN ('OK') and timestamp < 1002", {"tr-0"}},
      {"execution_time_ms >= 30", {"tr-5", "tr-3"}},
      {"end_time_ms = 1022", {"tr-2"}},
      {"request_id IN ('tr-1', 'tr-9')", {"tr-1"}},
      {"request_id NOT IN ('tr-1', 'tr-2', 'tr-3')", {"tr-5", "tr-4", "tr-0"}},
      {"client_request_id LIKE '%t 3'", {"tr-3"}},
      {"name = 'chat'", {"tr-2", "tr-1", "tr-0"}},
      {"trace.name ILIKE 'CHA_'", {"tr-2", "tr-1", "tr-0"}},
      {"name LIKE 'CHAT'", {}},
      {"name LIKE '%!%'", {}},
      {"name LIKE '%0!'", {}},
      {"tags.team = 'B'", {"tr-4", "tr-1"}},
      {"tags.team != 'B'", {"tr-3", "tr-2", "tr-0"}},
      {"tag.team IS NULL", {"tr-5"}},
      {"tags.`team` IS NOT NULL AND timestamp > 1003", {"tr-4"}},
      {"metadata.`mlflow.trace.session` = 's3'", {"tr-3"}},
      {"request_metadata.mlflow.trace.session IS NOT NULL", {"tr-3", "tr-0"}},
      {"run_id = '" + run + "'", {"tr-4", "tr-2"}},
      {"prompt = 'greet/2'", {"tr-3"}},
      {"span.name = 'llm' AND timestamp < 1003", {"tr-1"}},
      {"span.type = 'AGENT' AND span.name = 'llm'", {}},
      {"span.type = 'LLM' AND span.name = 'llm'", {"tr-5", "tr-3", "tr-1"}},
      {"span.attributes.model = 'm3_x'", {"tr-3"}},
      {"span.attributes.model = 'm3%'", {}},
      {"span.attributes.model LIKE 'm3%'", {"tr-3"}},
      {"span.attributes.model LIKE '%3_x'", {"tr-3"}},
      {"span.attributes.n IN ('2', '4')", {"tr-4", "tr-2"}},
      {"span.attributes.q = 'say \"hi\" now' AND timestamp = 1002", {"tr-2"}},
      {"trace.text LIKE '%\"hi\"%' AND timestamp > 1004", {"tr-5"}},
      {"span.content ILIKE '%SAY%' AND status = 'OK'", {"tr-4", "tr-2", "tr-0"}},
      {"name RLIKE '^ch.t$'", {"tr-2", "tr-1", "tr-0"}},
      {"name RLIKE 'H'", {}},
      {"tags.team RLIKE '^B$' AND status RLIKE 'OK|NONE'", {"tr-4"}},
      {"metadata.`mlflow.trace.session` RLIKE '3$'", {"tr-3"}},
      {"span.name RLIKE '^l+m$' AND timestamp < 1003", {"tr-1"}},
      {"span.attributes.model RLIKE '3.x'", {"tr-3"}},
      {"span.attributes.model RLIKE '^m[35]_x$'", {"tr-5", "tr-3"}},
      {"span.attributes.model RLIKE '^3'", {}},
      {"span.attributes.model RLIKE 'm3$'", {}},
      {"span.content RLIKE 'say.*now' AND timestamp > 1004", {"tr-5"}},
      {"feedback.good RLIKE '^y'", {"tr-4"}},
      {"feedback.score > 0.5", {"tr-2"}},
      {"feedback.score <= 2", {"tr-2", "tr-1"}},
      {"feedback.score = 2", {"tr-2"}},
      {"feedback.good = 'true'", {"tr-3"}},
      {"feedback.good LIKE 'y%'", {"tr-4"}},
      {"feedback.score IS NOT NULL", {"tr-2", "tr-1"}},
      {"feedback.score IS NULL AND feedback.good IS NULL", {"tr-5", "tr-0"}},
      {"expectation.answer = '42'", {"tr-4"}},
      {"issue.id = 'is-1'", {"tr-5"}},
  };
  for (const Case& c : cases) EXPECT_EQ(found(c.filter), c.expected) << c.filter;
}

TEST_F(TraceSearchTest, RefusesWhatItCannotReadNamingTheWord) {
  const std::pair<std::string, std::string> cases[] = {
      {"colour = 'red'", "colour"},
      {"status = OK", "OK"},
      {"status > 'OK'", "status"},
      {"timestamp_ms LIKE '1'", "timestamp_ms"},
      {"timestamp_ms = 'now'", "now"},
      {"timestamp_ms > 1.5", "1.5"},
      {"timestamp_ms IN ('1')", "timestamp_ms"},
      {"status IS NULL", "status"},
      {"tags. = 'a'", "tags."},
      {"tags.a = 5", "5"},
      {"tags.a RLIKE '(a'", "missing )"},
      {"tags.a RLIKE 5", "RLIKE"},
      {"tags.a RLIKE '" + std::string(1'001, 'x') + "'", "1001"},
      {"timestamp_ms RLIKE '1'", "timestamp_ms"},
      {"tags.a ~ 'b'", "~"},
      {"span.colour = 'red'", "span.colour"},
      {"span.content = 'x'", "LIKE"},
      {"span.attributes.a != 'x'", "span.attributes.a"},
      {"prompt LIKE 'a%'", "prompt"},
      {"issue.name = 'a'", "issue.name"},
      {"feedback.score > 'high'", "high"},
      {"status = 'OK' OR status = 'ERROR'", "OR"},
      {"status = 'OK' AND", "AND"},
      {"name = 'open", "closed"},
      {"request_id IN ('a', 'b'", "closed"},
      {"name LIKE '" + std::string(5'001, 'x') + "'", "5001"},
  };
  for (const auto& [filter, word] : cases) {
    const auto refused = traces_.search(ana_, {.experiments = {0}, .filter = filter, .limit = 5});
    ASSERT_FALSE(refused) << filter;
    EXPECT_EQ(refused.error().code, Code::invalid_argument) << filter;
    EXPECT_NE(refused.error().message.find(word), std::string::npos)
        << filter << ": " << refused.error().message;
  }
  for (const char* order : {"span.name", "feedback.x DESC", "name UP", "status ASC DESC"})
    EXPECT_FALSE(traces_.search(ana_, {.experiments = {0}, .order_by = {order}, .limit = 5}))
        << order;
  for (const std::int64_t limit : {0, 501})
    EXPECT_FALSE(traces_.search(ana_, {.experiments = {0}, .limit = limit}));
}

TEST_F(TraceSearchTest, OrdersAndPagesWithWhatIsMissingLast) {
  EXPECT_EQ(found("", {"timestamp_ms ASC"}, 4),
            (Ids{"tr-0", "tr-1", "tr-2", "tr-3", "tr-4", "tr-5"}));
  EXPECT_EQ(found("", {"execution_time_ms DESC"}, 1),
            (Ids{"tr-5", "tr-3", "tr-2", "tr-1", "tr-0", "tr-4"}));
  EXPECT_EQ(found("", {"tags.team ASC", "timestamp_ms ASC"}),
            (Ids{"tr-0", "tr-3", "tr-1", "tr-4", "tr-2", "tr-5"}));
  EXPECT_EQ(found("status = 'OK'", {"metadata.`mlflow.trace.session`"}),
            (Ids{"tr-0", "tr-4", "tr-2"}));
}

TEST_F(TraceSearchTest, CountsHowFarTwoFiltersGoTogether) {
  const auto counts = must(
      traces_.correlate(ana_, {0}, "status = 'ERROR'", "span.name = 'llm'", "timestamp < 1005"));
  EXPECT_EQ(counts.first, 2);
  EXPECT_EQ(counts.second, 2);
  EXPECT_EQ(counts.joint, 2);
  EXPECT_EQ(counts.total, 5);
  EXPECT_EQ(traces_.correlate(ana_, {0}, "status = 'ERROR'", "", "").error().code,
            Code::invalid_argument);
}

TEST_F(TraceSearchTest, KeepsProjectsApart) {
  Call other = ana_;
  other.project = "p2";
  EXPECT_EQ(traces_.get(other, "tr-1").error().code, Code::not_found);
  EXPECT_TRUE(must(traces_.search(other, {.experiments = {0}, .limit = 5})).items.empty());
  EXPECT_EQ(must(traces_.remove(other, {.experiment = 0, .ids = {"tr-1"}})), 0);
  EXPECT_FALSE(traces_.set_tag(other, "tr-1", {"a", "b"}));
  EXPECT_FALSE(traces_.assess(other, "tr-1", feedback("a", 1)));
  must(traces_.start(other, start("tr-1")));
  EXPECT_TRUE(must(traces_.get(other, "tr-1")).assessments.empty());
}

TEST_F(TraceSearchTest, DeletesWithAllThatHangsOnThem) {
  EXPECT_EQ(must(traces_.remove(ana_, {.experiment = 7, .ids = {"tr-1"}})), 0)
      << "not of this experiment";
  EXPECT_EQ(must(traces_.remove(ana_, {.experiment = 0, .ids = {"tr-1", "tr-9"}})), 1);
  EXPECT_EQ(must(traces_.remove(ana_, {.experiment = 0, .until = 1'003, .limit = 2})), 2)
      << "the oldest two";
  EXPECT_EQ(found(""), (Ids{"tr-5", "tr-4", "tr-3"}));
  EXPECT_EQ(must(traces_.remove(ana_, {.experiment = 0, .until = 9'999})), 3);
  for (const char* table : {"traces", "trace_tags", "trace_metadata", "trace_spans", "assessments"})
    EXPECT_EQ(test::count(*db_, table), 0) << table;
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'tracking.traces.deleted'"), 3);
  for (const DeleteTraces& wrong :
       {DeleteTraces{}, DeleteTraces{.ids = {"tr-1"}, .until = 5},
        DeleteTraces{.ids = {"tr-1"}, .limit = 1}, DeleteTraces{.until = 5, .limit = 0}})
    EXPECT_EQ(traces_.remove(ana_, wrong).error().code, Code::invalid_argument);
}

TEST_F(TracesTest, FiguresAreGroupedAndHaveBounds) {
  add({span("tr-1", "a", "", 1'000, 1'010), span("tr-1", "b", "a", 1'002, 1'004),
       span("tr-2", "c", "", 61'000, 61'050)});
  for (const char* id : {"tr-1", "tr-2"})
    must(traces_.set_tag(ana_, id, {"mlflow.traceName", "n"}));
  TraceMetricQuery query{.experiments = {0},
                         .metric = "latency",
                         .aggregates = {{Aggregation::AVG}, {Aggregation::PERCENTILE, 25}},
                         .dimensions = {"trace_name"}};
  const auto all = must(traces_.metrics(ana_, query));
  ASSERT_EQ(all.items.size(), 1u);
  EXPECT_EQ(all.items[0].values.at("AVG"), 30);
  EXPECT_EQ(all.items[0].values.at("P25.0"), 20) << "a quarter of the way from 10 to 50";
  query.interval = 60, query.from = 0, query.to = 100'000;
  EXPECT_EQ(must(traces_.metrics(ana_, query)).items.size(), 2u) << "a minute each";
  Call elsewhere = ana_;
  elsewhere.project = "p2";
  EXPECT_TRUE(must(traces_.metrics(elsewhere, query)).items.empty());

  query = {.experiments = {0},
           .view = MetricView::SPANS,
           .metric = "span_count",
           .aggregates = {{Aggregation::COUNT}}};
  query.values_max = 3;
  EXPECT_EQ(must(traces_.metrics(ana_, query)).items.at(0).values.at("COUNT"), 3);
  query.bytes_max = 10;
  EXPECT_TRUE(traces_.metrics(ana_, query)) << "no body is read for it";
  query.dimensions = {"span_model_name"};
  EXPECT_EQ(traces_.metrics(ana_, query).error().code, Code::resource_exhausted);
  query.bytes_max = 10'000, query.values_max = 2;
  EXPECT_EQ(traces_.metrics(ana_, query).error().code, Code::resource_exhausted);
}

TEST_F(TracesTest, AssessmentsOverrideEachOther) {
  must(traces_.start(ana_, start("tr-1")));
  const auto first = must(traces_.assess(ana_, "tr-1", feedback("score", 1)));
  json::object second = feedback("score", 5);
  second["overrides"] = first.id;
  const auto better = must(traces_.assess(ana_, "tr-1", second));
  EXPECT_FALSE(must(traces_.assessment(ana_, "tr-1", first.id)).is_valid);
  EXPECT_EQ(found("feedback.score < 3"), Ids{}) << "what is overridden does not count";
  EXPECT_EQ(found("feedback.score > 3"), Ids{"tr-1"});
  must(traces_.remove_assessment(ana_, "tr-1", better.id));
  must(traces_.remove_assessment(ana_, "tr-1", better.id));
  EXPECT_TRUE(must(traces_.assessment(ana_, "tr-1", first.id)).is_valid);
  json::object lost = feedback("score", 5);
  lost["overrides"] = "a-none";
  EXPECT_EQ(traces_.assess(ana_, "tr-1", lost).error().code, Code::not_found);
}

TEST_F(TracesTest, AssessmentsChangeInTheirFieldsAlone) {
  must(traces_.start(ana_, start("tr-1")));
  json::object body = feedback("score", 1);
  body["metadata"] = json::object{{"a", "1"}, {"b", "1"}};
  const auto made = must(traces_.assess(ana_, "tr-1", body));
  const auto changed = must(traces_.reassess(ana_, "tr-1", made.id,
                                             {{"assessment_name", "other"},
                                              {"feedback", json::object{{"value", "bad"}}},
                                              {"metadata", json::object{{"b", "2"}}}}));
  EXPECT_EQ(changed.key, "other");
  EXPECT_EQ(changed.value, "bad");
  EXPECT_FALSE(changed.number);
  const auto metadata = json::parse(changed.body).at("metadata");
  EXPECT_EQ(metadata.at("a").as_string(), "1");
  EXPECT_EQ(metadata.at("b").as_string(), "2");
  const json::object expectation{{"expectation", json::object{{"value", 1}}}};
  EXPECT_EQ(traces_.reassess(ana_, "tr-1", made.id, expectation).error().code,
            Code::invalid_argument);
  EXPECT_EQ(traces_.reassess(ana_, "tr-1", "a-none", {}).error().code, Code::not_found);
  EXPECT_EQ(traces_.assess(ana_, "tr-9", body).error().code, Code::not_found);
  const json::object cases[] = {
      {{"assessment_name", "a"}},
      {{"feedback", json::object{{"value", 1}}}},
      {{"assessment_name", ""}, {"feedback", json::object{}}},
      {{"assessment_name", std::string(251, 'a')}, {"feedback", json::object{}}},
      {{"assessment_name", "a"}, {"feedback", 5}},
      {{"assessment_name", "a"},
       {"feedback", json::object{{"value", std::string(1'000'001, 'x')}}}},
  };
  for (const json::object& wrong : cases)
    EXPECT_EQ(traces_.assess(ana_, "tr-1", wrong).error().code, Code::invalid_argument);
  json::object twice = body;
  twice["assessment_id"] = made.id;
  EXPECT_EQ(traces_.assess(ana_, "tr-1", twice).error().code, Code::already_exists);
}

TEST_F(TracesTest, RefusesWhatIsTooLargeByNameAndKeepsNothingOfIt) {
  std::vector<TracedSpan> many;
  for (int i = 0; i < 10'001; ++i) many.push_back(span("tr-1", std::to_string(i)));
  auto refused = traces_.add_spans(ana_, 0, many);
  EXPECT_NE(refused.error().message.find("10001"), std::string::npos);
  auto large = span("tr-1", "a");
  large.span.body = std::string(1'000'001, 'x');
  refused = traces_.add_spans(ana_, 0, {span("tr-1", "b"), large});
  EXPECT_NE(refused.error().message.find("span 'name of a' has 1000001 bytes"), std::string::npos);
  EXPECT_EQ(traces_.start(ana_, start(std::string(51, 'x'))).error().code, Code::invalid_argument);
  EXPECT_EQ(traces_.start(ana_, start("")).error().code, Code::invalid_argument);
  auto tagged = start("tr-1");
  tagged.tags = {{std::string(251, 'k'), "v"}};
  EXPECT_EQ(traces_.start(ana_, tagged).error().code, Code::invalid_argument);
  EXPECT_EQ(traces_.link_run(ana_, Ids(101, "tr-1"), "r").error().code, Code::invalid_argument);
  EXPECT_EQ(traces_.add_spans(ana_, 99, {span("tr-1", "a")}).error().code, Code::not_found);
  EXPECT_EQ(traces_.add_spans(ana_, 0, {span("tr-1", "a")}, "no run").error().code,
            Code::not_found);
  EXPECT_EQ(test::count(*db_, "traces"), 0);
  EXPECT_EQ(test::count(*db_, "trace_spans"), 0);
}

TEST_F(TracesTest, TagsAreSetCutAndDeleted) {
  must(traces_.start(ana_, start("tr-1")));
  must(traces_.set_tag(ana_, "tr-1", {"a", std::string(7'999, 'x') + "äöü"}));
  const std::string kept = value_of(must(traces_.get(ana_, "tr-1")).tags, "a");
  EXPECT_EQ(kept, std::string(7'997, 'x') + "...");
  must(traces_.remove_tag(ana_, "tr-1", "a"));
  EXPECT_EQ(traces_.remove_tag(ana_, "tr-1", "a").error().code, Code::not_found);
  EXPECT_EQ(traces_.set_tag(ana_, "tr-1", {"", "b"}).error().code, Code::invalid_argument);
  EXPECT_EQ(traces_.set_tag(ana_, "tr-9", {"a", "b"}).error().code, Code::not_found);
}

TEST_F(TracesTest, LinksAllOrNone) {
  must(traces_.start(ana_, start("tr-1")));
  const std::string run = must(tracking_.create_run(ana_, {.experiment = 0})).run.id;
  EXPECT_EQ(traces_.link_run(ana_, {"tr-1", "tr-9"}, run).error().code, Code::not_found);
  EXPECT_EQ(found("run_id = '" + run + "'"), Ids{});
  EXPECT_EQ(traces_.link_run(ana_, {"tr-1"}, "none").error().code, Code::not_found);
  auto input = start("tr-2");
  input.metadata = {{"mlflow.sourceRun", run}};
  input.tags = {{"mlflow.linkedPrompts", R"([{"name": "greet", "version": "3"}, 5, {}])"}};
  must(traces_.start(ana_, input));
  EXPECT_EQ(found("run_id = '" + run + "' AND prompt = 'greet/3'"), Ids{"tr-2"});
  add({span("tr-3", "a")});
  must(traces_.add_spans(ana_, 0, {span("tr-3", "b", "a")}, run));
  EXPECT_EQ(found("run_id = '" + run + "'", {"request_id ASC"}), (Ids{"tr-2", "tr-3"}));
}

}  // namespace
}  // namespace penstock::tracking
