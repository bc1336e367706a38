// Instants are instants: whatever kind of time a column has, and wherever the server stands.
#include <cstdlib>
#include <ctime>

#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

// The machine's zone while it lives; before the engine opens, which reads it then.
class Zone {
 public:
  explicit Zone(const char* name) {
    if (const char* before = std::getenv("TZ")) before_ = before;
    setenv("TZ", name, 1);
    tzset();
  }
  Zone(const Zone&) = delete;
  ~Zone() {
    before_ ? setenv("TZ", before_->c_str(), 1) : unsetenv("TZ");
    tzset();
  }

 private:
  std::optional<std::string> before_;
};

class OfflineTimeTest : protected Zone,
                        public FeaturesTest,
                        public testing::WithParamInterface<const char*> {
 protected:
  OfflineTimeTest() : Zone(GetParam()) {}

  // A row of `kind` in the source at each of the times; heat counts them.
  void given_times(const std::vector<std::string>& times) {
    std::string all;
    for (std::size_t i = 0; i < times.size(); ++i)
      all += (i ? " UNION ALL " : "") + std::string("SELECT 'a' AS place, 1 AS sensor, ") +
             times[i] + " AS seen, " + times[i] + " AS created, " + std::to_string(i) +
             "::DOUBLE AS heat, NULL::VARCHAR AS note";
    run("COPY (" + all + ") TO '" + folder_ / "readings.parquet" + "' (FORMAT parquet)");
  }
  // place_heat at one instant; -1 where there is none.
  double heat_at(const std::string& time) {
    const auto out = test::must(features_.historical(
        ana_, {.entity_sql = "SELECT 'a' AS place, 1 AS sensor, " + time + " AS event_time",
               .feature_schema = "features_v1"}));
    const auto found =
        rows("SELECT place_heat FROM read_parquet(" + olap::quoted_text(out.uri) + ")");
    return found.at(0).at(0).index() ? std::get<double>(found[0][0]) : -1;
  }
};
INSTANTIATE_TEST_SUITE_P(Zones, OfflineTimeTest,
                         testing::Values("UTC", "America/New_York", "Asia/Kolkata"));

TEST_P(OfflineTimeTest, EveryKindOfTimeMeansOneInstant) {
  const char* const midnight_of_views[] = {"TIMESTAMP '2024-03-10'", "DATE '2024-03-10'",
                                           "TIMESTAMPTZ '2024-03-09 19:00:00-05'",
                                           "TIMESTAMP_S '2024-03-10'", "TIMESTAMP_NS '2024-03-10'"};
  for (const char* midnight : midnight_of_views) {
    SCOPED_TRACE(midnight);
    given_times({midnight});
    test::must(apply(source() + views() + schema()));
    for (const char* same : midnight_of_views) EXPECT_EQ(heat_at(same), 0) << same;
    EXPECT_EQ(heat_at("TIMESTAMP '2024-03-09 23:59:59.999999'"), -1);
    EXPECT_EQ(heat_at("TIMESTAMPTZ '2024-03-10 01:59:59.999999+02'"), -1);
    EXPECT_EQ(heat_at("DATE '2024-03-09'"), -1);
    EXPECT_EQ(heat_at("DATE '2024-03-11'"), 0);
  }
}

TEST_P(OfflineTimeTest, AViewMayGiveItsTimesWithAZone) {
  given_times({"TIMESTAMP '2024-03-10 12:00:00'"});
  std::string with_zone = views();
  with_zone.replace(with_zone.find("seen AS happened"), 16,
                    "seen AT TIME ZONE ''Europe/Berlin'' AS happened");
  with_zone.insert(with_zone.find("SELECT place, seen"), "'");
  with_zone.insert(with_zone.find("FROM readings\nevent_time: happened") + 13, "'");
  test::must(apply(source() + with_zone + schema()));
  EXPECT_EQ(heat_at("TIMESTAMP '2024-03-10 10:59:59'"), -1);
  EXPECT_EQ(heat_at("TIMESTAMP '2024-03-10 11:00:00'"), 0);
}

// The hour from 1 to 2 comes twice in New York on that day, and the one from 2 to 3 not on the
// other.
TEST_P(OfflineTimeTest, AnHourThatComesTwiceIsTwoHours) {
  given_times({"TIMESTAMPTZ '2023-11-05 01:30:00-04'", "TIMESTAMPTZ '2023-11-05 01:30:00-05'",
               "TIMESTAMPTZ '2024-03-10 01:59:59-05'", "TIMESTAMPTZ '2024-03-10 03:00:00-04'"});
  test::must(apply(source() + views() + schema()));
  EXPECT_EQ(heat_at("TIMESTAMPTZ '2023-11-05 01:29:59-04'"), -1);
  EXPECT_EQ(heat_at("TIMESTAMPTZ '2023-11-05 01:59:59-04'"), 0);
  EXPECT_EQ(heat_at("TIMESTAMPTZ '2023-11-05 01:00:00-05'"), 0);
  EXPECT_EQ(heat_at("TIMESTAMPTZ '2023-11-05 01:30:00-05'"), 1);
  EXPECT_EQ(heat_at("TIMESTAMP '2023-11-05 06:30:00'"), 1);
  EXPECT_EQ(heat_at("TIMESTAMPTZ '2024-03-10 02:59:59-04'"), 2);
  EXPECT_EQ(heat_at("TIMESTAMPTZ '2024-03-10 02:00:00-05'"), 3);
}

}  // namespace
}  // namespace penstock::features
