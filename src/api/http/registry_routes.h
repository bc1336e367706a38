#pragma once

#include "api/route.h"
#include "artifacts/collector.h"
#include "registry/artifacts.h"
#include "registry/service.h"

namespace penstock::api {

// What is kept for models, runs and steps together.
std::vector<Route> artifact_routes(artifacts::Collector& collector);
std::vector<Route> registry_routes(registry::Service& registry, registry::Artifacts& artifacts);

}  // namespace penstock::api
