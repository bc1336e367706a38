// Declarations of windowed views: what is refused, and what lineage says of the rest.
#include "tests/unit/features/windows_fixture.h"

namespace penstock::features {
namespace {

class WindowsDefinitionsTest : public FeaturesTest {
 protected:
  WindowsDefinitionsTest() {
    given({});
    test::must(apply(source()));
  }
  static std::string view(const std::string& feature) {
    return R"(kind: feature_view
name: w
owner: sensors
entity: place
sources: [readings]
sql: SELECT place, seen, heat AS warm, sensor AS number, note, heat > 1 AS hot, created FROM readings
event_time: seen
compatibility: none
features:
  - {name: x, )" +
           feature + "}\n";
  }
};

TEST_F(WindowsDefinitionsTest, RefusesWhatHasNoMeaning) {
  struct Case {
    std::string feature, fault;
  };
  const Case cases[] = {
      {"column: warm", "features[0].column needs an aggregate beside it"},
      {"window: 5m", "features[0].window needs an aggregate"},
      {"hop: 5m", "features[0].hop needs an aggregate"},
      {"kind: tumbling", "features[0].kind needs an aggregate"},
      {"where: hot", "features[0].where needs an aggregate"},
      {"quantile: 0.5", "features[0].quantile needs an aggregate"},
      {"aggregate: median, column: warm, window: 5m", "aggregate must be one of count, sum"},
      {"aggregate: sum, window: 5m", "features[0].column is missing: sum reads one"},
      {"aggregate: sum, column: warm", "features[0].window is missing"},
      {"aggregate: sum, column: warm, window: 30s",
       "features[0].window must be between 1m and 366d"},
      {"aggregate: sum, column: warm, window: 367d", "features[0].window must be between"},
      {"aggregate: sum, column: warm, window: 5m, hop: 2m",
       "features[0].hop is 2m, which does not divide the window, 5m"},
      {"aggregate: sum, column: warm, window: 61h", "features[0].hop none said is 6h, which"},
      {"aggregate: sum, column: warm, window: 5m, hop: 10m", "features[0].hop must be between 1s"},
      {"aggregate: sum, column: warm, window: 5m, hop: 500ms",
       "features[0].hop must be between 1s"},
      {"aggregate: sum, column: warm, window: 366d, hop: 1m", "a 10,000th of the window"},
      {"aggregate: sum, column: warm, window: 5m, kind: tumbling, hop: 1m",
       "features[0].hop is for sliding windows"},
      {"aggregate: quantile, column: warm, window: 5m", "features[0].quantile is missing"},
      {"aggregate: quantile, quantile: 1, column: warm, window: 5m", "must lie between 0 and 1"},
      {"aggregate: sum, quantile: 0.5, column: warm, window: 5m", "belongs to aggregate quantile"},
      {"aggregate: mean, type: bigint, column: number, window: 5m",
       "features[0].type must be double for mean"},
      {"aggregate: count, type: text, window: 5m", "features[0].type must be bigint or double"},
      {"aggregate: sum, column: cold, window: 5m",
       "features[0].column cold is not a column of the"},
      {"aggregate: sum, column: note, window: 5m", "features[0].column note is VARCHAR"},
      {"aggregate: sum, type: bigint, column: warm, window: 5m",
       "features[0].column warm is DOUBLE"},
      {"aggregate: min, type: text, column: warm, window: 5m", "features[0].column warm is DOUBLE"},
      {"aggregate: distinct, column: created, window: 5m", "cast it in the SQL"},
      {"aggregate: count, where: warm, window: 5m",
       "features[0].where warm is DOUBLE, not a boolean"},
      {"aggregate: count, where: cold, window: 5m", "features[0].where cold is not a column"},
      {"aggregate: count, window: 5m}\n  - {name: number, type: bigint",
       "features[1].aggregate is missing, and other features have one"},
  };
  for (const Case& c : cases) {
    const std::string found = faults(view(c.feature));
    EXPECT_NE(found.find(c.fault), std::string::npos) << c.feature << "\n  gives: " << found;
  }
  for (const char* good :
       {"aggregate: count, window: 1m", "aggregate: count, window: 366d, hop: 1d",
        "aggregate: sum, type: bigint, column: hot, window: 5m",
        "aggregate: mean, column: hot, where: hot, window: 5m, kind: tumbling",
        "aggregate: count, type: bigint, column: created, window: 61h, hop: 1h",
        "aggregate: quantile, quantile: 0.99, column: number, window: 30d, hop: 5m"})
    EXPECT_EQ(faults(view(good)), "") << good;
}

TEST_F(WindowsDefinitionsTest, TellsOfEachFeatureWhatItIsMadeFrom) {
  test::must(
      apply(view("aggregate: sum, column: warm, where: hot, window: 5m}\n"
                 "  - {name: n, aggregate: count, window: 5m}\n"
                 "  - {name: last_note, type: text, aggregate: last, column: note, window: 5m")));
  const auto edges = test::must(db_->read(ana_, [&](sql::Tx& tx) {
    return tx.run(
        "SELECT from_urn, to_urn, relation FROM lineage_edges WHERE relation IN "
        "('derived_from', 'depends_on') ORDER BY from_urn, to_urn",
        {});
  }));
  std::string text;
  for (const auto& row : edges)
    text += std::get<std::string>(row[0]) + " " + std::get<std::string>(row[1]) + "\n";
  EXPECT_EQ(text,
            "feature_view:w@1 source:readings@1#created\n"
            "feature_view:w@1 source:readings@1#place\n"
            "feature_view:w@1 source:readings@1#seen\n"
            "feature_view:w@1 source:readings@1#sensor\n"
            "feature_view:w@1#last_note source:readings@1#note\n"
            "feature_view:w@1#x source:readings@1#heat\n");
}

}  // namespace
}  // namespace penstock::features
