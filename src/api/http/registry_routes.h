#pragma once

#include "api/route.h"
#include "registry/artifacts.h"
#include "registry/service.h"

namespace penstock::api {

std::vector<Route> registry_routes(registry::Service& registry, registry::Artifacts& artifacts);

}  // namespace penstock::api
