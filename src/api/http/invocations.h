// POST /invocations as `mlflow models serve` speaks it, in front of routes.
#pragma once

#include "api/route.h"
#include "serving/gateway.h"

namespace penstock::api {

// The route is named by the path (/routes/{route}/invocations), by X-Penstock-Route, or is the only
// one of the project that is in service.
std::vector<Route> invocation_routes(serving::Gateway& gateway);

}  // namespace penstock::api
