#include <gtest/gtest.h>

#include <thread>

#include "access/authenticator.h"
#include "tests/support/fixture.h"

namespace penstock::access {
namespace {

using test::must;

class AccessTest : public ::testing::Test {
 protected:
  std::string token(std::vector<std::string> roles, std::optional<Micros> expires_in = {}) {
    return must(service_.create(ana_, {.name = "n",
                                       .actor = "user:bo",
                                       .roles = std::move(roles),
                                       .expires_in = expires_in}))
        .token;
  }
  Result<Call> ask(const Credentials& credentials, std::string_view permission = "read") {
    Call call;
    TRY(Authenticator(service_, false).authorize(credentials, permission, call));
    return call;
  }
  static std::optional<Code> code_of(const Result<Call>& result) {
    return result ? std::nullopt : std::optional(result.error().code);
  }

  std::unique_ptr<sql::Database> db_ = test::database();
  ManualClock clock_;
  Service service_{*db_, clock_};
  Call ana_ = test::call("user:ana");
};

TEST_F(AccessTest, KeepsADigestAndNeverTheToken) {
  const std::string text = token({"viewer"});
  EXPECT_TRUE(text.starts_with("pst_"));
  EXPECT_EQ(text.size(), 47u);
  EXPECT_NE(text, token({"viewer"}));
  const auto rows = must(db_->read(ana_, [](sql::Tx& tx) {
    return sql::select<StoredToken>(tx, "SELECT " + columns<StoredToken>() + " FROM tokens", {});
  }));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(json::serialize(encode(rows)).find(text.substr(4)), std::string::npos);
  EXPECT_EQ(test::count(*db_, "tokens WHERE digest = '" + sha256_hex(text) + "'"), 1);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'access.token.created'"), 2);
  EXPECT_EQ(json::serialize(encode(must(service_.list(ana_)))).find("digest"), std::string::npos);
}

TEST_F(AccessTest, KnowsBearersAndPasswords) {
  const std::string text = token({"developer", "approver"});
  const auto packed = [](const std::string& plain) {
    // base64, so that the test does not lean on what it tests
    constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < plain.size(); i += 3) {
      unsigned bits = 0;
      for (std::size_t j = 0; j < 3; ++j)
        bits = bits << 8 | (i + j < plain.size() ? static_cast<unsigned char>(plain[i + j]) : 0U);
      for (std::size_t j = 0; j < 4; ++j)
        out += i + j <= plain.size() ? digits[(bits >> (18 - 6 * j)) & 63] : '=';
    }
    return out;
  };
  struct Case {
    std::string authorization;
    std::optional<Code> refused;
  };
  const Case cases[] = {
      {"Bearer " + text, {}},
      {"bearer  " + text, {}},
      {"Basic " + packed("ana:" + text), {}},
      {"Basic " + packed(":" + text), {}},
      {"", Code::unauthenticated},
      {text, Code::unauthenticated},
      {"Bearer", Code::unauthenticated},
      {"Bearer ", Code::unauthenticated},
      {"Bearer " + text + "x", Code::unauthenticated},
      {"Bearer " + text.substr(0, 46), Code::unauthenticated},
      {"Bearer " + sha256_hex(text), Code::unauthenticated},
      {"Basic " + packed(text), Code::unauthenticated},
      {"Basic " + packed(text + ":"), Code::unauthenticated},
      {"Basic ****", Code::unauthenticated},
      {"Digest " + text, Code::unauthenticated},
      {"Bearer " + std::string(10'000, 'x'), Code::unauthenticated},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.authorization);
    const auto call = ask({.authorization = c.authorization});
    EXPECT_EQ(code_of(call), c.refused);
    if (!call) continue;
    EXPECT_EQ(call->actor, "user:bo");
    EXPECT_EQ(call->tenant, "t1");
    EXPECT_EQ(call->project, "p1");
    EXPECT_EQ(call->roles, (std::vector<std::string>{"developer", "approver"}));
  }
}

TEST_F(AccessTest, EndsTokensAtOnce) {
  token({"admin"});
  const std::string short_lived = token({"viewer"}, std::chrono::hours(1));
  EXPECT_TRUE(ask({.authorization = "Bearer " + short_lived}));
  clock_.advance(std::chrono::hours(1) - Micros(1));
  EXPECT_TRUE(ask({.authorization = "Bearer " + short_lived}));
  clock_.advance(Micros(1));
  const auto expired = ask({.authorization = "Bearer " + short_lived});
  EXPECT_EQ(code_of(expired), Code::unauthenticated);
  EXPECT_NE(expired.error().message.find("expired at 20"), std::string::npos);

  const auto created = must(
      service_.create(ana_, {.name = "leaked", .actor = "service:ci", .roles = {"developer"}}));
  EXPECT_TRUE(ask({.authorization = "Bearer " + created.token}));
  EXPECT_TRUE(must(service_.revoke(ana_, {created.view.id})).revoked_at);
  EXPECT_EQ(code_of(ask({.authorization = "Bearer " + created.token})), Code::unauthenticated);
  const auto again = service_.revoke(ana_, {created.view.id});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::not_found);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'access.token.revoked'"), 1);
}

TEST_F(AccessTest, ReadsTokensAgainAfterARestart) {
  const std::string text = token({"viewer"});
  Service restarted(*db_, clock_);
  EXPECT_FALSE(restarted.identify(text));
  must(restarted.load());
  EXPECT_EQ(must(restarted.identify(text)).actor, "user:bo");
}

TEST_F(AccessTest, SaysWhatIsMissingAndWhoHasIt) {
  const std::string viewer = "Bearer " + token({"viewer"});
  const auto refused = ask({.authorization = viewer}, "infer");
  EXPECT_EQ(code_of(refused), Code::permission_denied);
  EXPECT_EQ(refused.error().message,
            "user:bo may not infer; roles that may: developer, operator, admin");
  EXPECT_FALSE(ask({.authorization = viewer}, "rea"));
  EXPECT_FALSE(ask({.authorization = viewer}, ""));
  EXPECT_TRUE(ask({}, "open"));
}

TEST_F(AccessTest, LetsOnlyAdminsChooseAProject) {
  const std::string developer = "Bearer " + token({"developer"});
  const std::string admin = "Bearer " + token({"admin"});
  EXPECT_EQ(must(ask({.authorization = admin, .project = "other"})).project, "other");
  EXPECT_EQ(must(ask({.authorization = admin, .tenant = "other"})).tenant, "other");
  EXPECT_EQ(must(ask({.authorization = admin})).project, "p1");
  EXPECT_EQ(must(ask({.authorization = developer, .project = "p1"})).project, "p1");
  EXPECT_EQ(code_of(ask({.authorization = developer, .project = "other"})),
            Code::permission_denied);
  EXPECT_EQ(code_of(ask({.authorization = developer, .tenant = "other"})), Code::permission_denied);
  Call call;
  must(Authenticator(service_, true).authorize({.project = "flights"}, "administer", call));
  EXPECT_EQ(call.actor + " " + call.tenant + " " + call.project, "user:local default flights");
}

TEST_F(AccessTest, RefusesTokensThatMakeNoSense) {
  const CreateInput cases[] = {
      {.name = "n", .actor = "user:bo", .roles = {"boss"}},
      {.name = "n", .actor = "user:bo", .roles = {"viewer", ""}},
      {.name = "n", .actor = "bo", .roles = {"viewer"}},
      {.name = "n", .actor = "user:", .roles = {"viewer"}},
      {.name = "n", .actor = "robot:bo", .roles = {"viewer"}},
      {.name = "n", .actor = "user:bo", .roles = {"viewer"}, .expires_in = Micros(0)},
      {.name = "n", .actor = "user:bo", .roles = {"viewer"}, .expires_in = Micros(-1)},
  };
  for (const CreateInput& input : cases) {
    const auto made = service_.create(ana_, input);
    ASSERT_FALSE(made) << json::serialize(encode(input));
    EXPECT_EQ(made.error().code, Code::invalid_argument);
  }
  EXPECT_EQ(test::count(*db_, "tokens"), 0);
  EXPECT_EQ(test::count(*db_, "audit_events"), 0);
}

TEST_F(AccessTest, MakesTheFirstAdminOnceAndOnlyWhenItIsKept) {
  const auto lost = service_.ensure_admin([](const std::string&) {
    return Result<void>(Error{Code::unavailable, "disk full"});
  });
  ASSERT_FALSE(lost);
  EXPECT_EQ(test::count(*db_, "tokens"), 0);
  std::string kept;
  const auto made = must(service_.ensure_admin([&](const std::string& token) {
    kept = token;
    return Result<void>();
  }));
  ASSERT_TRUE(made);
  EXPECT_EQ(*made, kept);
  EXPECT_TRUE(ask({.authorization = "Bearer " + kept}, "administer"));
  EXPECT_EQ(must(service_.ensure_admin()), std::nullopt);
  EXPECT_EQ(test::count(*db_, "tokens"), 1);
}

TEST_F(AccessTest, KeepsTheLastAdmin) {
  must(service_.ensure_admin());
  const std::string first = must(service_.list(ana_)).tokens.at(0).id;
  token({"viewer", "developer"});
  token({"admin"}, std::chrono::hours(1));
  clock_.advance(std::chrono::hours(2));  // the second admin's has expired
  const auto refused = service_.revoke(ana_, {first});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::failed_precondition);
  EXPECT_EQ(test::count(*db_, "tokens WHERE revoked_at IS NOT NULL"), 0);
  token({"approver", "admin"});
  EXPECT_TRUE(service_.revoke(ana_, {first}));
}

// A thread knows again whom it has seen, but not for longer than the token is good.
TEST_F(AccessTest, WhoIsKnownIsForgottenWithTheToken) {
  token({"admin"});
  std::vector<CreatedToken> made;
  for (int i = 0; i < 40; ++i)
    made.push_back(must(service_.create(ana_, {.name = "n",
                                               .actor = "user:u" + std::to_string(i),
                                               .roles = {"viewer"},
                                               .expires_in = std::chrono::hours(i + 1)})));
  Service other(*db_, clock_);
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 40; ++i) {
      EXPECT_EQ(must(service_.identify(made[i].token)).actor, "user:u" + std::to_string(i));
      EXPECT_FALSE(other.identify(made[i].token)) << "it has read no tokens yet";
    }
  must(service_.revoke(ana_, {made[39].view.id}));
  EXPECT_FALSE(service_.identify(made[39].token));
  EXPECT_TRUE(service_.identify(made[38].token));
  clock_.advance(std::chrono::hours(39));
  EXPECT_FALSE(service_.identify(made[38].token));
}

// A load that began before a revocation must not end after the one that saw it.
TEST_F(AccessTest, ForgetsRevokedTokensWhileOthersAreMade) {
  token({"admin"});
  for (int round = 0; round < 20; ++round) {
    const auto doomed =
        must(service_.create(ana_, {.name = "n", .actor = "user:bo", .roles = {"viewer"}}));
    ASSERT_TRUE(service_.identify(doomed.token));
    std::jthread maker([&] { token({"viewer"}); });
    std::jthread breaker([&] { must(service_.revoke(ana_, {doomed.view.id})); });
    maker.join();
    breaker.join();
    ASSERT_FALSE(service_.identify(doomed.token));
  }
}

}  // namespace
}  // namespace penstock::access
