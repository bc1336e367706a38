#pragma once

#include "api/route.h"

namespace penstock::release {
class Service;
}

namespace penstock::api {

std::vector<Route> release_routes(release::Service& release);

}  // namespace penstock::api
