#pragma once

#include "api/route.h"

namespace penstock::costs {
class Service;
}

namespace penstock::api {

// Usage by CloudEvents 1.0: one (structured or binary mode) or a batch.
Route cost_events_route(costs::Service& costs);

}  // namespace penstock::api
