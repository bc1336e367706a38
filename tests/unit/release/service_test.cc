// Who may do what to a release, and when.
#include "tests/unit/release/release_fixture.h"

namespace penstock::release {
namespace {

TEST_F(ReleaseTest, RefusesPlansThatProveNothing) {
  first();
  struct Case {
    std::string what;
    std::function<void(Plan&)> change;
    std::string says;
  };
  const Case cases[] = {
      {"no canary", [](Plan& p) { p.canary = {}; }, "plan.canary must have a stage"},
      {"no guard", [](Plan& p) { p.guards = {}; }, "plan.guards must have one with required: true"},
      {"nothing required", [](Plan& p) { p.guards[0].required = false; }, "plan.guards must have"},
      {"weights that shrink",
       [](Plan& p) {
         p.canary = {500, 100};
       },
       "plan.canary[1] must be"},
      {"a weight of all", [](Plan& p) { p.canary = {10'000}; }, "plan.canary[0] must be"},
      {"alpha 1", [](Plan& p) { p.alpha = 1; }, "plan.alpha must be between 0 and 1"},
      {"alpha NaN", [](Plan& p) { p.alpha = std::nan(""); }, "plan.alpha"},
      {"a name twice", [](Plan& p) { p.guards.push_back(p.guards[0]); }, "plan.guards[1].name"},
      {"safe below harm", [](Plan& p) { p.guards[0].safe_ratio = 0.5; }, "plan.guards[0] "},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    Plan with = plan();
    c.change(with);
    const auto made = create(2, with);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::invalid_argument);
    EXPECT_NE(test::faults_of(made.error()).find(c.says), std::string::npos)
        << test::faults_of(made.error());
  }
  EXPECT_EQ(test::count(*db_, "releases WHERE version = 2"), 0);
}

TEST_F(ReleaseTest, RefusesWhatCannotBeReleased) {
  first();
  EXPECT_EQ(create(1, plan()).error().code, Code::failed_precondition) << "live already";
  EXPECT_EQ(create(9, plan()).error().code, Code::not_found);
  const auto other = service_.create(
      ana_, {.route = "flight-delay", .model = "other", .version = 1, .plan = plan()});
  EXPECT_EQ(other.error().code, Code::invalid_argument);
  must(registry_.register_version(ana_, {.model_id = "flight-delay-v4",
                                         .artifact_uri = "x",
                                         .eval_report = "eval",
                                         .owner = "ml",
                                         .rollback_to = "flight-delay-v1"}));
  const auto unapproved = create(4, plan());
  ASSERT_FALSE(unapproved);
  EXPECT_NE(test::faults_of(unapproved.error()).find("is not approved as it stands"),
            std::string::npos);
}

TEST_F(ReleaseTest, TheAuthorCannotApproveAndNobodyTwice) {
  first();
  Plan with = plan();
  with.approvals = 2;
  const std::string id = must(create(2, with)).id;
  EXPECT_EQ(service_.approve(ana_, {.id = id}).error().code, Code::permission_denied);
  must(service_.approve(bo_, {.id = id}));
  EXPECT_EQ(service_.approve(bo_, {.id = id}).error().code, Code::already_exists);
  EXPECT_EQ(state(id), State::awaiting_approval);
  must(service_.approve(cy_, {.id = id}));
  EXPECT_EQ(state(id), State::shadow);
  EXPECT_EQ(service_.approve(test::call("user:di"), {.id = id}).error().code,
            Code::failed_precondition);
}

TEST_F(ReleaseTest, AnApprovalIsOfThePlanAsItStands) {
  first();
  const std::string id = must(create(2, plan())).id;
  must(db_->write(ana_, [&](sql::Tx& tx) -> Result<void> {
    TRY(tx.run("UPDATE releases SET plan = replace(plan, '2000', '9000') WHERE id = $1", {id}));
    return {};
  }));
  const auto approved = service_.approve(bo_, {.id = id});
  ASSERT_FALSE(approved);
  EXPECT_NE(approved.error().message.find("was changed since"), std::string::npos);
  EXPECT_EQ(state(id), State::awaiting_approval);
}

TEST_F(ReleaseTest, OneOpenReleaseForARoute) {
  first();
  const std::string id = must(create(2, plan())).id;
  const auto second = create(3, plan());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::already_exists);
  must(service_.cancel(ana_, {.id = id, .reason = "no"}));
  EXPECT_TRUE(create(3, plan()));
}

TEST_F(ReleaseTest, RollsBackFromEveryStateWithTraffic) {
  first();
  for (const State from : {State::shadow, State::canary, State::bake, State::watch}) {
    SCOPED_TRACE(name_of(from));
    Plan with = plan();
    if (from == State::bake) with.bake.calls = 1'000'000;
    if (from == State::watch) with.watch.calls = 1'000'000;
    const std::string id = start(2, with);
    for (int i = 0; i < 400 && state(id) != from; ++i) play(id, 100);
    ASSERT_EQ(state(id), from);
    must(service_.roll_back(cy_, {.id = id, .reason = "I say so"}));
    EXPECT_EQ(served(), "v1 10000 live; ");
    EXPECT_EQ(stored(), served());
    EXPECT_EQ(status(1), registry::Status::live);
    EXPECT_EQ(status(2), registry::Status::rolled_back);
    const auto again = service_.roll_back(cy_, {.id = id, .reason = "again"});
    ASSERT_FALSE(again);
    EXPECT_NE(again.error().message.find("is rolled_back"), std::string::npos);
    EXPECT_EQ(served(), "v1 10000 live; ");
  }
}

TEST_F(ReleaseTest, TheFirstVersionRolledBackLeavesNothing) {
  const std::string id = start(1);
  ASSERT_EQ(served(), "v1 10000 live; ");
  must(service_.roll_back(cy_, {.id = id, .reason = "wrong model"}));
  EXPECT_EQ(stored(), "");
  EXPECT_EQ(served(), "");
  EXPECT_EQ(status(1), registry::Status::rolled_back);
}

TEST_F(ReleaseTest, WhatHasNoTrafficIsCancelledAndNotRolledBack) {
  first();
  const std::string id = must(create(2, plan())).id;
  EXPECT_EQ(service_.roll_back(cy_, {.id = id}).error().code, Code::failed_precondition);
  must(service_.cancel(ana_, {.id = id}));
  EXPECT_EQ(state(id), State::cancelled);
  EXPECT_EQ(served(), "v1 10000 live; ");
  EXPECT_FALSE(service_.cancel(ana_, {.id = id}));
  const std::string running = start(2);
  EXPECT_EQ(service_.cancel(ana_, {.id = running}).error().code, Code::failed_precondition);
}

TEST_F(ReleaseTest, EveryMoveIsInTheAuditAndNoOtherIsAllowed) {
  first();
  const std::string id = start(2);
  must(service_.roll_back(cy_, {.id = id, .reason = "enough"}));
  for (const char* action :
       {"release.created", "approvals.given", "release.shadow", "release.rolled_back"})
    EXPECT_EQ(test::count(*db_, "audit_events WHERE action = '" + std::string(action) +
                                    "' AND subject = 'release:" + id + "'"),
              1)
        << action;
  Release release = get(id);
  for (const State to : {State::shadow, State::canary, State::bake, State::watch, State::closed})
    EXPECT_FALSE(db_->write(ana_, [&](sql::Tx& tx) -> Result<void> {
      return service_.move(tx, ana_, release, to, "no");
    })) << name_of(to);
}

}  // namespace
}  // namespace penstock::release
