#pragma once

#include <vector>

#include "api/route.h"

namespace penstock::tracking {
class Service;
}  // namespace penstock::tracking

namespace penstock::api {

// Experiments, runs, metrics, params, tags, dataset inputs, as MLflow 3 has them.
std::vector<Route> mlflow_tracking_routes(tracking::Service& tracking);

}  // namespace penstock::api
