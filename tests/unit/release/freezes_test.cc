// What a freeze keeps a release from, and what it never does.
#include "freezes/service.h"

#include "policies/service.h"
#include "tests/unit/release/release_fixture.h"

namespace penstock::release {
namespace {

class ReleaseFreezesTest : public ReleaseTest {
 protected:
  ReleaseFreezesTest() { resources_.add(freezes_.kind()); }
  void freeze(json::object more = {}) {
    json::object one{{"kind", "freeze"},
                     {"name", "christmas"},
                     {"owner", "platform"},
                     {"reason", "nobody is here"},
                     {"applies_to", json::array{"release"}},
                     {"from", "2020-01-01T00:00:00Z"},
                     {"until", "2999-01-01T00:00:00Z"}};
    for (const auto& field : more) one[field.key()] = field.value();
    apply(one);
  }
  void thaw() { freeze({{"until", "2020-01-02T00:00:00Z"}}); }
  void let_through(const std::string& id) {
    must(freezes_.override_for(bo_, {"release:" + id, "it cannot wait any more"}));
  }
  std::int64_t holds(const std::string& id) {
    return test::count(
        *db_, "audit_events WHERE action = 'release.held' AND subject = 'release:" + id + "'");
  }
  freezes::Service freezes_{*db_, clock_};
};

TEST_F(ReleaseFreezesTest, KeepsAReleaseFromStartingUntilItEnds) {
  first();
  freeze();
  const Release made = must(create(2, plan()));  // to ask is free
  const auto refused = service_.approve(bo_, {.id = made.id});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::failed_precondition);
  EXPECT_NE(refused.error().message.find("held by freeze christmas until 2999-01-01T00:00:00Z: "
                                         "nobody is here"),
            std::string::npos)
      << refused.error().message;
  EXPECT_EQ(state(made.id), State::awaiting_approval);
  EXPECT_EQ(stored(), "v1 10000 live; ");
  thaw();
  must(service_.approve(bo_, {.id = made.id}));
  EXPECT_EQ(state(made.id), State::shadow);
}

TEST_F(ReleaseFreezesTest, HoldsARunningReleaseWhereItIsAndSaysSoOnce) {
  first();
  const std::string id = start(2);
  freeze();
  for (int i = 0; i < 5; ++i) play(id, 100);
  EXPECT_EQ(state(id), State::shadow);
  EXPECT_EQ(get(id).reason, "held by freeze christmas until 2999-01-01T00:00:00Z: nobody is here");
  EXPECT_EQ(holds(id), 1);
  EXPECT_EQ(stored(), "v1 10000 live; v2 0 shadow; ");
  thaw();
  turn();
  EXPECT_EQ(state(id), State::canary) << "no call is needed";
  freeze();
  for (int i = 0; i < 40; ++i) play(id, 100);
  EXPECT_EQ(get(id).stage, 0);
  EXPECT_EQ(holds(id), 2);
  EXPECT_EQ(served(), "v1 8000 live; v2 2000 canary; ");
}

TEST_F(ReleaseFreezesTest, NeverKeepsAHarmfulVersionInTraffic) {
  first();
  const std::string id = start(2);
  play(id, 100);
  ASSERT_EQ(state(id), State::canary);
  freeze();
  EXPECT_EQ(play_out(id, {.live = 0.02, .canary = 0.6}), State::rolled_back);
  EXPECT_EQ(served(), "v1 10000 live; ");
}

TEST_F(ReleaseFreezesTest, NeverStandsInTheWayOfAPersonWhoRollsBack) {
  first();
  const std::string id = start(2);
  freeze();
  must(service_.roll_back(ana_, {.id = id, .reason = "it is wrong"}));
  EXPECT_EQ(state(id), State::rolled_back);
}

TEST_F(ReleaseFreezesTest, AnOverrideLetsThisReleaseThroughAndNoOther) {
  first();
  freeze();
  const Release made = must(create(2, plan()));
  EXPECT_FALSE(service_.approve(bo_, {.id = made.id}));
  let_through(made.id);
  must(service_.approve(bo_, {.id = made.id}));
  EXPECT_EQ(play_out(made.id, {}), State::closed);
  EXPECT_EQ(holds(made.id), 0);
  EXPECT_EQ(test::count(*db_, "incidents WHERE dedup_key = 'freeze:release:" + made.id + "'"), 1);
  const Release next = must(create(3, plan()));
  EXPECT_FALSE(service_.approve(bo_, {.id = next.id}));
}

TEST_F(ReleaseFreezesTest, MaySpeakOfApprovalsAndOfSomeRoutesAlone) {
  first();
  freeze({{"routes", json::array{"checkout*"}}});
  const Release made = must(create(2, plan()));
  must(service_.approve(bo_, {.id = made.id}));
  must(service_.roll_back(ana_, {.id = made.id, .reason = "again"}));
  freeze({{"applies_to", json::array{"approve"}}, {"models", json::array{"flight-delay"}}});
  const Release next = must(create(3, plan()));
  EXPECT_EQ(service_.approve(bo_, {.id = next.id}).error().code, Code::failed_precondition);
  must(registry_.register_version(ana_, {.model_id = "flight-delay-v4",
                                         .artifact_uri = "x",
                                         .eval_report = "eval",
                                         .owner = "ml",
                                         .rollback_to = "flight-delay-v1"}));
  const registry::ApproveInput four{
      .model = "flight-delay", .version = "v4", .scope = "production"};
  EXPECT_EQ(registry_.approve(bo_, four).error().code, Code::failed_precondition);
  must(freezes_.override_for(bo_, {"model:flight-delay@v4", "it cannot wait any more"}));
  must(registry_.approve(bo_, four));
}

}  // namespace
}  // namespace penstock::release
