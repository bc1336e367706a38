// The model repository extension of the Open Inference Protocol over HTTP.
#pragma once

#include "api/route.h"
#include "serving/service.h"

namespace penstock::api {

std::vector<Route> v2_repository_routes(serving::Service& service);

}  // namespace penstock::api
