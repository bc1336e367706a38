#pragma once

#include "api/route.h"

namespace penstock::access {
class Service;
}

namespace penstock::api {

std::vector<Route> access_routes(access::Service& access);

}  // namespace penstock::api
