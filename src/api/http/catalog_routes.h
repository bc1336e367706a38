#pragma once

#include "api/route.h"
#include "catalog/service.h"

namespace penstock::api {

std::vector<Route> catalog_routes(catalog::Service& catalog);

}  // namespace penstock::api
