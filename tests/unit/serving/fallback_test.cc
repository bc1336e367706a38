#include <gtest/gtest.h>

#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using test::must;

class FallbackTest : public ::testing::Test {
 protected:
  // "flight-delay" reads features that are away for "broken"; each of `others` knows every flight,
  // but for those that are called as it is.
  void serve(const std::vector<std::string>& fallbacks, const std::vector<std::string>& others) {
    auto table = std::make_shared<RoutingTable>();
    LiveRoute asked = world_.route(
        {{"flight-delay", 1, weight_total, Arm::live}, {"flight-delay", 3, 0, Arm::shadow}});
    asked.declaration.fallbacks = fallbacks;
    const auto read = asked.features.read;
    asked.features.read = [read](const Entities& entities, Timestamp at) -> Result<FeatureRow> {
      if (entities.at("flight_id") == "wrong") return Error{Code::invalid_argument, "no flight"};
      return read(entities, at);
    };
    counters_ = asked.targets[0].counters;
    table->routes["p1/flight-delay"] = std::make_shared<const LiveRoute>(std::move(asked));
    for (const std::string& name : others) {
      LiveRoute other = world_.route({{"flight-delay", 2, weight_total, Arm::live}});
      other.declaration.name = name;
      other.features.read = [name](const Entities& entities, Timestamp) -> Result<FeatureRow> {
        if (entities.contains("flight_id") && entities.at("flight_id") == name)
          return Error{Code::internal, name};
        if (name == "away") return Error{Code::unavailable, "away"};
        return FeatureRow{{1.0, std::nullopt}, {}};
      };
      table->routes["p1/" + name] = std::make_shared<const LiveRoute>(std::move(other));
    }
    world_.table.set(std::move(table));
  }
  Result<InferAnswer> infer(const std::string& flight, std::int64_t version = 0,
                            Timestamp deadline = Timestamp::max(), const std::string& id = "c") {
    Call call = test::call();
    call.deadline = deadline;
    return world_.gateway.infer(
        call,
        {.route = "flight-delay", .version = version, .id = id, .rows = {{{"flight_id", flight}}}});
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
  std::shared_ptr<Counters> counters_;
};

// What failed has an id of its own each time, so that a retry is not taken for it.
bool is_attempt(const std::string& id, const std::string& call, const std::string& which) {
  constexpr std::size_t ulid = 26;
  return id.starts_with(call + "!") && id.ends_with(which) &&
         id.size() == call.size() + 1 + ulid + which.size();
}

TEST_F(FallbackTest, AnswersByTheFirstThatCan) {
  serve({"away", "gone", "second", "third"}, {"away", "second", "third"});
  const InferAnswer answer = must(infer("broken"));
  EXPECT_EQ(answer.predictions.at(0).version, 2);
  EXPECT_FALSE(answer.after) << "its shadow has no answer to compare with";
  const auto events = world_.events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].id, "c");
  EXPECT_EQ(events[0].route, "second");
  EXPECT_EQ(events[0].fallback_of, "flight-delay");
  EXPECT_EQ(events[0].error, "");
  EXPECT_TRUE(is_attempt(events[1].id, "c", ".failed.away")) << events[1].id;
  EXPECT_EQ(events[1].error, "unavailable");
  EXPECT_TRUE(is_attempt(events[2].id, "c", ".failed"))
      << events[2].id << ": the failure is seen by monitors and guards";
  EXPECT_EQ(events[2].route, "flight-delay");
  EXPECT_EQ(events[2].error, "unavailable");
  EXPECT_EQ(counters_->errors, 1);
  EXPECT_TRUE(must(infer("broken")).predictions.at(0).repeated) << "the same call, the same answer";
  EXPECT_EQ(world_.events().size(), 3u);
  EXPECT_EQ(must(infer("UA1", 0, Timestamp::max(), "d")).predictions.at(0).version, 1)
      << "who answers needs nobody";
}

TEST_F(FallbackTest, StandsInForRuntimesAndNotForCallers) {
  serve({"second"}, {"second"});
  EXPECT_EQ(infer("wrong").error().code, Code::invalid_argument);
  EXPECT_EQ(infer("broken", 1).error().code, Code::unavailable) << "a version that was asked for";
  EXPECT_EQ(infer("broken", 0, Timestamp(Micros(1))).error().code, Code::unavailable)
      << "after the deadline nobody is asked any more";
  for (const InferenceEvent& event : world_.events()) EXPECT_EQ(event.fallback_of, "");
}

TEST_F(FallbackTest, SaysTheFirstErrorWhereNobodyCan) {
  serve({"away"}, {"away"});
  const auto got = infer("broken");
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message.find("feature store"), std::string::npos);
  const auto events = world_.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_TRUE(is_attempt(events[0].id, "c", "")) << events[0].id;
  EXPECT_TRUE(is_attempt(events[1].id, "c", ".failed.away")) << events[1].id;
  serve({}, {});
  EXPECT_FALSE(infer("broken"));
}

}  // namespace
}  // namespace penstock::serving
