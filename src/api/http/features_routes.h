#pragma once

#include "api/route.h"
#include "features/service.h"
#include "serving/feature_log.h"

namespace penstock::api {

// Our own routes, and Feast's /get-online-features and /push.
std::vector<Route> features_routes(features::Service& features);
// Training sets from logged features.
std::vector<Route> feature_log_routes(serving::FeatureLog& log);

}  // namespace penstock::api
