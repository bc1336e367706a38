// Every route with every role: what the edge lets through, against who may do what.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/route.h"

namespace penstock::test {

// Asks the server at `url` for each route as each role and as nobody, and gives a line for each
// answer that is not what the route's permission says; none where all is well. `tokens` are by
// role. It is driven by the routes alone, so a new one is covered when it is there.
std::vector<std::string> access_faults(const std::string& url,
                                       const std::vector<api::Route>& routes,
                                       const std::map<std::string, std::string>& tokens);

// The routes that a server's OpenAPI document shows: method, path and permission.
std::vector<api::Route> routes_of(const json::value& openapi);

}  // namespace penstock::test
