#pragma once

#include "api/route.h"

namespace penstock::resources {
class Service;
}
namespace penstock::incidents {
class Service;
}

namespace penstock::api {

std::vector<Route> resource_routes(resources::Service& resources);
std::vector<Route> incident_routes(incidents::Service& incidents);

}  // namespace penstock::api
