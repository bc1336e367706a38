// The right to erasure, on whichever store the tests run.
#include <set>

#include "audit/audit.h"
#include "features/codec.h"
#include "features/erasure.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

class EraseTest : public FeaturesTest {
 protected:
  EraseTest() {
    clock_.set(at(15));
    given(readings_);
    test::must(apply(source() + views() + schema()));
    materialize(14);
  }
  static std::vector<Reading> with(std::vector<Reading> readings, const Reading& more) {
    readings.push_back(more);
    return readings;
  }
  EraseOutput erase(const std::map<std::string, std::string>& entity,
                    const std::string& view = "") {
    return test::must(
        features_.erase(ana_, {.entities = {entity}, .view = view, .reason = "asked"}));
  }
  std::string said(const std::string& place, std::int64_t sensor, std::int64_t seconds) {
    const FeatureRow row = read(place, sensor, seconds);
    std::string text;
    for (std::size_t i = 0; i < row.values.size(); ++i)
      text += row.statuses[i] == Status::NOT_FOUND ? "- "
                                                   : json::serialize(to_json(row.values[i])) + " ";
    return text;
  }
  std::string joined(std::int64_t seconds) {
    const auto out = test::must(features_.historical(
        ana_, {.entity_sql = "SELECT p AS place, 1 AS sensor, " + sql_time(seconds) +
                             " AS event_time FROM (VALUES ('a'), ('b')) AS t(p) ORDER BY p",
               .feature_schema = "features_v1"}));
    std::string text;
    for (const auto& row : rows("SELECT place, place_heat, note FROM read_parquet(" +
                                olap::quoted_text(out.uri) + ")"))
      for (const Scalar& value : row) text += json::serialize(to_json(value)) + " ";
    return text;
  }
  std::int64_t differing() {
    return test::must(features_.verify(ana_, {.name = "features_v1"})).differing;
  }

  const std::vector<Reading> readings_ = {
      {"a", 1, 10, 10, 1.0, "x"}, {"a", 2, 11, 11, 2.0, "y"}, {"b", 1, 12, 12, 3.0, "z"}};
};

TEST_F(EraseTest, TakesAnEntityOutOfEveryViewThatHasItsKeys) {
  EXPECT_EQ(said("a", 1, 14), "2E0 1E0 \"x\" true 2 ");
  EXPECT_EQ(joined(14), "\"a\" 2E0 \"x\" \"b\" 3E0 \"z\" ");
  const EraseOutput out = erase({{"place", "a"}});
  EXPECT_EQ(out.rows, 3);  // of place_heat one, of sensor_heat one for each sensor
  ASSERT_EQ(out.views.size(), 2u);
  EXPECT_EQ(said("a", 1, 14), "- - - - - ");
  EXPECT_EQ(said("a", 2, 14), "- - - - - ");
  EXPECT_EQ(said("b", 1, 14), "3E0 3E0 \"z\" true 1 ");
  EXPECT_EQ(joined(14), "\"a\" null null \"b\" 3E0 \"z\" ");
  // Nothing of the same rows comes back, whoever moves them.
  materialize(15);
  Service again(*db_, *olap_, *blobs_, rocks_->store(), catalog_, clock_, metrics_,
                {.scratch = folder_ / "scratch"});
  test::must(again.materialize(ana_, {.until = at(16)}));
  EXPECT_EQ(said("a", 1, 16), "- - - - - ");
  EXPECT_EQ(differing(), 0);
}

TEST_F(EraseTest, RowsOfLaterEventsCountAgain) {
  erase({{"place", "a"}});
  // Of an event before the erasure, though it arrived after it; and of one after it.
  auto more = with(readings_, {"a", 1, 15, 17, 7.0, "late"});
  given(more);
  materialize(18);
  EXPECT_EQ(said("a", 1, 18), "- - - - - ");
  more = with(more, {"a", 1, 19, 19, 8.0, "back"});
  given(more);
  materialize(20);
  EXPECT_EQ(said("a", 1, 20), "8E0 8E0 \"back\" true 1 ");
  EXPECT_EQ(joined(20), "\"a\" 8E0 \"back\" \"b\" 3E0 null ");
  EXPECT_EQ(joined(18), "\"a\" null null \"b\" 3E0 null ");
  EXPECT_EQ(differing(), 0);
}

TEST_F(EraseTest, APushOfAnEventBeforeTheErasureIsIgnored) {
  erase({{"place", "a"}, {"sensor", "1"}});
  const auto push = [&](std::int64_t seconds) {
    return test::must(features_.push(ana_, {.view = "sensor_heat",
                                            .rows = {{{"place", "a"},
                                                      {"sensor", 1},
                                                      {"seen", to_rfc3339(at(seconds))},
                                                      {"created", to_rfc3339(at(30))},
                                                      {"heat", 5.0},
                                                      {"note", "p"}}}}));
  };
  EXPECT_EQ(push(14).ignored, 1);
  EXPECT_EQ(push(15).ignored, 1);
  EXPECT_EQ(read("a", 1, 15).statuses[1], Status::NOT_FOUND);
  EXPECT_EQ(push(16).written, 1);
  EXPECT_EQ(read("a", 1, 16).values[1], Scalar(5.0));
  // place_heat has not all of these keys.
  EXPECT_EQ(read("a", 1, 16).values[0], Scalar(2.0));
  EXPECT_EQ(read("a", 2, 16).values[1], Scalar(2.0));
}

TEST_F(EraseTest, ARowOfTheFutureGoesToo) {
  given(with(readings_, {"a", 1, 40, 14, 9.0, "planned"}));
  materialize(50);
  EXPECT_EQ(read("a", 1, 41).values[1], Scalar(9.0));
  erase({{"place", "a"}});
  EXPECT_EQ(said("a", 1, 41), "- - - - - ");
  materialize(51);
  EXPECT_EQ(said("a", 1, 41), "- - - - - ");
  EXPECT_EQ(differing(), 0);
}

TEST_F(EraseTest, OneViewAloneAndAllItsVersions) {
  std::string changed = views();
  changed.replace(changed.find("heat > 1 AS hot"), 15, "heat > 2 AS hot");
  test::must(apply(changed));  // place_heat@2; features_v1 reads place_heat@1
  materialize(16);
  const EraseOutput out = erase({{"place", "a"}}, "place_heat");
  std::set<std::string> views;
  for (const auto& view : out.views) views.insert(view.view + " " + std::to_string(view.rows));
  EXPECT_EQ(views, (std::set<std::string>{"place_heat@1 1", "place_heat@2 1"}));
  EXPECT_EQ(said("a", 1, 14), "- 1E0 \"x\" - - ");
  EXPECT_EQ(test::must(features_.open_features(ana_, {"place_heat:hot"}))->views[0]->version, 2);
  materialize(17);
  EXPECT_EQ(said("a", 1, 14), "- 1E0 \"x\" - - ");
}

TEST_F(EraseTest, AsksForTheSameTwiceAndChangesNothing) {
  EXPECT_EQ(erase({{"place", "a"}}).rows, 3);
  const EraseOutput again = erase({{"place", "a"}});
  EXPECT_EQ(again.rows, 0);
  EXPECT_EQ(test::count(*db_, "feature_erasures"), 1);
  EXPECT_EQ(said("b", 1, 14), "3E0 3E0 \"z\" true 1 ");
  // Nobody that there ever was: the same.
  EXPECT_EQ(erase({{"place", "nobody"}}).rows, 0);
  materialize(18);
  EXPECT_EQ(differing(), 0);
}

TEST_F(EraseTest, IsOneEventOfTheAuditLogThatNamesNobody) {
  given(with(readings_, {"Ada Lovelace", 1, 10, 10, 1.0, "x"}));
  materialize(16);
  const auto before = test::count(*db_, "audit_events WHERE action = 'features.entity.erased'");
  const EraseOutput out = erase({{"place", "Ada Lovelace"}});
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'features.entity.erased'"), before + 1);
  ASSERT_EQ(out.entities.size(), 1u);
  EXPECT_EQ(out.entities[0].size(), 64u);
  for (const std::string table : {"audit_events WHERE detail", "feature_erasures WHERE entity",
                                  "feature_erasures WHERE keys", "feature_erasures WHERE salt"})
    EXPECT_EQ(test::count(*db_, table + " LIKE '%Lovelace%'"), 0) << table;
  EXPECT_EQ(test::count(*db_, "audit_events WHERE detail LIKE '%" + out.entities[0] + "%'"), 1);
  for (const auto& file : test::must(blobs_->list("features")))
    EXPECT_EQ(test::must(blobs_->get(file.path)).find("Lovelace"), std::string::npos) << file.path;
}

TEST_F(EraseTest, SaysWhatHoldsItStill) {
  const std::string all = "SELECT place, sensor, seen AS event_time, note AS said FROM readings";
  test::must(features_.historical(
      ana_, {.entity_sql = all, .feature_schema = "features_v1", .dataset = "d"}));
  test::must(features_.historical(ana_, {.entity_sql = all + " WHERE place = 'b'",
                                         .feature_schema = "features_v1",
                                         .dataset = "without"}));
  test::must(features_.historical(
      ana_, {.entity_sql = all, .feature_schema = "features_v1", .output = "mine.parquet"}));
  std::string text;
  for (const StillHeld& held : erase({{"place", "a"}}).still_held)
    text += held.what + "=" + (held.rows ? std::to_string(*held.rows) : "?") + " ";
  EXPECT_EQ(text, "dataset:d@1=2 historical/p1/named/mine.parquet=2 source:readings=? ");
}

TEST_F(EraseTest, SaysWhatIsWrongWithWhatItIsAsked) {
  struct Case {
    std::string what;
    EraseInput input;
    Code code;
    std::string fault;
  };
  const Case cases[] = {
      {"no key", {.entities = {{}}}, Code::invalid_argument, "entities[0] is empty"},
      {"a key that no view has",
       {.entities = {{{"carrier", "UA"}}}},
       Code::not_found,
       "names join keys that the views do not have"},
      {"another view",
       {.entities = {{{"place", "a"}}}, .view = "none"},
       Code::not_found,
       "view is no feature view"},
      {"a key that the view has not",
       {.entities = {{{"sensor", "1"}}}, .view = "place_heat"},
       Code::not_found,
       "names join keys that the views do not have"},
      {"no value of its type",
       {.entities = {{{"place", "a"}, {"sensor", "one"}}}},
       Code::invalid_argument,
       "entities[0].sensor must be of type bigint"},
      {"other keys in the second",
       {.entities = {{{"place", "a"}}, {{"sensor", "1"}}}},
       Code::invalid_argument,
       "entities[1] must have the join keys place"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto out = features_.erase(ana_, c.input);
    ASSERT_FALSE(out);
    EXPECT_EQ(name_of(out.error().code), name_of(c.code));
    EXPECT_NE(test::faults_of(out.error()).find(c.fault), std::string::npos)
        << test::faults_of(out.error());
  }
  EXPECT_EQ(said("a", 1, 14), "2E0 1E0 \"x\" true 2 ");
  EXPECT_EQ(test::count(*db_, "feature_erasures"), 0);
}

TEST_F(EraseTest, EntitiesOfOneCallAndProjectsAreKeptApart) {
  const auto out = test::must(
      features_.erase(ana_, {.entities = {{{"place", "a"}}, {{"place", "c"}}, {{"place", "b"}}}}));
  EXPECT_EQ(out.rows, 5);
  EXPECT_EQ(out.entities.size(), 3u);
  EXPECT_NE(out.entities[0], out.entities[2]);
  Call other = ana_;
  other.project = "p2";
  EXPECT_EQ(features_.erase(other, {.entities = {{{"place", "a"}}}}).error().code, Code::not_found);
}

}  // namespace
}  // namespace penstock::features
