// Aliases and stages that follow a route, through the service that MLflow's client talks to.
#include "tests/unit/release/release_fixture.h"

namespace penstock::release {
namespace {

using tracking::Stage;

class AliasesTest : public ReleaseTest {
 protected:
  AliasesTest() {
    for (auto& kind : service_.kinds()) resources_.add(std::move(kind));
    models_.served_by(service_.served());
    serving_.on_route_applied(
        [this](sql::Tx& tx, const Call& call, const serving::RouteDeclaration& route) {
          return service_.align(tx, call, route);
        });
    declare("flight-delay", "champion");
  }

  void declare(const std::string& name, const std::string& alias) { apply(route(name, alias)); }
  static json::object route(const std::string& name, const std::string& alias) {
    return {{"kind", "route"},
            {"name", name},
            {"owner", "desk"},
            {"model", "flight-delay"},
            {"entity_keys", json::array{"flight_id"}},
            {"feature_schema", "features_v1"},
            {"unit", "flight_id"},
            {"threshold", 0.4},
            {"alias", alias}};
  }
  // The release that the refusal names.
  std::string asked(std::int64_t version) {
    const auto waits = models_.set_alias(ana_, "flight-delay", "champion", version);
    EXPECT_FALSE(waits);
    EXPECT_EQ(waits.error().code, Code::failed_precondition);
    const std::string& text = waits.error().message;
    const std::size_t at = text.find("release:01");
    EXPECT_NE(at, std::string::npos) << text;
    return at == std::string::npos ? "" : text.substr(at + 8, 26);
  }
  std::int64_t champion() {
    const auto found = models_.by_alias(ana_, "flight-delay", "champion");
    return found ? found->note.version : 0;
  }
  Stage stage(std::int64_t version) {
    return must(models_.version(ana_, "flight-delay", version)).stage;
  }
  Code move(std::int64_t version, Stage to) {
    const auto moved = models_.move_stage(ana_, {"flight-delay", version, to});
    return moved ? Code::internal : moved.error().code;
  }

  tracking::RegisteredModels models_{*db_, registry_, clock_};
};

TEST_F(AliasesTest, AnAliasMovesWhenItsReleasePromotesAndBackWhenItIsRolledBack) {
  const std::string one = asked(1);
  EXPECT_EQ(asked(1), one) << "asked twice is one release";
  EXPECT_EQ(champion(), 0);
  EXPECT_EQ(service_.approve(ana_, {.id = one}).error().code, Code::permission_denied);
  must(service_.approve(bo_, {.id = one}));
  EXPECT_EQ(champion(), 1);
  EXPECT_EQ(stage(1), Stage::Production);
  must(models_.set_alias(ana_, "flight-delay", "champion", 1));
  play(one, 600);
  ASSERT_EQ(state(one), State::closed);

  apply({{"kind", "release_plan"},
         {"name", "flight-delay"},
         {"owner", "desk"},
         {"plan", encode(plan())}});
  const std::string two = asked(2);
  EXPECT_EQ(get(two).plan.canary, plan().canary) << "by the plan that was declared";
  EXPECT_EQ(models_.set_alias(ana_, "flight-delay", "champion", 3).error().code,
            Code::failed_precondition)
      << "one open release for a route";
  must(service_.approve(bo_, {.id = two}));
  EXPECT_EQ(stage(2), Stage::Staging);
  EXPECT_EQ(champion(), 1);
  for (int i = 0; i < 400 && state(two) != State::watch; ++i) play(two, 40);
  ASSERT_EQ(state(two), State::watch);
  EXPECT_EQ(champion(), 2);
  EXPECT_EQ(stage(2), Stage::Production);
  EXPECT_EQ(stage(1), Stage::Archived);
  must(service_.roll_back(cy_, {.id = two, .reason = "by hand"}));
  EXPECT_EQ(champion(), 1);
  EXPECT_EQ(stage(1), Stage::Production);
  EXPECT_EQ(stage(2), Stage::Archived);
}

TEST_F(AliasesTest, AFirstReleaseThatIsRolledBackLeavesNoAlias) {
  const std::string one = asked(1);
  must(service_.approve(bo_, {.id = one}));
  EXPECT_EQ(champion(), 1);
  must(service_.roll_back(bo_, {.id = one, .reason = "no"}));
  EXPECT_EQ(champion(), 0);
  EXPECT_EQ(stage(1), Stage::Archived);
}

TEST_F(AliasesTest, TheGatesAreThoseOfEveryRelease) {
  must(registry_.register_version(ana_, {.model_id = "flight-delay-v9", .artifact_uri = "x"}));
  const auto refused = models_.set_alias(ana_, "flight-delay", "champion", 9);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("cannot be released"), std::string::npos)
      << refused.error().message;
  EXPECT_FALSE(refused.error().violations.empty());
  EXPECT_EQ(move(9, Stage::Production), Code::failed_precondition);
  EXPECT_EQ(test::count(*db_, "releases"), 0);
  EXPECT_EQ(champion(), 0);
}

TEST_F(AliasesTest, WhatServesOrMayServeAgainIsNotDeleted) {
  const std::string one = asked(1);
  EXPECT_EQ(models_.remove_version(ana_, "flight-delay", 1).error().code,
            Code::failed_precondition);
  must(service_.cancel(ana_, {.id = one}));
  must(models_.remove_version(ana_, "flight-delay", 1));
  start(2);
  must(models_.set_alias(ana_, "flight-delay", "other", 3));
  EXPECT_EQ(models_.remove_version(ana_, "flight-delay", 2).error().code,
            Code::failed_precondition);
  EXPECT_EQ(models_.remove_alias(ana_, "flight-delay", "champion").error().code,
            Code::failed_precondition);
  EXPECT_EQ(models_.remove(ana_, "flight-delay").error().code, Code::failed_precondition);
  EXPECT_EQ(move(2, Stage::Archived), Code::failed_precondition);
  EXPECT_EQ(move(3, Stage::Staging), Code::internal) << "no route follows this stage";
  must(models_.remove_alias(ana_, "flight-delay", "other"));
  must(models_.remove_version(ana_, "flight-delay", 3));
}

TEST_F(AliasesTest, ARouteThatIsGivenAnAliasNamesWhatItServes) {
  declare("flight-delay", "");
  must(models_.set_alias(ana_, "flight-delay", "champion", 3));
  start(1);
  EXPECT_EQ(champion(), 3) << "no route follows it";
  declare("flight-delay", "champion");
  EXPECT_EQ(champion(), 1);
  const auto second =
      resources_.apply(ana_, {.documents = {{.declaration = route("another", "champion")}}});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("alias"), std::string::npos) << second.error().message;
  EXPECT_FALSE(
      resources_.apply(ana_, {.documents = {{.declaration = {{"kind", "release_plan"},
                                                             {"name", "no-route"},
                                                             {"owner", "desk"},
                                                             {"plan", encode(plan())}}}}}));
}

}  // namespace
}  // namespace penstock::release
