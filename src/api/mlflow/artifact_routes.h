#pragma once

#include <vector>

#include "api/route.h"

namespace penstock::artifacts {
class Files;
}
namespace penstock::tracking {
class Artifacts;
class LoggedModels;
class PartUploads;
class RegisteredModels;
class Service;
}  // namespace penstock::tracking

namespace penstock::api {

struct MlflowArtifactParts {
  tracking::Service& tracking;
  tracking::LoggedModels& logged_models;
  tracking::RegisteredModels& registered_models;
  tracking::Artifacts& artifacts;
  tracking::PartUploads& uploads;
  artifacts::Files& files;
  const Clock& clock;
};

// Files of runs and models as MLflow 3 sends, fetches, lists and deletes them: through the server,
// in parts, and by signed URLs.
std::vector<Route> mlflow_artifact_routes(const MlflowArtifactParts& parts);

}  // namespace penstock::api
