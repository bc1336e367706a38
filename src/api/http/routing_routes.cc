#include "api/http/routing_routes.h"

namespace penstock::api {

std::vector<Route> routing_routes(serving::Reports& reports, serving::Experiments& experiments,
                                  serving::Payloads& payloads) {
  using namespace serving;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<RouteName, ShadowReport>(
          "GET", "/api/v1/routes/{name}/shadows",
          "How a route's shadows compare with what was answered", Permission::read,
          [&](const Call& call, const RouteName& in) { return reports.shadows(call, in.name); }),
      route<ExperimentName, ExperimentReport>(
          "GET", "/api/v1/experiments/{id}",
          "Calls and rewards of each arm of an experiment on a route", Permission::read,
          [&](const Call& call, const ExperimentName& in) { return experiments.show(call, in); }),
      route<PayloadName, Payload>(
          "GET", "/api/v1/predictions/{id}/payload",
          "Show what was asked and answered, where the route keeps it; every look is audited",
          Permission::operate,
          [&](const Call& call, const PayloadName& in) { return payloads.read(call, in); }),
      route<PayloadEraseInput, PayloadErased>(
          "POST", "/api/v1/payloads:erase", "Erase kept payloads by values of entity keys",
          Permission::administer,
          [&](const Call& call, const PayloadEraseInput& in) { return payloads.erase(call, in); }),
  };
}

}  // namespace penstock::api
