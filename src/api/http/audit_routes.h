#pragma once

#include "api/route.h"
#include "audit/audit.h"

namespace penstock::api {

std::vector<Route> audit_routes(audit::Service& audit);

}  // namespace penstock::api
