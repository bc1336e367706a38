#pragma once

#include "api/route.h"
#include "features/service.h"

namespace penstock::api {

// Our own routes, and Feast's /get-online-features and /push.
std::vector<Route> features_routes(features::Service& features);

}  // namespace penstock::api
