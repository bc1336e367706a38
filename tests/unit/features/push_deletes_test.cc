// Entities that are pushed as gone.
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

class PushDeletesTest : public FeaturesTest {
 protected:
  PushDeletesTest() {
    clock_.set(at(100));
    given({{"a", 1, 0, 0, 1.0, "x"}, {"b", 2, 1, 1, 2.0, "y"}});
    test::must(apply(source() + views() + schema()));
    materialize(5);
  }
  static json::object row(const std::string& place, std::int64_t seconds, double heat) {
    return {{"place", place},
            {"happened", to_rfc3339(at(seconds))},
            {"place_heat", heat},
            {"last_sensor", 1},
            {"hot", true}};
  }
  static json::object gone(const std::string& place, std::int64_t seconds) {
    return {{"place", place}, {"happened", to_rfc3339(at(seconds))}};
  }
  Result<PushOutput> push(std::vector<json::object> rows, std::vector<json::object> deletes) {
    return features_.push(
        ana_, {.view = "place_heat", .rows = std::move(rows), .deletes = std::move(deletes)});
  }
  std::string said(const std::string& place) {
    const FeatureRow found = read(place, 1, 90);
    return std::string(name_of(found.statuses[0])) + " " +
           json::serialize(to_json(found.values[0]));
  }
};

TEST_F(PushDeletesTest, TakeTheRowFromTheirEventTimeOn) {
  const PushOutput out = test::must(push({row("b", 10, 7.0)}, {gone("a", 10)}));
  EXPECT_EQ(out.written, 2);
  EXPECT_EQ(said("a"), "NOT_FOUND null");
  EXPECT_EQ(said("b"), "PRESENT 7E0");
  EXPECT_EQ(test::must(push({row("a", 9, 3.0)}, {})).ignored, 1);  // it was gone after that
  EXPECT_EQ(test::must(push({row("a", 10, 3.0)}, {})).ignored, 1);
  EXPECT_EQ(said("a"), "NOT_FOUND null");
  EXPECT_EQ(test::must(push({row("a", 11, 3.0)}, {})).written, 1);  // back again
  EXPECT_EQ(said("a"), "PRESENT 3E0");
  EXPECT_EQ(test::must(push({}, {gone("a", 10)})).ignored, 1);  // older than the row that is there
  EXPECT_EQ(said("a"), "PRESENT 3E0");
  EXPECT_EQ(test::must(push({}, {gone("nobody", 10), gone("nobody", 12)})).written, 1);
  EXPECT_EQ(test::must(push({row("nobody", 11, 1.0)}, {})).ignored, 1);
  // In one call, too, whatever stands first.
  EXPECT_EQ(test::must(push({row("c", 10, 1.0), row("d", 11, 1.0)}, {gone("c", 10), gone("d", 10)}))
                .written,
            2);
  EXPECT_EQ(said("c"), "NOT_FOUND null");
  EXPECT_EQ(said("d"), "PRESENT 1E0");
}

TEST_F(PushDeletesTest, StayOverAMaterializeAndAreTold) {
  test::must(push({}, {gone("a", 10)}));
  materialize(20);
  given({{"a", 1, 0, 0, 5.0, "x"}, {"b", 2, 1, 1, 2.0, "y"}});  // another value of an older event
  materialize(30);
  EXPECT_EQ(said("a"), "NOT_FOUND null");
  const auto out = test::must(features_.verify(ana_, {.name = "place_heat"}));
  ASSERT_EQ(out.differing, 1);
  EXPECT_EQ(out.differences[0].cause,
            "pushed only: the entity was deleted by a push as of 2020-09-13T12:26:50Z");
  // The sources say later that it is there.
  given({{"a", 1, 40, 40, 6.0, "x"}, {"b", 2, 1, 1, 2.0, "y"}});
  materialize(50);
  EXPECT_EQ(said("a"), "PRESENT 6E0");
  EXPECT_EQ(test::must(features_.verify(ana_, {.name = "place_heat"})).differing, 0);
}

TEST_F(PushDeletesTest, OneThatIsBadRefusesTheCall) {
  struct Case {
    json::object gone;
    std::string fault;
  };
  const Case cases[] = {
      {{{"place", "a"}}, "deletes[1].happened is missing"},
      {{{"happened", to_rfc3339(at(10))}}, "deletes[1].place is missing"},
      {{{"place", "a"}, {"happened", "soon"}}, "deletes[1].happened must be of type"},
      {{{"place", "a"}, {"happened", to_rfc3339(at(10))}, {"place_heat", 1.0}},
       "deletes[1] must have join keys and happened alone"},
  };
  for (const Case& c : cases) {
    const auto out = push({row("b", 50, 9.0)}, {gone("b", 60), c.gone});
    ASSERT_FALSE(out) << c.fault;
    EXPECT_NE(test::faults_of(out.error()).find(c.fault), std::string::npos)
        << test::faults_of(out.error());
  }
  EXPECT_EQ(said("b"), "PRESENT 2E0");
  EXPECT_EQ(push({}, {}).error().code, Code::invalid_argument);
}

}  // namespace
}  // namespace penstock::features
