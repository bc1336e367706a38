#pragma once

#include "api/route.h"

namespace penstock::costs {
class Service;
}

namespace penstock::api {

std::vector<Route> cost_routes(costs::Service& costs);

}  // namespace penstock::api
