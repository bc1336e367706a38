#pragma once

#include <vector>

#include "api/route.h"

namespace penstock::tracking {
class RegisteredModels;
}

namespace penstock::api {

// Registered models, versions, tags and aliases, as MLflow 3 has them.
std::vector<Route> mlflow_registry_routes(tracking::RegisteredModels& models);

}  // namespace penstock::api
