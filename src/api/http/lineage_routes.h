// The graph: our questions about it, OpenLineage's events into it, and Marquez's answers out of it.
#pragma once

#include "api/route.h"
#include "lineage/service.h"

namespace penstock::api {

std::vector<Route> lineage_routes(catalog::Service& catalog, lineage::Service& lineage);

}  // namespace penstock::api
