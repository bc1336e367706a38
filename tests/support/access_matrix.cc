#include "tests/support/access_matrix.h"

#include <algorithm>

#include "net/client.h"
#include "tests/support/fixture.h"

namespace penstock::test {
namespace {

// Written down a second time on purpose: a slip in the table of the program must show.
const std::map<std::string, std::vector<std::string>> permissions_by_role = {
    {"nobody", {}},
    {"viewer", {"read"}},
    {"developer", {"read", "write", "infer"}},
    {"approver", {"read", "approve"}},
    {"operator", {"read", "infer", "operate"}},
    {"admin", {"read", "write", "infer", "approve", "operate", "administer"}},
};

// "/models/{name}:promote" -> "/models/no-such-thing:promote"
std::string some_target(const std::string& path) {
  std::string target;
  for (std::size_t at = 0; at < path.size(); ++at)
    if (path[at] == '{') {
      target += "no-such-thing";
      at = path.find('}', at);
    } else {
      target += path[at];
    }
  return target;
}

// The edge's own refusal. A handler may refuse as well (an approval by its author), and does so in
// other words.
bool refused_by_edge(const net::ClientResponse& response, const std::string& permission) {
  return response.status == 403 &&
         response.body.find(" may not " + permission + "; roles that may: ") != std::string::npos;
}

}  // namespace

std::vector<std::string> access_faults(const std::string& url,
                                       const std::vector<api::Route>& routes,
                                       const std::map<std::string, std::string>& tokens) {
  std::vector<std::string> faults;
  for (const auto& [role, permissions] : permissions_by_role) {
    const std::string token = role == "nobody" ? "" : tokens.at(role);
    net::Client client({.url = url, .token = token});
    for (const api::Route& route : routes) {
      const std::string permission(name_of(route.permission));
      const bool may = permission == "open" || std::find(permissions.begin(), permissions.end(),
                                                         permission) != permissions.end();
      const auto response = must(client.send(route.method, some_target(route.path)));
      const bool as_it_should =
          may             ? response.status != 401 && !refused_by_edge(response, permission)
          : token.empty() ? response.status == 401
                          : refused_by_edge(response, permission);
      if (!as_it_should)
        faults.push_back(role + ": " + route.method + " " + route.path + " (" + permission +
                         ") answered " + std::to_string(response.status));
    }
  }
  return faults;
}

std::vector<api::Route> routes_of(const json::value& openapi) {
  std::vector<api::Route> routes;
  for (const auto& path : openapi.at("paths").as_object())
    for (const auto& operation : path.value().as_object()) {
      api::Route route{.method = std::string(operation.key()), .path = std::string(path.key())};
      std::transform(route.method.begin(), route.method.end(), route.method.begin(), ::toupper);
      const std::string name(operation.value().at("x-permission").as_string());
      if (!boost::describe::enum_from_string(name.c_str(), route.permission))
        throw std::runtime_error(route.method + " " + route.path + " needs " + name);
      routes.push_back(std::move(route));
    }
  return routes;
}

}  // namespace penstock::test
