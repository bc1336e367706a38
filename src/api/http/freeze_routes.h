#pragma once

#include "api/route.h"
#include "freezes/service.h"

namespace penstock::api {

std::vector<Route> freeze_routes(freezes::Service& freezes);

}  // namespace penstock::api
