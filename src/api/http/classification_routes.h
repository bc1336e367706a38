// Classes of columns: what rules suggest, what people decide, what approvals lower.
#pragma once

#include "api/route.h"
#include "catalog/lowerings.h"
#include "classification/service.h"

namespace penstock::api {

std::vector<Route> classification_routes(classification::Service& classification,
                                         catalog::Lowerings& lowerings);

}  // namespace penstock::api
