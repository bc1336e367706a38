#pragma once

#include "api/route.h"
#include "costs/guard.h"
#include "serving/table.h"
#include "traffic/health.h"

namespace penstock::api {

struct TrafficParts {
  const serving::TableHolder& table;
  const traffic::Health& health;
  const costs::Guard& guard;
  const Clock& clock;
};

std::vector<Route> traffic_routes(const TrafficParts& parts);

}  // namespace penstock::api
