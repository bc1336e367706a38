#include "api/http/governance_routes.h"

#include "incidents/service.h"
#include "resources/service.h"

namespace penstock::api {
namespace {

struct ResourceName {
  std::string kind, name;
};
BOOST_DESCRIBE_STRUCT(ResourceName, (), (kind, name))
constexpr auto rules_of(const ResourceName&) {
  return std::array{Rule{.field = "name", .max = 200, .may_miss = true},
                    Rule{.field = "kind", .max = 50, .may_miss = true}};
}
struct ResourceList {
  std::vector<resources::Resource> resources;
};
BOOST_DESCRIBE_STRUCT(ResourceList, (), (resources))

}  // namespace

std::vector<Route> resource_routes(resources::Service& service) {
  using resources::ApplyInput, resources::ApplyOutput, resources::Resource;
  return {
      route<ApplyInput, ApplyOutput>(
          "POST", "/api/v1/resources:apply", "Make declarations true, or say what would change",
          Permission::write,
          [&](const Call& call, const ApplyInput& in) { return service.apply(call, in); }),
      route<ResourceName, ResourceList>(
          "GET", "/api/v1/resources", "List what is declared", Permission::read,
          [&](const Call& call, const ResourceName& in) -> Result<ResourceList> {
            return ResourceList{TRY(service.list(call, in.kind))};
          }),
      route<ResourceName, Resource>("GET", "/api/v1/resources/{kind}/{name}",
                                    "Show a declared thing", Permission::read,
                                    [&](const Call& call, const ResourceName& in) {
                                      return service.get(call, in.kind, in.name);
                                    }),
  };
}

std::vector<Route> incident_routes(incidents::Service& service) {
  using namespace incidents;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<ListInput, IncidentList>(
          "GET", "/api/v1/incidents", "List incidents, newest first", Permission::read,
          [&](const Call& call, const ListInput& in) { return service.list(call, in); }),
      route<IncidentName, IncidentDetail>(
          "GET", "/api/v1/incidents/{id}", "Show an incident with its timeline", Permission::read,
          [&](const Call& call, const IncidentName& in) { return service.get(call, in); }),
      route<IncidentMove, Incident>(
          "POST", "/api/v1/incidents/{id}:move", "Acknowledge or resolve an incident",
          Permission::operate,
          [&](const Call& call, const IncidentMove& in) { return service.move(call, in); }),
  };
}

}  // namespace penstock::api
