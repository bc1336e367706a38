// One plain page: routes, releases, incidents, spending. Made on the server, read without scripts.
#pragma once

#include "api/route.h"
#include "costs/service.h"
#include "incidents/service.h"
#include "release/service.h"
#include "serving/service.h"

namespace penstock::app {

struct StatusParts {
  serving::Service& serving;
  release::Service& release;
  incidents::Service& incidents;
  costs::Service& costs;
};

std::vector<api::Route> status_routes(StatusParts parts);

}  // namespace penstock::app
