#include "api/http/monitor_routes.h"

#include "monitor/service.h"

namespace penstock::api {

std::vector<Route> monitor_routes(monitor::Service& service) {
  using namespace monitor;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<StatsInput, StatsOutput>(
          "GET", "/api/v1/routes/{name}/stats", "What a route's versions did, in all or by day",
          Permission::read,
          [&](const Call& call, const StatsInput& in) { return service.stats(call, in); }),
      route<Empty, MonitorList>("GET", "/api/v1/monitors", "List monitors with what they said last",
                                Permission::read,
                                [&](const Call& call, const Empty&) { return service.list(call); }),
      route<MonitorName, MonitorView>(
          "GET", "/api/v1/monitors/{name}", "Show a monitor with all that it said",
          Permission::read,
          [&](const Call& call, const MonitorName& in) { return service.show(call, in); }),
  };
}

}  // namespace penstock::api
