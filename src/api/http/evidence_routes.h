#pragma once

#include "api/route.h"
#include "evidence/service.h"

namespace penstock::api {

std::vector<Route> evidence_routes(evidence::Service& evidence);

}  // namespace penstock::api
