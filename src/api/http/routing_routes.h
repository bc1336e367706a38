// What became of calls beside their answers: shadows, experiments, kept payloads.
#pragma once

#include "api/route.h"
#include "serving/experiment.h"
#include "serving/payloads.h"

namespace penstock::api {

std::vector<Route> routing_routes(serving::Reports& reports, serving::Experiments& experiments,
                                  serving::Payloads& payloads);

}  // namespace penstock::api
