#pragma once

#include "api/route.h"

namespace penstock::api {

// The OpenAPI 3.1 document of the routes.
json::object openapi(const std::vector<Route>& routes, std::string_view version);

}  // namespace penstock::api
