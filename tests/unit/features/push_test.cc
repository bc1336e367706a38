// Rows that are pushed in batches, some of them bad.
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

class PushTest : public FeaturesTest {
 protected:
  PushTest() {
    given({});
    test::must(apply(source() + views() + schema()));
  }
  static json::object row(const std::string& place, std::int64_t seconds, json::value heat) {
    return {{"place", place},
            {"sensor", 1},
            {"seen", to_rfc3339(at(seconds))},
            {"heat", std::move(heat)}};
  }
  Result<PushOutput> push(std::vector<json::object> rows, bool all_or_nothing = false) {
    return features_.push(
        ana_, {.view = "sensor_heat", .rows = std::move(rows), .all_or_nothing = all_or_nothing});
  }
  Scalar heat(const std::string& place) { return read(place, 1, 5).values[1]; }
};

TEST_F(PushTest, KeepsTheGoodRowsAndSaysWhatIsWrongWithTheOthers) {
  auto unknown = row("d", 1, 4.0);
  unknown["cold"] = true;
  auto late = row("e", 1, 5.0);
  late["seen"] = "soon";
  const auto out = test::must(push({row("a", 2, 1.0), row("b", 1, "hot"), row("a", 1, 2.0),
                                    row("c", 1, nullptr), unknown, late, json::object{}}));
  EXPECT_EQ(out.written, 2);
  EXPECT_EQ(out.ignored, 1);
  EXPECT_EQ(out.rejected, 4);
  EXPECT_EQ(out.written + out.ignored + out.rejected, 7);
  std::string text;
  for (const RejectedRow& fault : out.rejects)
    text += std::to_string(fault.row) + " " + fault.field + " " + fault.value + " " + fault.reason +
            "\n";
  EXPECT_EQ(text,
            "1 heat \"hot\" must be of type double\n"
            "4 cold true is no column of the view\n"
            "5 seen \"soon\" must be of type string (date-time)\n"
            "6 place  is missing\n"
            "6 sensor  is missing\n"
            "6 seen  is missing\n");
  EXPECT_EQ(heat("a"), Scalar(1.0));
  EXPECT_EQ(read("c", 1, 5).statuses[1], Status::NULL_VALUE);
  for (const char* place : {"b", "d", "e"})
    EXPECT_EQ(read(place, 1, 5).statuses[1], Status::NOT_FOUND) << place;
}

TEST_F(PushTest, WritesNothingWhereAllOrNothingIsAskedFor) {
  const auto out = push({row("a", 2, 1.0), row("b", 1, "hot")}, true);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, Code::invalid_argument);
  EXPECT_EQ(test::faults_of(out.error()), "rows[1].heat must be of type double\n");
  EXPECT_NE(out.error().message.find("nothing was written"), std::string::npos);
  EXPECT_EQ(read("a", 1, 5).statuses[1], Status::NOT_FOUND);
  EXPECT_EQ(test::must(push({row("a", 2, 1.0)}, true)).written, 1);
}

TEST_F(PushTest, IsAnErrorWhereNoRowIsGood) {
  EXPECT_EQ(push({row("a", 1, "x"), row("b", 1, "y")}).error().code, Code::invalid_argument);
}

TEST_F(PushTest, BoundsWhatItTells) {
  std::vector<json::object> rows(3'000, row("b", 1, json::value(std::string(5'000, 'x'))));
  rows.push_back(row("a", 1, 1.0));
  const auto out = test::must(push(std::move(rows)));
  EXPECT_EQ(out.written, 1);
  EXPECT_EQ(out.rejected, 3'000);
  ASSERT_EQ(out.rejects.size(), 1'000u);
  EXPECT_EQ(out.rejects[0].value.size(), 100u);
}

// An older version that a schema pins takes what it knows of the rows that the newest takes.
TEST_F(PushTest, GivesOlderVersionsTheGoodRows) {
  std::string changed = source() + views();
  changed.replace(changed.find("{name: note, type: text}]"), 25,
                  "{name: note, type: text}, {name: created_by, type: text}]");
  changed.replace(changed.find("heat, note FROM readings"), 24,
                  "heat, note, note AS created_by FROM readings");
  test::must(apply(changed));
  auto newer = row("a", 1, 1.0);
  newer["created_by"] = "ana";
  EXPECT_EQ(test::must(push({newer, row("b", 1, "hot")})).rejected, 1);
  EXPECT_EQ(heat("a"), Scalar(1.0));  // of features_v1@1, which pins the older version
}

}  // namespace
}  // namespace penstock::features
