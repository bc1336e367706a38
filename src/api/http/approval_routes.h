#pragma once

#include "api/route.h"
#include "approvals/service.h"

namespace penstock::api {

std::vector<Route> approval_routes(approvals::Service& approvals);

}  // namespace penstock::api
