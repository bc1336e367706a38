#include "api/http/traffic_routes.h"

#include <algorithm>
#include <map>

namespace penstock::api {
namespace {

struct UpstreamStatus {
  std::string name, protocol, address;
  std::vector<std::string> routes;  // that send calls there
  traffic::BreakerState breaker = traffic::BreakerState::closed;
  std::int64_t failures_in_a_row = 0, calls = 0, failures = 0, mean_micros = 0, opened = 0;
  std::optional<Timestamp> open_until;
  std::string check = "none";
  std::vector<std::string> ejected_from;  // routes in which others stand in for it
};
BOOST_DESCRIBE_STRUCT(UpstreamStatus, (),
                      (name, protocol, address, routes, breaker, failures_in_a_row, calls, failures,
                       mean_micros, opened, open_until, check, ejected_from))
struct Upstreams {
  std::vector<UpstreamStatus> upstreams;
};
BOOST_DESCRIBE_STRUCT(Upstreams, (), (upstreams))
struct Budgets {
  std::vector<costs::BudgetStatus> budgets;
};
BOOST_DESCRIBE_STRUCT(Budgets, (), (budgets))

// What stands behind the project, in names of the project and in groups of traffic.
std::string own_name(const std::string& project, const std::string& name) {
  const std::string before = project + "/";
  return name.starts_with(before) ? name.substr(before.size()) : name;
}

void add(UpstreamStatus& status, const std::string& project, const traffic::UpstreamHealth& from) {
  status.breaker = from.breaker;
  status.failures_in_a_row = from.failures_in_a_row;
  status.calls = from.calls;
  status.failures = from.failures;
  status.mean_micros = from.mean_micros;
  status.opened = from.opened;
  status.open_until = from.open_until;
  status.check = from.check;
  for (const std::string& group : from.ejected_from)
    status.ejected_from.push_back(own_name(project, group));
}

Upstreams upstreams_of(const TrafficParts& parts, const Call& call) {
  std::map<std::string, UpstreamStatus> found;  // by the endpoint's name
  const auto table = parts.table.get();
  for (const auto& [ignored, route] : table->routes) {
    if (route->project != call.project) continue;
    for (const serving::LiveTarget& target : route->targets) {
      const auto& remote = target.deployment->remote;
      if (!remote || !remote->endpoint) continue;
      UpstreamStatus& status = found[remote->endpoint->name];
      status.name = own_name(call.project, remote->endpoint->name);
      status.protocol = name_of(remote->protocol);
      status.address = remote->endpoint->host + ":" + remote->endpoint->port;
      if (std::find(status.routes.begin(), status.routes.end(), route->declaration.name) ==
          status.routes.end())
        status.routes.push_back(route->declaration.name);
    }
  }
  for (const traffic::UpstreamHealth& health : parts.health.list(parts.clock.now()))
    if (const auto known = found.find(health.upstream); known != found.end())
      add(known->second, call.project, health);
  Upstreams out;
  for (auto& [ignored, status] : found) {
    std::sort(status.routes.begin(), status.routes.end());
    out.upstreams.push_back(std::move(status));
  }
  return out;
}

}  // namespace

std::vector<Route> traffic_routes(const TrafficParts& parts) {
  return {route<Empty, Upstreams>("GET", "/api/v1/upstreams",
                                  "List the servers that routes call, and how they are",
                                  Permission::read,
                                  [parts](const Call& call, const Empty&) -> Result<Upstreams> {
                                    return upstreams_of(parts, call);
                                  }),
          route<Empty, Budgets>(
              "GET", "/api/v1/budgets", "List budgets with what is spent, pending and reserved",
              Permission::read, [parts](const Call& call, const Empty&) -> Result<Budgets> {
                return Budgets{parts.guard.list(call.project, parts.clock.now())};
              })};
}

}  // namespace penstock::api
