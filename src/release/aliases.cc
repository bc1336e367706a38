// What MLflow's aliases and stages say of a route is what its releases made of it.
#include <algorithm>

#include "release/guards.h"
#include "release/service.h"
#include "release/store.h"
#include "serving/route.h"

namespace penstock::release {
namespace {

using serving::RouteDeclaration, serving::StoredTarget;

std::string urn_of(const Release& release) { return "release:" + release.id; }
std::string text_of(std::int64_t version) { return "v" + std::to_string(version); }

bool is_open(const Release& release) {
  return has_traffic(release.state) || release.state == State::awaiting_approval;
}

Result<std::vector<RouteDeclaration>> routes_of(sql::Tx& tx, const Call& call,
                                                const std::string& model) {
  std::vector<RouteDeclaration> out;
  for (const resources::Resource& one : TRY(resources::list(tx, call.project, "route"))) {
    auto route = TRY(decode<RouteDeclaration>(one.declaration));
    if (route.model == model) out.push_back(std::move(route));
  }
  return out;
}

Result<std::int64_t> live_on(sql::Tx& tx, serving::Service& serving, const Call& call,
                             const std::string& route) {
  for (const StoredTarget& target : TRY(serving.targets(tx, call, route)))
    if (target.arm == serving::Arm::live) return target.version;
  return std::int64_t{0};
}

// What a release of a route is where nobody declared a plan: a shadow, then two canaries that must
// be proven to fail no more often than twice as often.
Plan usual_plan() {
  return {.canary = {1'000, 5'000}, .guards = {{.name = "errors", .safe_ratio = 2}}};
}

Result<void> check_default_plan(sql::Tx& tx, const Call& call, const DefaultPlan& declared) {
  if (!resources::get(tx, call.project, "route", declared.name))
    return Error{Code::invalid_argument,
                 "name is no declared route",
                 {{"name", "must be the route that the plan is for; " + declared.name +
                               " is not declared"}}};
  return check_plan(declared.plan);
}

tracking::Stage stage_of(State state) {
  switch (state) {
    case State::shadow:
    case State::canary:
    case State::bake: return tracking::Stage::Staging;
    case State::watch:
    case State::closed: return tracking::Stage::Production;
    case State::rolled_back: return tracking::Stage::Archived;
    case State::awaiting_approval:
    case State::cancelled: break;
  }
  return tracking::Stage::None;
}

}  // namespace

std::vector<resources::KindHandler> Service::kinds() const {
  return {{"release_plan", resources::checked_as<DefaultPlan>(check_default_plan), {}}};
}

tracking::ServedBy Service::served() {
  const auto routes = [this](
                          sql::Tx& tx, const Call& call, const std::string& model,
                          const std::string& alias) -> Result<std::vector<tracking::ServedRoute>> {
    std::vector<tracking::ServedRoute> out;
    for (const RouteDeclaration& route : TRY(routes_of(tx, call, model)))
      if (alias.empty() || route.alias == alias) {
        auto live = TRY(live_on(tx, serving_, call, route.name));
        out.push_back({route.name, std::move(live)});
      }
    return out;
  };
  const auto in_use = [this](sql::Tx& tx, const Call& call, const std::string& model,
                             std::int64_t version) -> Result<std::string> {
    const auto is = [&](std::int64_t one) { return one != 0 && (version == 0 || one == version); };
    for (const RouteDeclaration& route : TRY(routes_of(tx, call, model))) {
      for (const StoredTarget& target : TRY(serving_.targets(tx, call, route.name)))
        if (is(target.version))
          return "is " + std::string(name_of(target.arm)) + " on route:" + route.name;
      for (const Release& one : TRY(store::of_route(tx, call.project, route.name)))
        if (is_open(one) && (is(one.version) || is(one.from_version)))
          return "is needed by " + urn_of(one) + " of route:" + route.name;
    }
    return std::string();
  };
  return {routes, in_use,
          [this](const Call& call, const std::string& route, const std::string& model,
                 std::int64_t version) { return ask(call, route, model, version); }};
}

Result<std::string> Service::ask(const Call& call, const std::string& route,
                                 const std::string& model, std::int64_t version) {
  Plan plan = usual_plan();
  const auto open = TRY(db_.read(call, [&](sql::Tx& tx) -> Result<std::optional<Release>> {
    const auto declared = resources::declared<DefaultPlan>(tx, call.project, "release_plan", route);
    if (declared) plan = declared->plan;
    if (!declared && declared.error().code != Code::not_found) return declared.error();
    for (Release& one : TRY(store::of_route(tx, call.project, route)))
      if (is_open(one)) return std::optional(std::move(one));
    return std::optional<Release>();
  }));
  if (open && open->version != version)
    return Error{Code::failed_precondition, urn_of(*open) + " to " + text_of(open->version) +
                                                " is " + std::string(name_of(open->state)) +
                                                "; roll it back, cancel it or let it end first"};
  const Release release =
      open ? *open
           : TRY(create(call, {.route = route, .model = model, .version = version, .plan = plan}));
  if (release.state == State::awaiting_approval)
    return urn_of(release) + " to " + text_of(version) + " waits for the approval of " +
           std::to_string(release.plan.approvals) + " other than " + release.author +
           ": penstock releases approve " + release.id;
  return urn_of(release) + " to " + text_of(version) + " is " +
         std::string(name_of(release.state)) +
         ": it promotes by itself once its guards have proven " + text_of(version) + " safe";
}

Result<void> Service::follow(sql::Tx& tx, const Call& call, const Release& release, State from) {
  const State to = release.state;
  if (to == from || to == State::closed || to == State::cancelled) return {};
  const auto route =
      TRY(resources::declared<RouteDeclaration>(tx, call.project, "route", release.route));
  tracking::Followed followed{.model = release.model,
                              .alias = route.alias,
                              .version = release.version,
                              .stage = stage_of(to)};
  if (to == State::watch) {
    followed.moves_alias = true;
    followed.answers = release.version;
    followed.retired = release.from_version;
  } else if (to == State::rolled_back && from == State::watch) {
    followed.moves_alias = true;
    followed.answers = release.from_version;
    followed.retired = release.version;
  }
  return tracking::follow(tx, call, release.updated_at, followed);
}

Result<void> Service::align(sql::Tx& tx, const Call& call, const RouteDeclaration& route) {
  const std::int64_t live = TRY(live_on(tx, serving_, call, route.name));
  if (live == 0) return {};
  return tracking::follow(tx, call, clock_.now(),
                          {.model = route.model,
                           .alias = route.alias,
                           .version = live,
                           .stage = tracking::Stage::Production,
                           .moves_alias = true,
                           .answers = live});
}

}  // namespace penstock::release
