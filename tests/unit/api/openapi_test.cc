#include "api/openapi.h"

#include <gtest/gtest.h>

#include <set>

#include "api/http/system_routes.h"
#include "base/metrics.h"
#include "tests/support/fixture.h"

namespace penstock::api {
namespace {

struct PromoteInput {
  std::string name;
  std::int64_t version = 0;
  bool force = false;
  std::optional<std::string> note;
};
BOOST_DESCRIBE_STRUCT(PromoteInput, (), (name, version, force, note))
constexpr auto rules_of(const PromoteInput&) {
  return std::array{Rule{.field = "version", .min = 1}, Rule{.field = "force", .may_miss = true}};
}

Result<PromoteInput> echo(const Call&, const PromoteInput& in) { return in; }

std::vector<Route> routes() {
  return {route<PromoteInput, PromoteInput>("POST", "/models/{name}:promote", "Promote",
                                            Permission::write, echo),
          route<PromoteInput, PromoteInput>("GET", "/models/{name}/find", "Find", Permission::read,
                                            echo),
          {.method = "GET", .path = "/files/{path*}", .permission = Permission::open},
          {.method = "PUT", .path = "/files/{path*}", .permission = Permission::write}};
}

TEST(OpenApiTest, SaysWhereEachInputStands) {
  const json::value document = openapi(routes(), "1.2.3");
  EXPECT_EQ(document.at("openapi"), "3.1.0");
  const json::value& promote = document.at("paths").at("/models/{name}:promote").at("post");
  EXPECT_EQ(promote.at("operationId"), "post_models_name_promote");
  EXPECT_EQ(promote.at("x-permission"), "write");
  ASSERT_EQ(promote.at("parameters").as_array().size(), 1u);
  EXPECT_EQ(promote.at("parameters").at(0).at("in"), "path");
  const json::value& body =
      promote.at("requestBody").at("content").at("application/json").at("schema");
  EXPECT_FALSE(body.at("properties").as_object().contains("name"));
  EXPECT_EQ(body.at("required"), json::parse(R"(["version"])"));
  EXPECT_EQ(body.at("properties").at("version").at("minimum"), 1);

  const json::value& find = document.at("paths").at("/models/{name}/find").at("get");
  std::string places;
  for (const json::value& parameter : find.at("parameters").as_array())
    places += std::string(parameter.at("name").as_string()) + ":" +
              std::string(parameter.at("in").as_string()) +
              (parameter.at("required").as_bool() ? "! " : " ");
  EXPECT_EQ(places, "name:path! note:query version:query! force:query ");
  EXPECT_FALSE(find.as_object().contains("requestBody"));

  const json::value& file = document.at("paths").at("/files/{path}");
  EXPECT_EQ(file.at("get").at("security"), json::array{});
  EXPECT_FALSE(file.at("put").as_object().contains("security"));
  EXPECT_EQ(file.at("put").at("parameters").at(0).at("name"), "path");
}

// Every operation has what a generator of clients needs, and every reference leads somewhere.
TEST(OpenApiTest, IsWhole) {
  Metrics metrics;
  std::vector<Route> all = system_routes(metrics, [] { return Result<void>(); });
  for (Route& one : routes()) all.push_back(std::move(one));
  all.push_back(openapi_route(all));
  const json::value document = json::parse(all.back().handle({}, {}).body);
  std::set<std::string> ids;
  std::size_t operations = 0;
  for (const auto& path : document.at("paths").as_object())
    for (const auto& [method, operation] : path.value().as_object()) {
      SCOPED_TRACE(std::string(method) + " " + std::string(path.key()));
      ++operations;
      ids.insert(std::string(operation.at("operationId").as_string()));
      EXPECT_TRUE(operation.at("responses").as_object().contains("200"));
      EXPECT_EQ(operation.at("responses")
                    .at("default")
                    .at("content")
                    .at("application/problem+json")
                    .at("schema")
                    .at("$ref"),
                "#/components/schemas/Problem");
    }
  EXPECT_EQ(operations, all.size());
  EXPECT_EQ(ids.size(), operations);
  EXPECT_TRUE(document.at("components").at("schemas").as_object().contains("Problem"));
  EXPECT_TRUE(document.at("paths").as_object().contains("/api/v1/openapi.json"));
}

TEST(RouteTest, TakesEachFieldFromWhereItStands) {
  const Route find = routes()[1];
  const auto ask = [&](const Request& request) { return find.handle({}, request); };
  const auto plain = ask({.path_values = {{"name", "2013"}},
                          .query = {{"version", "4"}, {"force", "true"}, {"note", "2013"}}});
  EXPECT_EQ(plain.body, R"({"name":"2013","version":4,"force":true,"note":"2013"})");
  const auto over =
      ask({.path_values = {{"name", "path"}}, .body = R"({"name": "body", "version": 1})"});
  EXPECT_EQ(json::parse(over.body).at("name"), "path") << "the path decides";
  struct Case {
    Request request;
    std::string detail;
  };
  const Case cases[] = {
      {{.query = {{"version", "0"}}}, "version must be at least 1"},
      {{.body = "{"}, "the body is no valid JSON"},
      {{.body = "[]"}, "the body must be a JSON object"},
      {{.body = std::string(10'000, '[')}, "the body is no valid JSON"},
      {{.query = {{"version", "1"}, {"colour", "red"}}}, "colour"},
  };
  for (Case c : cases) {
    SCOPED_TRACE(c.detail);
    c.request.path_values = {{"name", "a"}};
    const auto refused = ask(c.request);
    EXPECT_EQ(refused.status, 400);
    EXPECT_EQ(refused.content_type, "application/problem+json");
    EXPECT_NE(refused.body.find(c.detail), std::string::npos) << refused.body;
  }
  const auto several = ask({.path_values = {{"name", "a"}},
                            .query = {{"version", "0"}, {"force", "3"}, {"colour", "red"}}});
  EXPECT_EQ(json::parse(several.body).at("violations").as_array().size(), 3u);
}

TEST(RouteTest, SaysReadyOnlyWhenItIs) {
  Metrics metrics;
  Result<void> state;
  const auto all = system_routes(metrics, [&] { return state; });
  const auto ask = [&](const std::string& path) {
    for (const Route& one : all)
      if (one.path == path) return one.handle({}, {});
    throw std::logic_error("no route " + path);
  };
  EXPECT_EQ(ask("/readyz").status, 200);
  state = Error{Code::unavailable, "the disk is full"};
  EXPECT_EQ(ask("/readyz").status, 503);
  EXPECT_EQ(ask("/healthz").status, 200);
  metrics.counter("penstock_things_total", "Things").add(3);
  EXPECT_NE(ask("/metrics").body.find("penstock_things_total 3"), std::string::npos);
}

}  // namespace
}  // namespace penstock::api
