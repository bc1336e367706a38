// Who may approve what, for how long, and what makes an approval worth nothing.
#include <gtest/gtest.h>

#include "approvals/service.h"
#include "tests/support/fixture.h"

namespace penstock::approvals {
namespace {

using namespace std::chrono_literals;

class ApprovalsTest : public testing::Test {
 protected:
  ApprovalsTest() {
    resources_.add(service_.kind());
    service_.answer_for("thing", {.current = [this](sql::Tx&, const Call&, const std::string& urn,
                                                    const std::string& scope) -> Result<Subject> {
                                    return Subject{urn, digest_, scope, "user:ana"};
                                  },
                                  .given = [this](sql::Tx&, const Call&, const Subject&,
                                                  const Given& given) -> Result<void> {
                                    granted_ += given.standing.granted ? 1 : 0;
                                    return {};
                                  },
                                  .committed = [this](const Call&, const Subject&) -> Result<void> {
                                    ++committed_;
                                    return {};
                                  }});
  }
  Result<Given> give(const Call& call, const std::string& digest = "") {
    return service_.give(
        call, {.subject = "thing:x", .scope = "production", .comment = "fine", .digest = digest});
  }
  Standing standing() {
    return test::must(db_->read(ana_, [&](sql::Tx& tx) {
      return approvals::standing(tx, "p1", {"thing:x", digest_, "production", "user:ana"},
                                 clock_.now());
    }));
  }
  Request ask() {
    return test::must(db_->write(ana_, [&](sql::Tx& tx) {
      return approvals::ask(tx, ana_, clock_.now(), {"thing:x", digest_, "production", "user:ana"},
                            {.summary = "x to production", .valid_for = 24h});
    }));
  }
  void declare(json::object rule) {
    rule.emplace("kind", "approval_rule");
    rule.emplace("owner", "platform");
    test::must(resources_.apply(ana_, {.documents = {{.declaration = rule}}}));
  }
  static Call as(const std::string& actor, std::vector<std::string> roles = {"approver"}) {
    Call call = test::call(actor);
    call.roles = std::move(roles);
    return call;
  }

  const Call ana_ = as("user:ana"), bo_ = as("user:bo"), cy_ = as("user:cy");
  std::string digest_ = "digest-1";
  int granted_ = 0, committed_ = 0;
  ManualClock clock_;
  const std::unique_ptr<sql::Database> db_ = test::database();
  resources::Service resources_{*db_, clock_};
  Service service_{*db_, clock_};
};

TEST_F(ApprovalsTest, CountsDifferentPeopleAndNobodyElse) {
  declare({{"name", "two"}, {"scopes", json::array{"production*"}}, {"needed", 2}});
  struct Case {
    std::string what, actor;
    std::optional<Code> refused;
    std::int64_t given;
  };
  for (const Case& c : {Case{"the author", "user:ana", Code::permission_denied, 0},
                        {"the author in capitals", "user:ANA", Code::permission_denied, 0},
                        {"a service account", "service:ci", Code::permission_denied, 0},
                        {"nobody", "", Code::permission_denied, 0},
                        {"one", "user:bo", {}, 1},
                        {"the same again", "user:bo", Code::already_exists, 1},
                        {"the same in capitals", "user:Bo", Code::already_exists, 1},
                        {"another", "user:cy", {}, 2}}) {
    SCOPED_TRACE(c.what);
    const auto got = give(as(c.actor));
    EXPECT_EQ(got ? std::nullopt : std::optional(got.error().code), c.refused);
    EXPECT_EQ(standing().given, c.given);
  }
  EXPECT_TRUE(standing().granted);
  EXPECT_EQ(granted_, 1);
  EXPECT_EQ(committed_, 2);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'approvals.given'"), 2);
}

TEST_F(ApprovalsTest, IsWorthNothingOnceWhatWasApprovedChanged) {
  test::must(give(bo_));
  EXPECT_TRUE(standing().granted);
  digest_ = "digest-2";
  EXPECT_FALSE(standing().granted);
  EXPECT_NE(standing().why.find("1 are of what it was before it changed"), std::string::npos);
  test::must(give(bo_));
  EXPECT_TRUE(standing().granted);
  digest_ = "digest-1";
  EXPECT_FALSE(standing().granted) << "what ended stays ended when the old bytes come back";
}

TEST_F(ApprovalsTest, RefusesAnApproverWhoLookedAtAnotherDigest) {
  const auto got = give(bo_, "digest-0");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::failed_precondition);
  EXPECT_TRUE(give(bo_, "digest-1"));
}

TEST_F(ApprovalsTest, ExpiresAndCanBeGivenAgain) {
  declare({{"name", "short"}, {"scopes", json::array{"production"}}, {"valid_for", "7d"}});
  test::must(give(bo_));
  clock_.advance(24h * 7 - 1us);
  EXPECT_TRUE(standing().granted);
  clock_.advance(1us);
  EXPECT_FALSE(standing().granted);
  EXPECT_NE(standing().why.find("1 expired"), std::string::npos) << standing().why;
  test::must(give(bo_));
  EXPECT_TRUE(standing().granted);
}

TEST_F(ApprovalsTest, ARuleThatCameLaterCountsForWhatWasGivenBefore) {
  test::must(give(bo_));
  clock_.advance(24h * 10);
  EXPECT_TRUE(standing().granted);
  declare({{"name", "short"}, {"scopes", json::array{"production"}}, {"valid_for", "7d"}});
  EXPECT_FALSE(standing().granted);
  declare({{"name", "short"}, {"scopes", json::array{"other"}}, {"valid_for", "7d"}});
  EXPECT_TRUE(standing().granted);
  declare({{"name", "people"},
           {"scopes", json::array{"*"}},
           {"approvers", json::array{"user:cy", "user:di"}}});
  EXPECT_FALSE(standing().granted) << "bo may not any more";
}

TEST_F(ApprovalsTest, TheStrictestOfAllRulesCounts) {
  declare({{"name", "two"}, {"scopes", json::array{"*"}}, {"needed", 2}, {"valid_for", "30d"}});
  declare({{"name", "risk"},
           {"subjects", json::array{"thing:*"}},
           {"scopes", json::array{"production"}},
           {"valid_for", "10d"},
           {"roles", json::array{"admin"}}});
  declare({{"name", "elsewhere"},
           {"subjects", json::array{"model:*"}},
           {"scopes", json::array{"*"}},
           {"needed", 5}});
  EXPECT_EQ(give(bo_).error().code, Code::permission_denied) << "an approver is no admin";
  test::must(give(as("user:bo", {"admin"})));
  EXPECT_EQ(standing().needed, 2);
  const auto second = test::must(give(as("user:cy", {"approver", "admin"})));
  EXPECT_TRUE(second.standing.granted);
  EXPECT_EQ(*second.approval.expires_at, clock_.now() + 24h * 10);
}

TEST_F(ApprovalsTest, WaitsForThoseWhoMayAndDidNot) {
  declare({{"name", "two"}, {"scopes", json::array{"*"}}, {"needed", 2}});
  ask();
  const auto waits = [&](const Call& call) {
    return test::must(service_.list(call, {.mine = true})).requests.size();
  };
  EXPECT_EQ(waits(ana_), 0U) << "her own";
  EXPECT_EQ(waits(as("service:ci")), 0U);
  EXPECT_EQ(waits(bo_), 1U);
  test::must(give(bo_));
  EXPECT_EQ(waits(bo_), 0U);
  EXPECT_EQ(waits(cy_), 1U);
  test::must(give(cy_));
  EXPECT_EQ(test::must(service_.list(cy_, {})).requests.size(), 0U);
  const auto closed = test::must(service_.list(cy_, {.closed = true})).requests;
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].request.state, RequestState::granted);
  Call elsewhere = cy_;
  elsewhere.project = "p2";
  EXPECT_TRUE(test::must(service_.list(elsewhere, {.closed = true})).requests.empty());
}

TEST_F(ApprovalsTest, AnExpiredOrOutdatedRequestMustBeMadeAgain) {
  const Request first = ask();
  EXPECT_EQ(ask().id, first.id) << "one open request for one thing";
  digest_ = "digest-2";
  EXPECT_EQ(give(bo_).error().code, Code::failed_precondition);
  EXPECT_NE(ask().id, first.id);
  clock_.advance(24h);
  const auto late = give(bo_);
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message.find("expired"), std::string::npos);
  ask();
  EXPECT_TRUE(give(bo_));
}

TEST_F(ApprovalsTest, IsWithdrawnByWhoGaveItOrAnAdmin) {
  const std::string id = test::must(give(bo_)).approval.id;
  EXPECT_EQ(service_.withdraw(cy_, {id, "no"}).error().code, Code::permission_denied);
  test::must(service_.withdraw(bo_, {id, "saw a leak"}));
  EXPECT_FALSE(standing().granted);
  EXPECT_EQ(service_.withdraw(bo_, {id, "again"}).error().code, Code::not_found);
  const std::string second = test::must(give(bo_)).approval.id;
  test::must(service_.withdraw(as("user:root", {"admin"}), {second, "policy"}));
  const auto history = test::must(service_.show(ana_, {"thing:x"}));
  ASSERT_EQ(history.approvals.size(), 2U);
  EXPECT_EQ(history.approvals[0].ended_why, "saw a leak");
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'approvals.ended'"), 2);
}

TEST_F(ApprovalsTest, RefusesRulesThatNobodyCouldKeep) {
  struct Case {
    json::object rule;
    std::string says;
  };
  for (const Case& c :
       {Case{{{"name", "r"}, {"scopes", json::array{"*"}}, {"needed", 0}}, "needed must be"},
        {{{"name", "r"}, {"scopes", json::array{}}}, "scopes must"},
        {{{"name", "r"}, {"scopes", json::array{"*"}}, {"valid_for", "soon"}}, "valid_for must be"},
        {{{"name", "r"}, {"scopes", json::array{"*"}}, {"valid_for", "0s"}}, "valid_for must be"},
        {{{"name", "r"}, {"scopes", json::array{"*"}}, {"roles", json::array{"king"}}},
         "roles[0] must be one of"},
        {{{"name", "r"}, {"scopes", json::array{"*"}}, {"approvers", json::array{"service:ci"}}},
         "approvers[0] must be user:NAME"},
        {{{"name", "r"},
          {"scopes", json::array{"*"}},
          {"needed", 2},
          {"approvers", json::array{"user:bo"}}},
         "needed is more than"}}) {
    json::object rule = c.rule;
    rule["kind"] = "approval_rule";
    rule["owner"] = "platform";
    const auto got = resources_.apply(ana_, {.documents = {{.declaration = rule}}});
    ASSERT_FALSE(got) << c.says;
    EXPECT_NE(test::faults_of(got.error()).find(c.says), std::string::npos)
        << test::faults_of(got.error());
  }
}

TEST_F(ApprovalsTest, NothingThatNobodyAnswersForCanBeApproved) {
  for (const char* subject : {"other:x", "nonsense", "thing:", "thing:a b"})
    EXPECT_EQ(service_.give(bo_, {.subject = subject, .scope = "production"}).error().code,
              Code::invalid_argument)
        << subject;
}

TEST_F(ApprovalsTest, EndsWithWhatItWasGivenFor) {
  test::must(give(bo_));
  ask();
  test::must(db_->write(ana_, [&](sql::Tx& tx) {
    return end_all(tx, ana_, clock_.now(), "thing:x", "", "it was deleted");
  }));
  EXPECT_FALSE(standing().granted);
  EXPECT_TRUE(test::must(service_.list(bo_, {})).requests.empty());
}

}  // namespace
}  // namespace penstock::approvals
