#include "serving/upstream_checks.h"

#include <map>

namespace penstock::serving {
namespace {

constexpr Micros check_time = std::chrono::seconds(2);
constexpr std::size_t answer_max = 64 << 10;

struct Check {
  std::shared_ptr<const http::Endpoint> endpoint;
  std::string path;
};

// By name: routes share upstreams.
std::map<std::string, Check> checks_of(const RoutingTable& table) {
  std::map<std::string, Check> checks;
  for (const auto& [ignored, route] : table.routes)
    for (const LiveTarget& target : route->targets) {
      const auto& remote = target.deployment->remote;
      if (!remote || !remote->endpoint || !remote->health_path ||
          remote->protocol == UpstreamProtocol::kserve_grpc)
        continue;
      Check& check = checks[remote->endpoint->name];
      if (check.endpoint) continue;
      // From the server's root: models lie below base_path, and a server's health does not.
      auto endpoint = std::make_shared<http::Endpoint>(*remote->endpoint);
      endpoint->base_path.clear();
      endpoint->answer_max = answer_max;
      check = {std::move(endpoint), *remote->health_path};
    }
  return checks;
}

}  // namespace

Result<void> UpstreamChecks::run_once() {
  for (const auto& [name, check] : checks_of(*table_.get())) {
    const auto answer = caller_.send(check.endpoint, {.method = "GET", .target = check.path},
                                     clock_.now() + check_time);
    health_.tell_check(name, answer && answer->status >= 200 && answer->status < 300, clock_.now());
  }
  return {};
}

}  // namespace penstock::serving
