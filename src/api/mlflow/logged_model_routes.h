#pragma once

#include <vector>

#include "api/route.h"

namespace penstock::tracking {
class LoggedModels;
}

namespace penstock::api {

std::vector<Route> mlflow_logged_model_routes(tracking::LoggedModels& models);

}  // namespace penstock::api
