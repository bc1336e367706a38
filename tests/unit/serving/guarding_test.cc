// Guardrails and kept answers of routes that read features by entity keys.
#include "serving/guarding.h"

#include <gtest/gtest.h>

#include "guardrails/chain.h"
#include "serving/cache.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using guardrails::Action;
using guardrails::GuardrailDeclaration;
using guardrails::Side;
using guardrails::What;
using test::must;

class EntityGuardTest : public ::testing::Test {
 protected:
  static GuardrailDeclaration mail(Action action, Side side = Side::both) {
    return {
        .name = "mail", .side = side, .rule = What::pii, .action = action, .tags = {"pii.email"}};
  }
  void serve(const std::vector<GuardrailDeclaration>& declared) {
    LiveRoute route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
    route.guards = must(guardrails::Chain::make(declared));
    const auto read = route.features.read;
    route.features.read = [this, read](const Entities& entities, Timestamp at) {
      ++reads_;
      return read(entities, at);
    };
    world_.serve(std::move(route));
  }
  // A route whose flights have the delay that stands here, and that keeps its answers.
  void serve_kept() {
    LiveRoute route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
    route.declaration.cache = CacheOptions{};
    route.cache = cache_;
    route.features.read = [this](const Entities&, Timestamp) -> Result<FeatureRow> {
      return FeatureRow{{delay_, std::nullopt}, 60.0};
    };
    world_.serve(std::move(route));
  }
  Result<InferAnswer> infer(const std::vector<std::string>& flights,
                            const std::string& tenant = "t1") {
    InferRequest request{.route = "flight-delay"};
    for (const std::string& flight : flights) request.rows.push_back({{"flight_id", flight}});
    Call call = test::call();
    call.tenant = tenant;
    return world_.gateway.infer(call, request);
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
  const std::shared_ptr<AnswerCache> cache_ = std::make_shared<AnswerCache>(1 << 20);
  int reads_ = 0;
  double delay_ = 0.5;
};

TEST_F(EntityGuardTest, BlocksAKeyAndLeavesItNowhere) {
  serve({mail(Action::block)});
  const auto refused = infer({"UA1", "ana@example.com", "bo@example.com"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::invalid_argument);
  EXPECT_NE(refused.error().message.find("guardrail mail blocks pii.email"), std::string::npos);
  EXPECT_EQ(refused.error().message.find("example"), std::string::npos);
  EXPECT_EQ(refused.error().violations.at(0).field, "entities.flight_id");
  EXPECT_EQ(reads_, 0) << "nothing is read for whom it blocks";
  const auto events = world_.events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1].guardrails, std::vector<std::string>{"mail:pii.email:block"});
  for (const InferenceEvent& event : events) {
    EXPECT_EQ(event.error, "invalid_argument");
    EXPECT_TRUE(event.entities.empty());
    EXPECT_EQ(event.unit, event.id);
  }
  EXPECT_TRUE(infer({"UA1"}));
  EXPECT_EQ(world_.events().back().entities.at("flight_id"), "UA1");
}

TEST_F(EntityGuardTest, FlagsAKeyInTheEventOfItsRow) {
  serve({mail(Action::flag),
         {.name = "short",
          .side = Side::input,
          .rule = What::size,
          .action = Action::block,
          .max_characters = 30}});
  EXPECT_TRUE(infer({"UA1", "ana@example.com"}));
  const auto events = world_.events();
  EXPECT_TRUE(events.at(0).guardrails.empty());
  EXPECT_EQ(events.at(1).guardrails, std::vector<std::string>{"mail:pii.email:flag"});
  EXPECT_EQ(events.at(1).entities.at("flight_id"), "ana@example.com") << "another entity it is not";
  EXPECT_FALSE(infer({std::string(31, 'x')}));
}

TEST_F(EntityGuardTest, RefusesWhatItCouldNeverDo) {
  EXPECT_TRUE(check_on_entities(mail(Action::flag), "s@1"));
  EXPECT_TRUE(check_on_entities(mail(Action::block, Side::input), "s@1"));
  const auto masks = check_on_entities(mail(Action::mask), "s@1");
  ASSERT_FALSE(masks);
  EXPECT_NE(masks.error().message.find("guardrail mail masks"), std::string::npos);
  EXPECT_NE(masks.error().message.find("the route reads s@1 by entity keys"), std::string::npos);
  const auto output = check_on_entities(mail(Action::block, Side::output), "s@1");
  ASSERT_FALSE(output);
  EXPECT_NE(output.error().message.find("side: output"), std::string::npos);
}

TEST_F(EntityGuardTest, KeepsAnAnswerByTheFeaturesThatWereRead) {
  serve_kept();
  const InferAnswer first = must(infer({"UA1"}));
  EXPECT_EQ(first.cached, "");
  const InferAnswer again = must(infer({"UA2"}));
  EXPECT_EQ(again.cached, first.predictions.at(0).id) << "the model sees features alone";
  EXPECT_EQ(again.predictions.at(0).score, first.predictions.at(0).score);
  EXPECT_EQ(again.predictions.at(0).decision, first.predictions.at(0).decision);
  EXPECT_EQ(must(infer({"UA1"}, "other")).cached, "") << "a tenant's answers are its own";
  delay_ = 0.75;
  const InferAnswer later = must(infer({"UA1"}));
  EXPECT_EQ(later.cached, "") << "no answer is older than its features";
  EXPECT_NE(later.predictions.at(0).score, first.predictions.at(0).score);
  delay_ = 0.5;
  EXPECT_EQ(must(infer({"UA1"})).cached, first.predictions.at(0).id);
  EXPECT_EQ(must(infer({"UA1", "UA2"})).cached, "") << "two rows are another call";
  EXPECT_NE(must(infer({"UA1", "UA2"})).cached, "");
  const auto event = world_.events().at(1);
  EXPECT_TRUE(event.from_cache);
  EXPECT_EQ(event.entities.at("flight_id"), "UA2");
  EXPECT_EQ(event.features.at(0), 0.5) << "monitors see what was read";
  EXPECT_EQ(event.model_micros, 0);
}

TEST_F(EntityGuardTest, ACallOfTwoVersionsIsKeptOnlyWhereBothAre) {
  serve_kept();
  LiveRoute route = world_.route({{"flight-delay", 1, weight_total / 2, Arm::live},
                                  {"flight-delay", 2, weight_total / 2, Arm::canary}});
  route.declaration.cache = CacheOptions{};
  route.cache = cache_;
  route.features.read = [this](const Entities&, Timestamp) -> Result<FeatureRow> {
    return FeatureRow{{delay_, std::nullopt}, 60.0};
  };
  world_.serve(std::move(route));
  const std::vector<std::string> flights{"a", "b", "c", "d", "e", "f", "g", "h"};
  const InferAnswer first = must(infer(flights)), again = must(infer(flights));
  EXPECT_EQ(first.cached, "");
  EXPECT_NE(again.cached, "");
  std::set<std::int64_t> versions;
  for (std::size_t row = 0; row < flights.size(); ++row) {
    versions.insert(again.predictions.at(row).version);
    EXPECT_EQ(again.predictions.at(row).version, first.predictions.at(row).version);
    EXPECT_EQ(again.predictions.at(row).score, first.predictions.at(row).score);
  }
  EXPECT_EQ(versions.size(), 2u);
}

}  // namespace
}  // namespace penstock::serving
