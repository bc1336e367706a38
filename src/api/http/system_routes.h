#pragma once

#include "api/route.h"

namespace penstock {
class Metrics;
}

namespace penstock::api {

inline constexpr std::string_view version = "0.1.0";

// Health, metrics and version. `ready` says why the server cannot work, if it cannot.
std::vector<Route> system_routes(Metrics& metrics, std::function<Result<void>()> ready);
// The document of all routes, this one included; made once.
Route openapi_route(const std::vector<Route>& routes);

}  // namespace penstock::api
