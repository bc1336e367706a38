#pragma once

#include "api/route.h"

namespace penstock::monitor {
class Service;
}

namespace penstock::api {

std::vector<Route> monitor_routes(monitor::Service& monitor);

}  // namespace penstock::api
