#include "api/repository.h"

#include <algorithm>

namespace penstock::api::v2 {
namespace {

using serving::RouteView;
using serving::TargetView;

bool is_visible(const TargetView& target) { return target.arm != serving::Arm::shadow; }

// Of the versions that should answer, those that do not.
std::string missing(const RouteView& route) {
  std::string versions;
  for (const TargetView& target : route.targets)
    if (!target.ready) versions += (versions.empty() ? "" : ", ") + std::to_string(target.version);
  return versions;
}

// A route without a released version is, to a caller, no model: as for one that is not declared,
// there is nothing to load and nothing to unload.
Result<void> check_in_service(serving::Service& service, const Call& call,
                              const std::string& route) {
  const RouteView view = TRY(service.show(call, {route}));
  if (!view.targets.empty()) return {};
  return Error{Code::not_found, "no version is released on route " + route +
                                    ", so there is nothing to load or to unload; a release says "
                                    "which version answers"};
}

}  // namespace

Result<std::vector<IndexEntry>> repository_index(serving::Service& service, const Call& call,
                                                 bool ready) {
  std::vector<IndexEntry> out;
  for (const RouteView& route : TRY(service.list(call)).routes) {
    const bool any = std::any_of(route.targets.begin(), route.targets.end(), is_visible);
    if (!any && !ready)
      out.push_back({route.name, "", "UNAVAILABLE", "no version is released on this route"});
    for (const TargetView& target : route.targets) {
      if (!is_visible(target) || (ready && !target.ready)) continue;
      out.push_back({route.name, std::to_string(target.version),
                     target.ready ? "READY" : "UNAVAILABLE",
                     target.ready ? "" : "it is not loaded; load says why"});
    }
  }
  return out;
}

Result<void> repository_load(serving::Service& service, const Call& call,
                             const std::string& route) {
  TRY(check_in_service(service, call, route));
  const auto published = service.publish(call);
  const std::string still = missing(TRY(service.show(call, {route})));
  if (still.empty()) return {};  // another route's fault is not this one's
  return Error{published ? Code::unavailable : published.error().code,
               "route " + route + " does not serve version " + still +
                   (published ? "" : ": " + published.error().message)};
}

Result<void> repository_unload(serving::Service& service, const Call& call,
                               const std::string& route) {
  TRY(check_in_service(service, call, route));
  return Error{Code::failed_precondition,
               "route " + route +
                   " is in service and stays so: what answers on it is said by a "
                   "release; release another version, or roll back"};
}

}  // namespace penstock::api::v2
