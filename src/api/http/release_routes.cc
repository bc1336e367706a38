#include "api/http/release_routes.h"

#include "release/service.h"

namespace penstock::api {

std::vector<Route> release_routes(release::Service& service) {
  using namespace release;  // NOLINT(google-build-using-namespace): the types of one component
  const auto act = [&service](Result<Release> (Service::*what)(const Call&, const ActInput&)) {
    return [&service, what](const Call& call, const ActInput& in) {
      return (service.*what)(call, in);
    };
  };
  return {
      route<CreateInput, Release>(
          "POST", "/api/v1/releases", "Ask for a route to move to another version",
          Permission::write,
          [&](const Call& call, const CreateInput& in) { return service.create(call, in); }),
      route<ListInput, ReleaseList>(
          "GET", "/api/v1/releases", "List releases, newest first", Permission::read,
          [&](const Call& call, const ListInput& in) { return service.list(call, in); }),
      route<ReleaseName, ReleaseDetail>(
          "GET", "/api/v1/releases/{id}", "Show a release, its approvals and its guards",
          Permission::read,
          [&](const Call& call, const ReleaseName& in) { return service.get(call, in); }),
      route<ReleaseName, LookList>(
          "GET", "/api/v1/releases/{id}/looks", "Show every look of every guard", Permission::read,
          [&](const Call& call, const ReleaseName& in) { return service.looks(call, in); }),
      route<ActInput, Release>("POST", "/api/v1/releases/{id}:approve", "Approve a release",
                               Permission::approve, act(&Service::approve)),
      route<ActInput, Release>(
          "POST", "/api/v1/releases/{id}:rollback", "Go back to the version before",
          Permission::operate,
          [&](const Call& call, const ActInput& in) { return service.roll_back(call, in); }),
      route<ActInput, Release>("POST", "/api/v1/releases/{id}:cancel",
                               "Withdraw a release that has no traffic", Permission::write,
                               act(&Service::cancel)),
      route<ReleaseName, Replayed>(
          "POST", "/api/v1/releases/{id}:replay", "Compute every verdict again and compare",
          Permission::read,
          [&](const Call& call, const ReleaseName& in) { return service.replay(call, in); }),
  };
}

}  // namespace penstock::api
