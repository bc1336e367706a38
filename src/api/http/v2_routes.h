// The Open Inference Protocol over HTTP: a route is a model, its versions are those that answer.
#pragma once

#include "api/route.h"
#include "serving/gateway.h"

namespace penstock::api {

std::vector<Route> v2_routes(serving::Gateway& gateway);

}  // namespace penstock::api
