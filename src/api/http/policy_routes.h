#pragma once

#include "api/route.h"
#include "policies/service.h"

namespace penstock::api {

std::vector<Route> policy_routes(policies::Service& policies);

}  // namespace penstock::api
