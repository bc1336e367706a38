#include "registry/service.h"
#include "tests/unit/monitor/monitor_fixture.h"

namespace penstock::monitor {
namespace {

constexpr const char* drift =
    "quantity: feature_drift\nfeature: delay\nwindow_days: 1\nthreshold: 0.2\nmin_calls: 100\n";

TEST_F(MonitorTest, ADriftedFeatureOpensOneIncident) {
  declare("delay-drift", drift);
  send(day(1, 1'000));
  send(day(2, 1'000));
  send(day(3, 1'000, 5));
  run();
  EXPECT_EQ(shown("delay-drift").verdict, Verdict::ok);
  EXPECT_EQ(*shown("delay-drift").value, 0) << "the same values on both days";
  EXPECT_TRUE(incidents().empty());

  send(day(4, 1'000, 5));
  run();
  const MonitorView view = shown("delay-drift");
  EXPECT_EQ(view.verdict, Verdict::breach);
  EXPECT_EQ(view.day, "2013-07-03");
  ASSERT_EQ(view.results.size(), 3u);
  EXPECT_EQ(view.results[2].verdict, Verdict::undecided) << "nothing to compare the first day with";
  // All of the day is in the last of 20 bins that had 50 of 1000 each before.
  //   psi([50] * 20, [0] * 19 + [1000]) of tally_test.cc
  EXPECT_NEAR(*view.value, 8.738015597990369, 1e-9);

  auto found = incidents();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].dedup_key, "monitor:delay-drift:v1:2013-07-03");
  EXPECT_EQ(found[0].owner, "ops");
  EXPECT_EQ(found[0].subject, "model:flight-delay@v1");
  EXPECT_EQ(found[0].occurrences, 1);

  run();
  open();
  run();
  EXPECT_EQ(incidents()[0].occurrences, 1) << "nothing new was read";

  // Against the drifted day the next is calm; the incident stays with the people.
  send(day(5, 1));
  run();
  EXPECT_EQ(shown("delay-drift").verdict, Verdict::ok);
  EXPECT_EQ(incidents().size(), 1u);
}

TEST_F(MonitorTest, ABreachThatLastsIsOneIncident) {
  declare("errors", "quantity: error_rate\nwindow_days: 1\nthreshold: 0.1\nmin_calls: 10\n");
  for (int number = 1; number <= 5; ++number) {
    auto calls = day(number, 20);
    if (number != 4)
      for (int i = 0; i < 5; ++i) calls[static_cast<std::size_t>(i)].error = "unavailable";
    send(calls);
  }
  send(day(6, 1));
  run();
  const auto found = incidents();
  ASSERT_EQ(found.size(), 2u) << "the fourth day was well";
  EXPECT_EQ(found[0].dedup_key, "monitor:errors:v1:2013-07-01");
  EXPECT_EQ(found[0].occurrences, 3);
  EXPECT_EQ(found[1].dedup_key, "monitor:errors:v1:2013-07-05");
  EXPECT_EQ(*shown("errors").results[1].value, 0);
}

TEST_F(MonitorTest, EachQuantityIsWhatItSays) {
  const auto with = [](const std::string& quantity, double threshold) {
    return "quantity: " + quantity +
           "\nwindow_days: 1\nmin_calls: 10\nthreshold: " + std::to_string(threshold) + "\n";
  };
  declare("missing", with("missing", 0.05) + "feature: wind\n");
  declare("latency", with("latency", 1.5));
  declare("fresh", with("freshness", 200));
  declare("decisions", with("decision_rate", 0.2));
  declare("scores", with("score_drift", 0.2) + "distance: jensen_shannon\n");
  send(day(1, 1'000));
  auto second = day(2, 1'000);
  for (auto& call : second) call.decision = call.score >= 0.2;
  send(second);
  send(day(3, 1));
  run();
  EXPECT_NEAR(*shown("missing").value, 0.1, 1e-12);
  EXPECT_EQ(shown("missing").verdict, Verdict::breach);
  EXPECT_NEAR(*shown("latency").value, 1.99, 0.04);
  EXPECT_EQ(shown("latency").verdict, Verdict::breach);
  EXPECT_NEAR(*shown("fresh").value, 100, 2.1);
  EXPECT_EQ(shown("fresh").verdict, Verdict::ok);
  EXPECT_NEAR(*shown("decisions").value, 0.3, 1e-12);
  EXPECT_EQ(shown("decisions").verdict, Verdict::breach);
  EXPECT_EQ(*shown("scores").value, 0);
  EXPECT_EQ(must(service_.list(test::call())).monitors.size(), 5u);
}

TEST_F(MonitorTest, NoCallsAreNeverOk) {
  declare("errors", "quantity: error_rate\nwindow_days: 2\nthreshold: 0.5\nmin_calls: 10\n");
  EXPECT_EQ(shown("errors").verdict, Verdict::no_data);
  EXPECT_EQ(shown("errors").reason, "no calls yet");
  send(day(1, 20));
  send(day(2, 5));
  run();
  EXPECT_EQ(shown("errors").verdict, Verdict::ok);
  // The route is quiet from the third day to the ninth: the window that ends with the ninth is
  // empty.
  send(day(10, 20));
  run();
  EXPECT_EQ(shown("errors").verdict, Verdict::no_data);
  EXPECT_EQ(shown("errors").day, "2013-07-09");
  send(day(11, 20));
  run();
  EXPECT_EQ(shown("errors").verdict, Verdict::ok);
  // No call at all, so no day ends: it is the clock that says so.
  clock_.advance(std::chrono::days(3));
  EXPECT_EQ(shown("errors").verdict, Verdict::no_data);
  EXPECT_FALSE(shown("errors").value);
  EXPECT_NE(shown("errors").reason.find("no calls since"), std::string::npos);
  EXPECT_TRUE(incidents().empty());
}

TEST_F(MonitorTest, TooFewCallsAreUndecided) {
  declare("errors", "quantity: error_rate\nwindow_days: 1\nthreshold: 0.1\nmin_calls: 21\n");
  auto calls = day(1, 20);
  for (auto& call : calls) call.error = "unavailable";
  send(calls);
  send(day(2, 1));
  run();
  EXPECT_EQ(shown("errors").verdict, Verdict::undecided);
  EXPECT_EQ(shown("errors").reason, "20 of 21 that it needs");
  EXPECT_TRUE(incidents().empty());
}

TEST_F(MonitorTest, AnOpenDayIsLookedAtEveryManyCalls) {
  options_.evaluate_every = 50;
  open();
  declare("errors", "quantity: error_rate\nwindow_days: 1\nthreshold: 0.1\nmin_calls: 10\n");
  auto calls = day(1, 120);
  for (auto& call : calls) call.error = "unavailable";
  send(calls);
  run();
  EXPECT_EQ(shown("errors").verdict, Verdict::breach);
  EXPECT_EQ(shown("errors").results[0].calls, 100);
  send(day(2, 1));
  run();
  ASSERT_EQ(incidents().size(), 1u);
  EXPECT_EQ(incidents()[0].occurrences, 1) << "looked at three times, told once";
}

TEST_F(MonitorTest, ComparesWithTrainingDataAndNamesSuspects) {
  const std::string file = folder_ / "train.parquet";
  must(must(olap_->session())
           ->run(
               "COPY (SELECT i % 100 / 100.0::DOUBLE AS delay, i AS id FROM range(2000) t(i)) TO " +
               olap::quoted_text(file) + " (FORMAT parquet)"));
  const std::string source = R"(kind: source
name: flights
owner: data
path: train.parquet
columns: [{name: delay, type: double, classification: internal, unit: UNIT}, {name: id, type: bigint, classification: internal}]
)";
  const auto with_unit = [&](const std::string& unit) {
    std::string text = source;
    return text.replace(text.find("UNIT"), 4, unit);
  };
  apply(with_unit("minutes"));
  must(catalog_.add_dataset(test::call(), {.name = "train",
                                           .digest = std::string(64, 'a'),
                                           .uri = file,
                                           .row_count = 2'000,
                                           .sources = {"source:flights@1"}}));
  registry::Service registry(*db_, clock_);
  registry.verify_with(
      "training_data",
      [](sql::Tx&, const Call&, const std::string& text) -> Result<std::optional<std::string>> {
        return std::optional("dataset:" + text + "@1");
      });
  must(registry.register_version(test::call(), {.model_id = "flight-delay-v1",
                                                .artifact_uri = "x",
                                                .training_data = "train",
                                                .owner = "ml"}));
  clock_.advance(std::chrono::hours(1));
  apply(with_unit("seconds"));

  declare("delay-drift", std::string(drift) + "reference: training\n");
  send(day(1, 1'000));
  send(day(2, 1));
  run();
  EXPECT_EQ(shown("delay-drift").verdict, Verdict::ok) << shown("delay-drift").reason;
  EXPECT_NEAR(*shown("delay-drift").value, 0, 1e-12) << "the same distribution";
  send(day(3, 1'000, 5));
  send(day(4, 1));
  run();
  EXPECT_EQ(shown("delay-drift").verdict, Verdict::breach);
  ASSERT_EQ(incidents().size(), 1u);
  ASSERT_EQ(incidents()[0].suspects.size(), 1u);
  EXPECT_EQ(incidents()[0].suspects[0].substr(0, 58),
            "source:flights@2 column delay: unit minutes -> seconds, ap");
}

TEST_F(MonitorTest, ComparesWithTheProfilesOfAView) {
  declare("delay-drift", std::string(drift) + "reference: view_profile\n");
  send(day(2, 1'000));
  send(day(3, 1));
  run();
  EXPECT_EQ(shown("delay-drift").verdict, Verdict::undecided);
  EXPECT_EQ(shown("delay-drift").reason, "its view has no profile of the days before");
  // The values of the calls go through all of [0, 1), and so do those of the view on the third.
  const auto profiled = [&](int number, double from, double to) {
    features::ViewProfile profile{
        .project = "p1",
        .view = "delays",
        .version = 1,
        .day = *from_rfc3339("2013-07-01") + std::chrono::days(number - 1),
        .row_count = 1'100,
        .sampled_rows = 1'100};
    catalog::ColumnProfile column{.name = "delay", .type = "DOUBLE", .nulls = 100};
    column.distinct = 1'000;
    column.min = std::to_string(from);
    column.max = std::to_string(to);
    for (const double point : catalog::quantile_points)
      column.quantiles.push_back(from + (to - from) * point);
    profile.columns.push_back(column);
    test::insert(*db_, "feature_profiles", profile);
  };
  profiled(3, 0, 1);
  profiled(4, 0.9, 1);
  send(day(4, 1'000));
  send(day(5, 1));
  run();
  EXPECT_EQ(shown("delay-drift").verdict, Verdict::ok) << shown("delay-drift").reason;
  EXPECT_LT(*shown("delay-drift").value, 0.01) << "the same distribution";
  send(day(5, 1'000));
  send(day(6, 1));
  run();
  EXPECT_EQ(shown("delay-drift").verdict, Verdict::breach);
}

TEST_F(MonitorTest, RefusesWhatMeansNothing) {
  struct Case {
    std::string rest, says;
  };
  const Case cases[] = {
      {"quantity: feature_drift\nthreshold: 0.1\n", "feature is missing"},
      {"quantity: latency\nthreshold: 0.1\nfeature: delay\n", "feature is only of"},
      {"quantity: missing\nthreshold: 0.1\nfeature: dalay\n", "feature is not in features_v1"},
      {"quantity: score_drift\nthreshold: 0.1\nreference: training\n",
       "reference may be training for feature_drift alone"},
      {"quantity: missing\nfeature: delay\nthreshold: 0.1\nreference: view_profile\n",
       "reference may be view_profile for feature_drift alone"},
      {"quantity: latency\nthreshold: -1\n", "threshold must be at least 0"},
      {"quantity: latency\n", "threshold is missing"},
      {"quantity: latency\nthreshold: 1\nwindow_days: 0\n", "window_days must be at least 1"},
      {"quantity: kolmogorov\nthreshold: 1\n", "quantity must be one of"},
  };
  for (const Case& c : cases) {
    const auto out = try_apply("kind: monitor\nname: m\nowner: o\nroute: flight-delay\n" + c.rest);
    ASSERT_FALSE(out) << c.rest;
    EXPECT_NE(test::faults_of(out.error()).find(c.says), std::string::npos)
        << test::faults_of(out.error());
  }
  const auto out =
      try_apply("kind: monitor\nname: m\nowner: o\nroute: nope\nquantity: latency\nthreshold: 1\n");
  ASSERT_FALSE(out);
  EXPECT_NE(test::faults_of(out.error()).find("route is not declared"), std::string::npos);
  EXPECT_EQ(service_.stats(test::call(), {"nope"}).error().code, Code::not_found);
  EXPECT_EQ(service_.show(test::call(), {"nope"}).error().code, Code::not_found);
}

}  // namespace
}  // namespace penstock::monitor
