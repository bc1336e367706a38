#pragma once

#include <vector>

#include "api/route.h"

namespace penstock::tracking {
class Service;
}

namespace penstock::api {

// What MLflow's own pages and older clients ask for beside what clients do daily.
std::vector<Route> mlflow_chart_routes(tracking::Service& tracking);

}  // namespace penstock::api
