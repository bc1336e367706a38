#include "serving/choose.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using test::must;

using Headers = std::map<std::string, std::string, std::less<>>;

HeaderLookup lookup_in(const Headers& headers) {
  return [&headers](std::string_view name) {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
  };
}

class ChooseTest : public ::testing::Test {
 protected:
  LiveRoute route(const std::vector<RoutingRule>& rules, const std::string& sticky = "") {
    LiveRoute route = world_.route({{"flight-delay", 1, 5'000, Arm::live},
                                    {"flight-delay", 2, 5'000, Arm::canary},
                                    {"flight-delay", 3, 0, Arm::shadow}});
    route.declaration.rules = rules;
    route.declaration.sticky = sticky;
    route.rules = must(Rules::compile(rules, route.declaration.entity_keys));
    return route;
  }
  InferenceEvent infer(const std::string& flight, const Headers& headers,
                       std::int64_t version = 0) {
    must(world_.gateway.infer(test::call(), {.route = "flight-delay",
                                             .version = version,
                                             .rows = {{{"flight_id", flight}}},
                                             .header = lookup_in(headers)}));
    return world_.events().back();
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
};

TEST_F(ChooseTest, TakesTheFirstRuleThatHoldsAndDrawsElse) {
  LiveRoute live = route({{R"(header("x-beta") == "1")", 2}, {R"(user == "ana")", 1}});
  live.declaration.experiment = Experiment{.id = "exp-1"};
  const Headers beta = {{"x-beta", "1"}}, none;
  const HeaderLookup with = lookup_in(beta), without = lookup_in(none);
  std::set<std::int64_t> drawn;
  for (int i = 0; i < 100; ++i) {
    const std::string unit = "u" + std::to_string(i);
    const auto ruled = must(choose_for(live, {.user = "ana", .header = &with}, unit, 0));
    EXPECT_EQ(ruled.target->deployment->version, 2);
    EXPECT_EQ(ruled.probability, 1) << "a rule draws nothing";
    EXPECT_TRUE(ruled.by_rule);
    EXPECT_EQ(ruled.experiment, "");
    EXPECT_EQ(must(choose_for(live, {.user = "ana", .header = &without}, unit, 0))
                  .target->deployment->version,
              1);
    const auto draw = must(choose_for(live, {.user = "bo", .header = &without}, unit, 0));
    EXPECT_EQ(draw.probability, 0.5);
    EXPECT_EQ(draw.experiment, "exp-1");
    EXPECT_EQ(draw.target, choose(live, unit));
    drawn.insert(draw.target->deployment->version);
    const auto asked = must(choose_for(live, {.user = "ana", .header = &with}, unit, 1));
    EXPECT_EQ(asked.target->deployment->version, 1) << "who asks for a version gets it";
    EXPECT_EQ(asked.probability, 1);
  }
  EXPECT_EQ(drawn, (std::set<std::int64_t>{1, 2}));
}

TEST_F(ChooseTest, NeverChoosesAShadowOrAVersionThatIsGone) {
  const LiveRoute live = route({{R"(tenant == "t")", 3}, {R"(tenant == "t")", 9}});
  std::set<std::int64_t> drawn;
  for (int i = 0; i < 100; ++i)
    drawn.insert(
        must(choose_for(live, {.tenant = "t"}, std::to_string(i), 0)).target->deployment->version);
  EXPECT_EQ(drawn, (std::set<std::int64_t>{1, 2})) << "the rules were passed over";
  for (const std::int64_t version : {3, 9}) {
    const auto refused = choose_for(live, {}, "u", version);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::not_found);
    EXPECT_EQ(refused.error().message.find("3; it serves") == std::string::npos, version != 3);
    EXPECT_NE(refused.error().message.find("it serves 1, 2"), std::string::npos);
  }
  EXPECT_EQ(choose_for(world_.route({}), {}, "u", 0).error().code, Code::unavailable);
}

TEST_F(ChooseTest, KeepsCallersByHeaderCookieOrUser) {
  struct Case {
    std::string sticky;
    std::function<Headers(const std::string&)> headers;
  };
  const Case cases[] = {
      {"user",
       [](const std::string& who) {
         return Headers{{"x-penstock-user", who}};
       }},
      {"header:X-Session",
       [](const std::string& who) {
         return Headers{{"x-session", who}};
       }},
      {"cookie:sid",
       [](const std::string& who) {
         return Headers{{"cookie", "a=b; sid=" + who}};
       }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.sticky);
    must(check_sticky(c.sticky));
    world_.serve(route({}, c.sticky));
    std::set<std::int64_t> all;
    for (int who = 0; who < 20; ++who) {
      std::set<std::int64_t> versions;
      std::set<std::string> units;
      for (int flight = 0; flight < 5; ++flight) {
        const auto event =
            infer("UA" + std::to_string(flight), c.headers("w" + std::to_string(who)));
        versions.insert(event.version);
        units.insert(event.unit);
        EXPECT_EQ(event.unit == "w" + std::to_string(who), c.sticky == "user") << "a secret else";
      }
      EXPECT_EQ(versions.size(), 1u) << "one caller, one version, whatever it asks";
      EXPECT_EQ(units.size(), 1u);
      all.insert(versions.begin(), versions.end());
    }
    EXPECT_EQ(all.size(), 2u);
    EXPECT_EQ(infer("UA7", {}).unit, "UA7") << "without it the entity is the unit";
  }
  for (const std::string wrong : {"users", "header:", "header:a b", "cookie:a;b", "tenant"})
    EXPECT_EQ(check_sticky(wrong).error().violations.at(0).field, "sticky") << wrong;
}

// What the sequential tests must not take for a draw.
TEST_F(ChooseTest, TellsTheEventWhatWasDrawn) {
  LiveRoute live = route({{R"(entity("flight_id") == "UA1")", 2}});
  live.declaration.experiment = Experiment{.id = "exp-1"};
  world_.serve(live);
  const auto ruled = infer("UA1", {{"x-penstock-user", "ana"}});
  EXPECT_EQ(ruled.version, 2);
  EXPECT_EQ(ruled.assignment_probability, 1);
  EXPECT_EQ(ruled.experiment, "");
  EXPECT_EQ(ruled.user, "ana");
  const auto drawn = infer("UA2", {});
  EXPECT_EQ(drawn.assignment_probability, 0.5);
  EXPECT_EQ(drawn.experiment, "exp-1");
  EXPECT_EQ(infer("UA2", {}, 1).assignment_probability, 1);
}

// Consistent hashing: a change of weights moves as few units as it must, whatever the unit is.
TEST_F(ChooseTest, MovesTheFewestCallersWhenWeightsChange) {
  LiveRoute before = route({}), after = route({});
  after.targets[0].weight = 4'000;
  after.targets[1].weight = 6'000;
  int moved = 0, back = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string unit = "caller-" + std::to_string(i);
    const auto was = must(choose_for(before, {}, unit, 0)).target->deployment->version;
    const auto is = must(choose_for(after, {}, unit, 0)).target->deployment->version;
    moved += was == 1 && is == 2 ? 1 : 0;
    back += was == 2 && is == 1 ? 1 : 0;
  }
  EXPECT_NEAR(moved, 1'000, 150);  // 5 standard deviations
  EXPECT_EQ(back, 0);
}

}  // namespace
}  // namespace penstock::serving
