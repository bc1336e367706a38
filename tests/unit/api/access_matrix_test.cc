// Who may ask what, over the whole program.
#include "tests/support/access_matrix.h"

#include <gtest/gtest.h>

#include <set>

#include "app/system.h"
#include "base/log.h"
#include "net/client.h"
#include "tests/support/fixture.h"

namespace penstock {
namespace {

using test::must;

class AccessMatrixTest : public ::testing::Test {
 protected:
  AccessMatrixTest() {
    must(system_.start({.data = directory_ / "data", .http = "127.0.0.1:0"}));
    url_ = "http://" + system_.address();
    for (const char* role : {"viewer", "developer", "approver", "operator", "admin"}) {
      const json::object body{
          {"name", role}, {"actor", std::string("user:") + role}, {"roles", json::array{role}}};
      tokens_[role] = must(admin().call("POST", "/api/v1/tokens", body)).at("token").as_string();
    }
    routes_ = test::routes_of(must(admin().call("GET", "/api/v1/openapi.json")));
  }
  net::Client admin() { return net::Client({.url = url_, .token = system_.first_admin_token()}); }

  test::TempDir directory_;
  app::System system_;
  std::string url_;
  std::map<std::string, std::string> tokens_;
  std::vector<api::Route> routes_;
};

TEST_F(AccessMatrixTest, EveryRouteIsOpenToItsRolesAndToNoOther) {
  EXPECT_GT(routes_.size(), 50u);
  for (const std::string& fault : test::access_faults(url_, routes_, tokens_))
    ADD_FAILURE() << fault;
}

// The check itself must be able to fail: a route said to need more than it does shows up.
TEST_F(AccessMatrixTest, TheCheckSeesAWrongPermission) {
  for (const api::Permission said : {api::Permission::administer, api::Permission::open}) {
    const api::Route wrong{.method = "GET", .path = "/api/v1/whoami", .permission = said};
    EXPECT_FALSE(test::access_faults(url_, {wrong}, tokens_).empty());
  }
}

TEST_F(AccessMatrixTest, AskingIsNotEnoughToChange) {
  // Routes that are no GET and still need no more than to read: they change nothing.
  std::set<std::string> harmless = {
      "POST /api/v1/contracts:import", "POST /api/v1/sources/{name}:compatibility",
      "POST /api/v1/audit:verify",     "POST /api/v1/features:online",
      "POST /api/v1/features:verify",  "POST /api/v1/policies:check",
      "POST /api/v1/features:nearest", "POST /api/v1/releases/{id}:replay",
      "POST /get-online-features",     "POST /v2/repository/index"};
  for (const std::string searched : {"experiments", "logged-models", "runs"})
    for (const std::string root : {"/api", "/ajax-api"})
      harmless.insert("POST " + root + "/2.0/mlflow/" + searched + "/search");
  for (const std::string asked :
       {"experiments/search-datasets", "registered-models/get-latest-versions"})
    for (const std::string root : {"/api", "/ajax-api"})
      harmless.insert("POST " + root + "/2.0/mlflow/" + asked);
  for (const std::string& root : {std::string("/api"), std::string("/ajax-api")})
    harmless.insert("POST " + root + "/2.0/mlflow/artifacts/presigned-download-url");
  for (const std::string asked :
       {"traces/search", "traces/batchGetInfos", "traces/calculate-filter-correlation",
        "traces/metrics", "datasets/search", "issues/search"})
    for (const std::string root : {"/api", "/ajax-api"})
      harmless.insert("POST " + root + "/3.0/mlflow/" + asked);
  const std::set<std::string> open = {
      "GET /health", "GET /version", "GET /api/3.0/mlflow/server-info",
      "GET /ajax-api/3.0/mlflow/server-info", "GET /healthz", "GET /readyz", "GET /metrics",
      "GET /api/v1/version", "GET /v2", "GET /v2/health/live", "GET /v2/health/ready", "GET /ping",
      // Who holds such a URL may do what it says, and no more.
      "GET /api/2.0/mlflow-artifacts/signed/{path}", "PUT /api/2.0/mlflow-artifacts/signed/{path}",
      "GET /api/v1/openapi.json"};
  std::set<std::string> weak, unasked;
  for (const api::Route& route : routes_) {
    const std::string name = route.method + " " + route.path;
    if (route.permission == api::Permission::open)
      unasked.insert(name);
    else if (route.permission == api::Permission::read && route.method != "GET")
      weak.insert(name);
  }
  EXPECT_EQ(weak, harmless);
  EXPECT_EQ(unasked, open);
}

TEST_F(AccessMatrixTest, KeepsProjectsApart) {
  const auto who = [&](const std::string& role, const std::string& header) {
    return must(net::Client({.url = url_, .token = tokens_[role]})
                    .send("GET", "/api/v1/whoami", "", {{header, "elsewhere"}}));
  };
  for (const char* header : {"X-Penstock-Project", "X-Penstock-Tenant"}) {
    EXPECT_EQ(who("admin", header).status, 200);
    EXPECT_NE(who("admin", header).body.find("elsewhere"), std::string::npos);
    for (const char* role : {"viewer", "developer", "approver", "operator"})
      EXPECT_EQ(who(role, header).status, 403) << role;
  }
}

}  // namespace
}  // namespace penstock
