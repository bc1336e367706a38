#include "api/http/policy_routes.h"

namespace penstock::api {

std::vector<Route> policy_routes(policies::Service& service) {
  using namespace policies;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<Empty, PolicyList>("GET", "/api/v1/policies", "List policies", Permission::read,
                               [&](const Call& call, const Empty&) { return service.list(call); }),
      route<Empty, ViewList>(
          "GET", "/api/v1/policies/views", "List what policies may read", Permission::read,
          [](const Call&, const Empty&) -> Result<ViewList> { return ViewList{views()}; }),
      route<Empty, Defaults>("GET", "/api/v1/policies/defaults",
                             "Show the policies that come with the program", Permission::read,
                             [](const Call&, const Empty&) -> Result<Defaults> {
                               return Defaults{std::string(default_policies())};
                             }),
      route<InstallInput, Installed>(
          "POST", "/api/v1/policies:install", "Declare the policies that come with the program",
          Permission::write,
          [&](const Call& call, const InstallInput& in) { return service.install(call, in); }),
      route<CheckInput, CheckOutput>(
          "POST", "/api/v1/policies:check", "Ask the policies, and keep and refuse nothing",
          Permission::read,
          [&](const Call& call, const CheckInput& in) { return service.check(call, in); }),
      route<ResultsInput, ResultList>(
          "GET", "/api/v1/policies/results", "List what policies said, newest first",
          Permission::read,
          [&](const Call& call, const ResultsInput& in) { return service.results(call, in); }),
  };
}

}  // namespace penstock::api
