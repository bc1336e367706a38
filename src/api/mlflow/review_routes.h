#pragma once

#include <vector>

#include "api/route.h"

namespace penstock::tracking {
class LabelSchemas;
class ReviewQueues;
}  // namespace penstock::tracking

namespace penstock::api {

// Label schemas and review queues, as MLflow 3 has them.
std::vector<Route> mlflow_review_routes(tracking::LabelSchemas& schemas,
                                        tracking::ReviewQueues& queues);

}  // namespace penstock::api
