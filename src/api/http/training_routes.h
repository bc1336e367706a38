#pragma once

#include "api/route.h"

namespace penstock::training {
class Service;
}

namespace penstock::api {

std::vector<Route> training_routes(training::Service& training);

}  // namespace penstock::api
