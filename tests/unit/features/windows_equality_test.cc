// G3 and G4 of windowed views: joins, reads after materialize and reads after push against a loop
// over all events.
#include "tests/unit/features/windows_fixture.h"

namespace penstock::features {
namespace {

TEST_F(WindowsTest, AJoinGivesWhatTheOracleGives) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    WindowRandom random(seed);
    const auto readings = random.readings(80, 0, 1500);
    given(readings);
    std::vector<std::pair<std::optional<std::string>, std::optional<std::int64_t>>> questions;
    std::string values = "(NULL::VARCHAR, NULL::TIMESTAMP, -1)";
    for (std::int64_t count = random.below(60); count > 0; --count) {
      questions.emplace_back(random.place(), random.time(-100, 2500) + random.below(2));
      if (random.one_in(15)) questions.back().first.reset();
      if (random.one_in(15)) questions.back().second.reset();
      if (random.one_in(5)) questions.push_back(questions.back());
    }
    for (std::size_t i = 0; i < questions.size(); ++i)
      values += ", (" + sql_text(questions[i].first) + ", " + sql_time(questions[i].second) + ", " +
                std::to_string(i) + ")";
    const std::string path = folder_ / "questions.parquet";
    run("COPY (SELECT * FROM (VALUES " + values +
        ") AS t(place, event_time, id) WHERE id >= 0) TO '" + path + "' (FORMAT parquet)");
    HistoricalInput input{.entity_path = path, .feature_schema = "windows_v1"};
    std::optional<std::int64_t> known;
    if (random.one_in(2)) {
      known = random.time(0, 2500);
      input.known_as_of = at(*known);
    }
    const auto out = test::must(features_.historical(ana_, input));
    ASSERT_EQ(out.row_count, static_cast<std::int64_t>(questions.size()));
    const auto found = rows("SELECT * EXCLUDE (place, event_time) FROM read_parquet(" +
                            olap::quoted_text(out.uri) + ")");
    const WindowOracle oracle{readings, known, {}};
    for (std::size_t i = 0; i < questions.size(); ++i) {
      const auto& [place, time] = questions[i];
      ASSERT_EQ(found[i][0], Scalar(static_cast<std::int64_t>(i)));
      const auto right =
          place && time ? oracle.row(*place, *time) : std::vector<Scalar>(asked().size());
      ASSERT_TRUE(agree({found[i].begin() + 1, found[i].end()}, right))
          << "row " << i << ": " << place.value_or("-") << " at " << time.value_or(0);
    }
  }
}

class OnlineWindowsTest : public WindowsTest, public testing::WithParamInterface<unsigned> {
 protected:
  std::vector<Reading> readings_;  // the sources
  std::vector<Reading> pushed_;    // and what they do not hold yet
  std::int64_t now_ = 0;
  WindowRandom random_{GetParam()};

  std::vector<Reading> everything() const {
    auto all = readings_;
    std::erase_if(all, [&](const Reading& r) { return !r.time || arrived_of(r) > now_; });
    all.insert(all.end(), pushed_.begin(), pushed_.end());
    return all;
  }

  static bool same(const Reading& a, const Reading& b) {
    return a.place == b.place && a.sensor == b.sensor && a.time == b.time &&
           created_of(a) == created_of(b) && a.heat == b.heat && a.note == b.note;
  }

  void push_some() {
    PushInput input{.view = "place_windows"};
    for (std::int64_t count = 1 + random_.below(8); count > 0; --count) {
      const Reading r = random_.reading(now_ - 200, now_ + 400);
      if (!r.place || !r.time) continue;
      input.rows.push_back(pushed(r));
      if (random_.one_in(3)) input.rows.push_back(pushed(r));  // sent again
      if (arrived_of(r) <= now_) continue;                     // the sources hold it by now
      if (std::none_of(pushed_.begin(), pushed_.end(),
                       [&](const Reading& other) { return same(other, r); }))
        pushed_.push_back(r);
    }
    if (input.rows.empty()) return;
    const auto out = test::must(features_.push(ana_, input));
    EXPECT_EQ(out.written + out.ignored, static_cast<std::int64_t>(input.rows.size()));
    EXPECT_EQ(test::must(features_.push(ana_, input)).written, 0);
  }

  // What was pushed is in the sources before the watermark passes it.
  void move_to(std::int64_t until) {
    bool changed = false;
    for (const Reading& r : pushed_)
      if (arrived_of(r) <= until) readings_.push_back(r), changed = true;
    std::erase_if(pushed_, [&](const Reading& r) { return arrived_of(r) <= until; });
    if (random_.one_in(3)) {
      for (const Reading& late : random_.readings(20, 0, 2500)) readings_.push_back(late);
      changed = true;
    }
    if (changed && random_.one_in(4) && !readings_.empty())
      readings_.erase(readings_.begin() +
                      random_.below(static_cast<std::int64_t>(readings_.size())));
    if (changed) given(readings_);
    now_ = until;
    materialize(now_);
  }

  void compare(Service& service) {
    const auto all = everything();
    const WindowOracle oracle{all, {}, {}};
    for (const char* place : {"a", "b", "c", "d"}) {
      std::optional<std::int64_t> newest;
      for (const Reading& r : all)
        if (r.place == place) newest = std::max(newest.value_or(arrived_of(r)), arrived_of(r));
      for (const std::int64_t t : {now_ - 70, now_, now_ + 1, now_ + 10, now_ + 60, now_ + 130,
                                   now_ + 299, now_ + 300, now_ + 650, now_ + 100'000}) {
        const FeatureRow row = read_windows(service, place, t);
        SCOPED_TRACE(std::string(place) + " at " + std::to_string(t) + ", moved to " +
                     std::to_string(now_));
        if (newest && *newest > t) {
          EXPECT_EQ(row.from_future, 1);
          EXPECT_EQ(row.statuses[0], Status::NOT_FOUND);
          continue;
        }
        ASSERT_TRUE(agree(row.values, oracle.row(place, t)));
        for (std::size_t i = 0; i < row.values.size(); ++i)
          ASSERT_EQ(row.statuses[i], !newest                      ? Status::NOT_FOUND
                                     : row.values[i].index() == 0 ? Status::NULL_VALUE
                                                                  : Status::PRESENT);
      }
    }
  }

  // The same bits, approximate values too, where nothing was pushed.
  void compare_offline() {
    std::string values;
    for (const char* place : {"a", "b", "c", "d"})
      values +=
          (values.empty() ? "('" : ", ('") + std::string(place) + "', " + sql_time(now_) + ")";
    run("COPY (SELECT * FROM (VALUES " + values + ") AS t(place, event_time)) TO '" +
        folder_ / "now.parquet" + "' (FORMAT parquet)");
    const auto out = test::must(features_.historical(
        ana_, {.entity_path = folder_ / "now.parquet", .feature_schema = "windows_v1"}));
    for (const auto& row : rows("SELECT * EXCLUDE (event_time) FROM read_parquet(" +
                                olap::quoted_text(out.uri) + ")"))
      EXPECT_EQ(text_of({row.begin() + 1, row.end()}),
                text_of(read_windows(features_, std::get<std::string>(row[0]), now_).values));
  }
};
INSTANTIATE_TEST_SUITE_P(Seeds, OnlineWindowsTest, testing::Range(0u, 25u));

TEST_P(OnlineWindowsTest, OnlineGivesWhatTheOracleGivesForTheSameInstant) {
  readings_ = random_.readings(80, 0, 1500);
  given(readings_);
  for (int step = 0; step < 7; ++step) {
    move_to(now_ + 1 + random_.below(500));
    EXPECT_EQ(materialize(now_), 0);
    compare(features_);
    const auto verified = test::must(features_.verify(ana_, {.name = "windows_v1"}));
    EXPECT_EQ(verified.differing, 0)
        << (verified.differences.empty() ? "" : verified.differences[0].cause);
    if (pushed_.empty()) compare_offline();
    if (random_.one_in(2)) {
      push_some();
      compare(features_);
    }
    if (random_.one_in(3)) compare(*another(rocks_->store()));
  }
}

}  // namespace
}  // namespace penstock::features
