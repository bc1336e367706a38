#include "api/http/freeze_routes.h"

namespace penstock::api {

std::vector<Route> freeze_routes(freezes::Service& service) {
  using namespace freezes;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<Empty, FreezeList>("GET", "/api/v1/freezes", "List freezes and when they hold",
                               Permission::read,
                               [&](const Call& call, const Empty&) { return service.list(call); }),
      route<OverrideInput, OverrideOutput>("POST", "/api/v1/freezes:override",
                                           "Let one thing through the freezes of now",
                                           Permission::operate,
                                           [&](const Call& call, const OverrideInput& in) {
                                             return service.override_for(call, in);
                                           }),
  };
}

}  // namespace penstock::api
