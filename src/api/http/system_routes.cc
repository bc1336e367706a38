#include "api/http/system_routes.h"

#include "api/openapi.h"
#include "base/metrics.h"

namespace penstock::api {

std::vector<Route> system_routes(Metrics& metrics, std::function<Result<void>()> ready) {
  return {
      {.method = "GET",
       .path = "/healthz",
       .summary = "Alive",
       .permission = Permission::open,
       .handle =
           [](const Call&, const Request&) {
             return json_response({{"status", "ok"}});
           },
       .on_loop = true},
      {.method = "GET",
       .path = "/readyz",
       .summary = "Able to work",
       .permission = Permission::open,
       .handle =
           [ready = std::move(ready)](const Call&, const Request&) {
             const auto state = ready();
             return state ? json_response({{"status", "ok"}}) : problem(state.error());
           }},
      {.method = "GET",
       .path = "/metrics",
       .summary = "Metrics in Prometheus' text form",
       .permission = Permission::open,
       .handle =
           [&metrics](const Call&, const Request&) {
             return Response{.body = metrics.expose(),
                             .content_type = "text/plain; version=0.0.4; charset=utf-8"};
           }},
      {.method = "GET",
       .path = "/api/v1/version",
       .summary = "The server's version",
       .permission = Permission::open,
       .handle =
           [](const Call&, const Request&) {
             return json_response({{"version", version}});
           },
       .on_loop = true},
  };
}

Route openapi_route(const std::vector<Route>& routes) {
  Route route{.method = "GET",
              .path = "/api/v1/openapi.json",
              .summary = "This document",
              .permission = Permission::open};
  std::vector<Route> all = routes;
  all.push_back(route);
  route.handle = [text = json::serialize(openapi(all, version))](const Call&, const Request&) {
    return Response{.body = text};
  };
  return route;
}

}  // namespace penstock::api
