#pragma once

#include <vector>

#include "api/route.h"

namespace penstock::tracking {
class Webhooks;
}

namespace penstock::api {

// Webhooks, as MLflow has them; for administrators, since they tell the outside.
std::vector<Route> mlflow_webhook_routes(tracking::Webhooks& webhooks);

}  // namespace penstock::api
