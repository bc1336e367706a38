#pragma once

#include "api/route.h"
#include "record/service.h"

namespace penstock::api {

std::vector<Route> record_routes(record::Service& record, registry::Signatures& signatures);

}  // namespace penstock::api
