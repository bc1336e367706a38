// Events that are pushed before their source holds them, and sources that are slow.
#include "features/operations.h"
#include "tests/unit/features/windows_fixture.h"

namespace penstock::features {
namespace {

class WindowsLateTest : public WindowsTest {
 protected:
  static json::object event(std::int64_t time, double heat) {
    return {{"place", "a"}, {"seen", to_rfc3339(at(time))}, {"heat", heat}};
  }
  PushOutput push(std::vector<json::object> rows) {
    return test::must(features_.push(ana_, {.view = "place_windows", .rows = std::move(rows)}));
  }
  std::int64_t count(std::int64_t t) {
    const Scalar n = read_windows(features_, "a", t).values[0];
    return n.index() == 0 ? -1 : std::get<std::int64_t>(n);
  }
  std::uint64_t late_total() {
    return metrics_
        .counter("penstock_features_pushed_late_total", "",
                 {{"project", "p1"}, {"view", "place_windows@" + std::to_string(version_)}})
        .value();
  }
  std::int64_t version_ = 1;
};

TEST_F(WindowsLateTest, SaysWhichPushedEventsComeTooLateToCountByThemselves) {
  given({{"a", 1, 0, {}, 2.0, "x"}});
  materialize(20);
  const PushOutput out = push({event(10, 1), event(20, 3), event(21, 4), event(21, 4)});
  EXPECT_EQ(out.written, 1);
  EXPECT_EQ(out.ignored, 3);
  EXPECT_EQ(out.late, 2);  // the fourth is the third once more
  EXPECT_EQ(out.watermark, at(20));
  EXPECT_EQ(late_total(), 2u);
  EXPECT_EQ(count(21), 2);
  // What says when it was created arrives then: it is no late one.
  json::object created = event(10, 1);
  created["created"] = to_rfc3339(at(22));
  const PushOutput in_time = push({created});
  EXPECT_EQ(in_time.late, 0);
  EXPECT_EQ(in_time.watermark, std::nullopt);
  EXPECT_EQ(count(22), 3);
  // The late ones count when the source holds them, and once.
  given({{"a", 1, 0, {}, 2.0, "x"},
         {"a", {}, 10, {}, 1.0, {}},
         {"a", {}, 20, {}, 3.0, {}},
         {"a", {}, 21, {}, 4.0, {}},
         {"a", {}, 10, 22, 1.0, {}}});
  materialize(30);
  EXPECT_EQ(count(30), 5);
  EXPECT_EQ(test::must(features_.verify(ana_, {.name = "place_windows"})).differing, 0);
}

// The source holds an event 60 s after it happened; every event is pushed at once.
TEST_F(WindowsLateTest, ASlowSourceLosesNothingAndDoublesNothing) {
  test::must(apply(windowed_view("source_delay: 60s\nschedule: 10s\n")));
  version_ = 2;
  std::vector<Reading> source;
  std::int64_t happened = 0;
  for (std::int64_t now = 10; now <= 280; now += 10) {
    SCOPED_TRACE(now);
    clock_.set(at(now));
    // It is sent 5 s after it happened, when a view that does not wait would be past it.
    EXPECT_EQ(push({event(now - 5, static_cast<double>(now))}).written, 1);
    ++happened;
    if (now > 60) source.push_back({"a", {}, now - 65, {}, static_cast<double>(now - 60), {}});
    given(source);
    while (test::must(features_.operations().run_due())) continue;
    EXPECT_EQ(read_windows(features_, "a", now).values[16], Scalar(happened));
  }
  EXPECT_EQ(late_total(), 0u);
  EXPECT_EQ(test::must(features_.list(ana_)).views.back().watermark, at(220));
  EXPECT_EQ(test::must(features_.verify(ana_, {.name = "place_windows"})).differing, 0);
  // Asked to go further it does not: the source may not hold what happened there.
  const auto asked = test::must(features_.materialize(ana_, {.until = at(280)}));
  EXPECT_EQ(asked.views.back().watermark, at(220));
}

TEST_F(WindowsLateTest, ADelayThatMakesNoSenseIsRefused) {
  EXPECT_NE(faults(windowed_view("source_delay: 1h\nfreshness: 30m\n"))
                .find("freshness must be longer than source_delay"),
            std::string::npos);
  EXPECT_NE(faults(windowed_view("source_delay: 0s\n")).find("source_delay must be from 1s"),
            std::string::npos);
  std::string plain = views();
  plain.replace(plain.find("ttl: 5s"), 7, "source_delay: 5s");
  EXPECT_NE(faults(plain).find("source_delay is for windows"), std::string::npos);
  EXPECT_EQ(faults(windowed_view("source_delay: 1h\nfreshness: 2h\n")), "");
}

}  // namespace
}  // namespace penstock::features
