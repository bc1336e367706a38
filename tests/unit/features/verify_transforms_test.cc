// What models read of transforms, computed anew offline.
#include <limits>

#include "features/values.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

class VerifyTransformsTest : public FeaturesTest {
 protected:
  VerifyTransformsTest() {
    given({{"a", 1, 0, 0, 4.0, "x"}, {"b", 2, 1, 1, 0.0, "y"}, {"c", 3, 1, 1, {}, {}}});
    test::must(apply(source() + views() + R"yaml(kind: feature_schema
name: made_v1
owner: sensors
inputs:
  - {name: amount, type: double}
  - {name: hour, type: bigint, nullable: true}
features:
  - {view: place_heat, feature: place_heat}
  - {view: place_heat, feature: last_sensor}
  - {view: place_heat, feature: hot}
  - {view: sensor_heat, feature: note}
  - {name: ratio, type: double, expression: "amount / place_heat"}
  - {name: late, expression: "hour > 20 AND hot"}
  - {name: next, expression: "last_sensor + coalesce(hour, 100)"}
  - {name: is_x, expression: "note = 'x'"}
  - {name: root, type: double, expression: "sqrt(ratio)"}
  - {name: said, expression: "note || '!'"}
)yaml"));
    materialize(5);
    features_.on_logged([this](const Call& call, const std::string& schema,
                               std::size_t most) -> Result<std::vector<LoggedRead>> {
      EXPECT_EQ(call.project, "p1");
      EXPECT_EQ(schema, "made_v1@1");
      EXPECT_EQ(most, 1'000u);
      return reads_;
    });
  }

  // As serving does: the values of a real read, as numbers.
  void serve(const std::string& place, const std::string& sensor, const std::string& amount,
             const std::optional<std::string>& hour) {
    const auto handle = test::must(features_.open_schema(ana_, "made_v1"));
    LoggedRead one{.prediction = "p" + std::to_string(reads_.size()),
                   .event_time = at(5),
                   .request = {{"place", place}, {"sensor", sensor}, {"amount", amount}},
                   .values = {}};
    if (hour) one.request["hour"] = *hour;
    const FeatureRow row = test::must(features_.read(*handle, one.request, one.event_time));
    for (std::size_t i = 0; i < row.values.size(); ++i) {
      const auto number = as_number(handle->types[i], row.values[i]);
      one.values.push_back(number && *number == *number ? number : std::nullopt);
    }
    reads_.push_back(std::move(one));
  }
  VerifyOutput verified() { return test::must(features_.verify(ana_, {.name = "made_v1"})); }

  std::vector<LoggedRead> reads_;
};

TEST_F(VerifyTransformsTest, WhatWasReadIsWhatTheExpressionGives) {
  serve("a", "1", "8", "21");
  serve("a", "1", "-3", {});
  serve("b", "2", "8", "21");  // a division by 0
  serve("c", "3", "8", "1");   // nulls
  serve("none", "7", "8", "1");
  serve("a", "1", "1e300", "9223372036854775807");
  const VerifyOutput out = verified();
  EXPECT_EQ(out.predictions, 6);
  EXPECT_EQ(out.differing, 0) << (out.differing ? out.differences[0].cause : "");
  // Of each prediction its five transforms that are numbers, beside what the views have.
  reads_.resize(1);
  EXPECT_EQ(out.values - verified().values, 5 * 5);
  EXPECT_EQ(reads_[0].values[4], 2.0);
  EXPECT_EQ(reads_[0].values[6], 22.0);
}

TEST_F(VerifyTransformsTest, AnotherValueIsTheTransformsFault) {
  serve("a", "1", "8", "21");
  serve("b", "2", "8", "21");
  reads_[0].values[4] = 2.5;           // ratio
  reads_[1].values[6] = std::nullopt;  // next
  const VerifyOutput out = verified();
  EXPECT_EQ(out.differing, 2);
  EXPECT_EQ(out.causes.at("transform"), 2);
  ASSERT_EQ(out.differences.size(), 2u);
  EXPECT_EQ(out.differences[0].view, "made_v1@1");
  EXPECT_EQ(out.differences[0].entity, "a, 1");
  EXPECT_EQ(out.differences[0].feature, "ratio");
  EXPECT_EQ(out.differences[0].online, "2.5E0");
  EXPECT_EQ(out.differences[0].offline, "2E0");
  EXPECT_EQ(out.differences[0].cause,
            "transform: prediction p0 read another value than the expression gives of what was "
            "read with it");
  EXPECT_EQ(out.differences[1].feature, "next");
  EXPECT_EQ(out.differences[1].online, "null");
}

// The log holds numbers: what a transform makes of a text is taken from the sources of now.
TEST_F(VerifyTransformsTest, ATextThatIsAnotherNowIsNoFaultOfTheTransform) {
  serve("a", "1", "8", "21");
  given({{"a", 1, 0, 0, 4.0, "z"}, {"b", 2, 1, 1, 0.0, "y"}, {"c", 3, 1, 1, {}, {}}});
  materialize(6);
  const VerifyOutput out = verified();
  ASSERT_EQ(out.differing, 1);
  EXPECT_EQ(out.differences[0].feature, "is_x");
  EXPECT_TRUE(out.differences[0].cause.starts_with("sources changed: prediction p0 read another"))
      << out.differences[0].cause;
}

// A value that moved online since is no difference: what counts is what was read.
TEST_F(VerifyTransformsTest, GoesByWhatWasReadAndNotByWhatStandsThere) {
  serve("a", "1", "8", "21");
  given({{"a", 1, 0, 0, 4.0, "x"},
         {"a", 1, 3, 3, 16.0, "x"},
         {"b", 2, 1, 1, 0.0, "y"},
         {"c", 3, 1, 1, {}, {}}});
  materialize(6);
  EXPECT_EQ(verified().differing, 0);
}

TEST_F(VerifyTransformsTest, ReadsOfAnotherFormArePassedOver) {
  serve("a", "1", "8", "21");
  serve("a", "1", "8", "21");
  reads_[0].values.pop_back();
  serve("a", "1", "8", "21");
  reads_[2].values[1] = 1e300;  // no whole number that a double holds
  EXPECT_EQ(verified().predictions, 1);
  reads_.clear();
  EXPECT_EQ(verified().predictions, 0);
  EXPECT_EQ(test::must(features_.verify(ana_, {.name = "place_heat"})).predictions, 0);
}

}  // namespace
}  // namespace penstock::features
