#include "net/router.h"

#include <gtest/gtest.h>

namespace penstock::net {
namespace {

std::vector<api::Route> routes() {
  std::vector<api::Route> out;
  for (const auto& [method, path] : std::vector<std::pair<std::string, std::string>>{
           {"GET", "/"},
           {"GET", "/models"},
           {"POST", "/models"},
           {"GET", "/models/{name}"},
           {"POST", "/models/{name}:promote"},
           {"POST", "/models/latest"},
           {"GET", "/models/{name}/versions/{version}"},
           {"POST", "/models/{name}/versions/{version}:promote"},
           {"POST", "/resources:apply"},
           {"GET", "/files/{path*}"}})
    out.push_back({.method = method, .path = path});
  return out;
}

std::string values_of(const Match& match) {
  std::string out;
  for (const auto& [name, value] : match.path_values) out += name + "=" + value + ";";
  return out;
}

TEST(RouterTest, FindsTheRouteAndItsValues) {
  struct Case {
    std::string method, path, route, values, allowed;
  };
  const Case cases[] = {
      {"GET", "/", "/", "", ""},
      {"GET", "/models", "/models", "", ""},
      {"GET", "/models/", "/models", "", ""},
      {"HEAD", "/models", "/models", "", ""},
      {"GET", "/models/a", "/models/{name}", "name=a;", ""},
      {"GET", "/models/a%2Fb%20c", "/models/{name}", "name=a/b c;", ""},
      {"GET", "/models/a+b", "/models/{name}", "name=a+b;", ""},
      {"GET", "/models/%41", "/models/{name}", "name=A;", ""},
      {"POST", "/models/a:promote", "/models/{name}:promote", "name=a;", ""},
      {"POST", "/models/a:b:promote", "/models/{name}:promote", "name=a:b;", ""},
      {"GET", "/models/a:promote", "/models/{name}", "name=a:promote;", ""},
      {"POST", "/models/latest", "/models/latest", "", ""},
      {"GET", "/models/latest", "/models/{name}", "name=latest;", ""},
      {"GET", "/models/a/versions/v4", "/models/{name}/versions/{version}", "name=a;version=v4;",
       ""},
      {"POST", "/models/a/versions/v4:promote", "/models/{name}/versions/{version}:promote",
       "name=a;version=v4;", ""},
      {"POST", "/resources:apply", "/resources:apply", "", ""},
      {"GET", "/files/a/b%20c/d", "/files/{path*}", "path=a/b c/d;", ""},
      {"GET", "/files/", "/files/{path*}", "path=;", ""},
      {"PUT", "/models", "", "", "GET, HEAD, POST"},
      {"DELETE", "/models/latest", "", "", "POST, GET, HEAD"},
      {"POST", "/files/a", "", "", "GET, HEAD"},
      {"GET", "/model", "", "", ""},
      {"GET", "/models/a/b", "", "", ""},
      {"GET", "/models/%4", "", "", ""},
      {"GET", "/models/%zz", "", "", ""},
      {"POST", "/models/:promote", "", "", "GET, HEAD"},
      {"GET", "models", "", "", ""},
      {"GET", "", "", "", ""},
      {"GET", "//", "", "", ""},
  };
  const Router router(routes());
  for (const Case& c : cases) {
    SCOPED_TRACE(c.method + " " + c.path);
    const Match match = router.find(c.method, c.path);
    EXPECT_EQ(match.route ? match.route->path : "", c.route);
    EXPECT_EQ(values_of(match), c.values);
    if (!match.route) {
      EXPECT_EQ(match.allowed, c.allowed);
    }
  }
}

TEST(RouterTest, RefusesTwoRoutesOfOneMethodAndPath) {
  auto all = routes();
  all.push_back({.method = "GET", .path = "/models"});
  EXPECT_THROW(Router{all}, std::logic_error);
}

}  // namespace
}  // namespace penstock::net
