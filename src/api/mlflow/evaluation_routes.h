#pragma once

#include <vector>

#include "api/route.h"

namespace penstock::tracking {
class EvaluationDatasets;
class Issues;
class Scorers;
}  // namespace penstock::tracking

namespace penstock::api {

struct MlflowEvaluation {
  tracking::EvaluationDatasets& datasets;
  tracking::Scorers& scorers;
  tracking::Issues& issues;
};

// Evaluation datasets, scorers and issues, as MLflow 3 has them.
std::vector<Route> mlflow_evaluation_routes(const MlflowEvaluation& parts);

}  // namespace penstock::api
