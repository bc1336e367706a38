// What policies have to say of a release.
#include "policies/service.h"

#include "tests/unit/release/release_fixture.h"

namespace penstock::release {
namespace {

class ReleasePoliciesTest : public ReleaseTest {
 protected:
  ReleasePoliciesTest() { resources_.add(policies_.kind()); }
  void declare(const std::string& name, const std::string& action, const std::string& sql,
               const std::string& severity = "block") {
    apply({{"kind", "policy"},
           {"name", name},
           {"owner", "platform"},
           {"applies_to", json::array{action}},
           {"severity", severity},
           {"message", "not so"},
           {"sql", sql}});
  }
  policies::Service policies_{*db_, resources_, clock_};
};

constexpr const char* licence =
    "SELECT v.urn AS subject FROM policy_subject AS s JOIN policy_model_versions AS v ON v.model = "
    "s.name AND v.version = s.version WHERE v.licence IS NULL";

TEST_F(ReleasePoliciesTest, RefuseToMakeARelease) {
  first();
  declare("licence", "release", licence);
  const auto refused = create(2, plan());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::failed_precondition);
  EXPECT_EQ(refused.error().message,
            "model:flight-delay@v2 cannot be released: policy licence not so");
  EXPECT_EQ(test::count(*db_, "releases WHERE version = 2"), 0);
  EXPECT_EQ(test::count(*db_, "policy_results"), 0);
}

TEST_F(ReleasePoliciesTest, AreAskedAgainWhenTheReleaseStarts) {
  first();
  const Release made = must(create(2, plan()));
  declare("licence", "release", licence);
  const auto refused = service_.approve(bo_, {.id = made.id});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("policy licence"), std::string::npos);
  EXPECT_EQ(state(made.id), State::awaiting_approval);
  EXPECT_EQ(test::count(
                *db_, "approvals WHERE scope = 'release' AND subject = 'release:" + made.id + "'"),
            0);
  declare("licence", "release", licence, "warn");
  must(service_.approve(bo_, {.id = made.id}));
  EXPECT_EQ(state(made.id), State::shadow);
  EXPECT_EQ(test::count(*db_,
                        "policy_results WHERE action = 'release' AND route = 'flight-delay' "
                        "AND outcome = 'violated' AND allowed"),
            1);
  EXPECT_EQ(test::count(*db_,
                        "audit_events WHERE action = 'policies.asked' AND subject = "
                        "'release:" +
                            made.id + "'"),
            1);
}

TEST_F(ReleasePoliciesTest, SeeTheRouteAndWhatServesIt) {
  first();
  declare("one-at-a-time", "release",
          "SELECT d.route AS subject FROM policy_subject AS s JOIN policy_deployments AS d ON "
          "d.route = s.route WHERE d.arm = 'live' AND d.version = 1 AND NOT d.external");
  EXPECT_FALSE(create(2, plan()));
  declare("one-at-a-time", "release",
          "SELECT d.route AS subject FROM policy_subject AS s JOIN policy_deployments AS d ON "
          "d.route = s.route WHERE d.arm = 'live' AND d.version = 2");
  must(create(2, plan()));
}

TEST_F(ReleasePoliciesTest, SpeakOfWhoApprovesARelease) {
  first();
  const Release made = must(create(2, plan()));
  declare("not-bo", "approve",
          "SELECT s.urn AS subject FROM policy_subject AS s WHERE s.kind = 'release' AND s.actor = "
          "'user:bo' AND s.route = 'flight-delay'");
  EXPECT_EQ(service_.approve(bo_, {.id = made.id}).error().code, Code::failed_precondition);
  must(service_.approve(cy_, {.id = made.id}));
}

TEST_F(ReleasePoliciesTest, NeverStandInTheWayOfARollback) {
  first();
  const std::string id = start(2);
  for (const char* action : {"register", "approve", "release", "read"})
    declare(std::string("never-") + action, action, "SELECT s.urn FROM policy_subject AS s");
  must(service_.roll_back(ana_, {.id = id, .reason = "it is wrong"}));
  EXPECT_EQ(state(id), State::rolled_back);
  EXPECT_EQ(stored(), "v1 10000 live; ");
}

}  // namespace
}  // namespace penstock::release
