#pragma once

#include <vector>

#include "api/route.h"

namespace penstock::tracking {
class Artifacts;
class Traces;
}  // namespace penstock::tracking

namespace penstock::api {

// Traces, their tags, links and assessments, as MLflow 3 has them; and what clients before 3.0
// call.
std::vector<Route> mlflow_trace_routes(tracking::Traces& traces, tracking::Artifacts& artifacts);

}  // namespace penstock::api
