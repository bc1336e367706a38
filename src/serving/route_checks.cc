#include "serving/route_checks.h"

#include <algorithm>
#include <set>

#include "resources/service.h"
#include "serving/choose.h"
#include "serving/experiment.h"

namespace penstock::serving {
namespace {

Error faulty(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

std::set<std::string> keys_of(const RouteDeclaration& route) {
  return {route.entity_keys.begin(), route.entity_keys.end()};
}

// Where each route of the project would fall back to, were `route` declared.
Result<std::map<std::string, RouteDeclaration>> declared_with(sql::Tx& tx, const Call& call,
                                                              const RouteDeclaration& route) {
  std::map<std::string, RouteDeclaration> out;
  for (const resources::Resource& one : TRY(resources::list(tx, call.project, "route")))
    out[one.name] = TRY(decode<RouteDeclaration>(one.declaration));
  out[route.name] = route;
  return out;
}

// The way from `at` back to `goal`, if there is one: "b -> a". Each route is looked at once.
std::optional<std::string> way_back(const std::map<std::string, RouteDeclaration>& routes,
                                    const std::string& at, const std::string& goal,
                                    std::set<std::string>& seen) {
  if (at == goal) return at;
  const auto found = routes.find(at);
  if (found == routes.end() || !seen.insert(at).second) return {};
  for (const std::string& next : found->second.fallbacks)
    if (const auto way = way_back(routes, next, goal, seen)) return at + " -> " + *way;
  return {};
}

Result<void> check_fallbacks(sql::Tx& tx, const Call& call, const RouteDeclaration& route) {
  if (route.fallbacks.empty()) return {};
  const auto routes = TRY(declared_with(tx, call, route));
  std::set<std::string> named;
  for (std::size_t i = 0; i < route.fallbacks.size(); ++i) {
    const std::string& name = route.fallbacks[i];
    const std::string field = "fallbacks[" + std::to_string(i) + "]";
    const auto found = routes.find(name);
    if (found == routes.end())
      return faulty(field, "is " + name + ", which is not declared; declare that route before");
    if (!named.insert(name).second) return faulty(field, "is " + name + " again");
    std::set<std::string> seen;
    if (const auto way = way_back(routes, name, route.name, seen))
      return faulty(field, "leads back to the route itself: " + route.name + " -> " + *way);
    if (keys_of(found->second) != keys_of(route))
      return faulty(field, "is " + name + ", whose entity_keys are others: one call must fit both");
  }
  return {};
}

Result<void> check_experiment(sql::Tx& tx, const Call& call, Timestamp now,
                              const RouteDeclaration& route) {
  if (!route.experiment) return {};
  const Experiment& experiment = *route.experiment;
  if (!std::all_of(experiment.id.begin(), experiment.id.end(),
                   [](char letter) { return letter > ' ' && letter <= '~'; }))
    return faulty("experiment.id",
                  "must be of visible ASCII signs without spaces: answers name it in a header");
  for (const auto& [name, other] : TRY(declared_with(tx, call, route)))
    if (name != route.name && other.experiment && other.experiment->id == experiment.id)
      return faulty("experiment.id", "is " + experiment.id + ", which is of route " + name);
  if (experiment.pause < std::chrono::seconds(10) || experiment.pause > std::chrono::hours(24 * 31))
    return faulty("experiment.pause", "must be from 10s to 31 days");
  if (!experiment.adaptive) return {};
  if (const auto may = may_adapt(tx, call, now, route.name); !may)
    return Error{Code::failed_precondition,
                 "experiment.adaptive is refused: " + may.error().message,
                 {{"experiment.adaptive", "is refused: " + may.error().message}}};
  return {};
}

// Of shadows and payloads.
Result<void> check_copies(const RouteDeclaration& route) {
  if (!(route.shadow.sample >= 0 && route.shadow.sample <= 1))
    return faulty("shadow.sample", "must be from 0 to 1");
  if (route.shadow.max_cost_per_day && *route.shadow.max_cost_per_day < Money{})
    return faulty("shadow.max_cost_per_day", "must be at least 0");
  if (!route.payloads) return {};
  if (!(route.payloads->sample >= 0 && route.payloads->sample <= 1))
    return faulty("payloads.sample", "must be from 0 to 1");
  if (route.payloads->keep < std::chrono::seconds(1) ||
      route.payloads->keep > std::chrono::hours(24 * 400))
    return faulty("payloads.keep", "must be from 1s to 400 days");
  return {};
}

}  // namespace

Result<void> check_routing(sql::Tx& tx, const Call& call, Timestamp now,
                           const RouteDeclaration& route) {
  TRY(Rules::compile(route.rules, route.entity_keys));
  TRY(check_sticky(route.sticky));
  TRY(check_fallbacks(tx, call, route));
  TRY(check_copies(route));
  return check_experiment(tx, call, now, route);
}

}  // namespace penstock::serving
