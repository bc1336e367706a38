#include "serving/experiment.h"

#include <algorithm>

#include "audit/audit.h"
#include "base/log.h"
#include "freezes/service.h"
#include "resources/service.h"
#include "serving/text.h"

namespace penstock::serving {
namespace {

constexpr std::string_view group = "penstock.experiments";
constexpr std::int64_t least_move = 25;  // of 10,000; less is no reason for another table

// The same for the same rewards, so that anybody can draw again.
std::uint64_t seed_for(const std::string& id, const std::vector<ArmTally>& arms) {
  std::string text;
  for (const ArmTally& arm : arms) text += json_text(arm);
  return seed_of(id, text, "best_chances", 1);
}

ArmTally tally_of(const std::optional<ExperimentTally>& experiment, const std::string& model,
                  std::int64_t version) {
  if (experiment)
    for (const ArmTally& arm : experiment->arms)
      if (arm.model == model && arm.version == version) return arm;
  return {.model = model, .version = version};
}

std::string urn_of(const ArmTally& arm) {
  return "model:" + arm.model + "@v" + std::to_string(arm.version);
}

// Arms of one experiment in the middle of a turn.
struct Plan {
  std::vector<StoredTarget> targets;  // of the route, all of them
  std::vector<std::size_t> places;    // of the arms in `targets`
  std::vector<ArmTally> tallies;
  std::vector<std::int64_t> now, next;
  std::vector<double> chances;
};

Plan plan_for(std::vector<StoredTarget> targets, const std::optional<ExperimentTally>& tally) {
  Plan plan{.targets = std::move(targets)};
  for (std::size_t i = 0; i < plan.targets.size(); ++i) {
    const StoredTarget& target = plan.targets[i];
    if (target.arm == Arm::shadow || target.weight == 0) continue;
    plan.places.push_back(i);
    plan.tallies.push_back(tally_of(tally, target.model, target.version));
    plan.now.push_back(target.weight);
  }
  return plan;
}

// Why there is nothing to move, or nothing.
std::string held_by(const Plan& plan, const Experiment& experiment) {
  if (plan.places.size() < 2) return "one version has all the traffic";
  for (const StoredTarget& target : plan.targets)
    if (target.release != plan.targets.front().release)
      return "the route's versions are of several releases";
  for (const ArmTally& arm : plan.tallies)
    if (arm.rewards < experiment.rewards_min)
      return urn_of(arm) + " has " + std::to_string(arm.rewards) + " rewards of " +
             std::to_string(experiment.rewards_min);
  return "";
}

json::object evidence_of(const Plan& plan, const std::string& id, std::uint64_t seed) {
  json::array arms;
  for (std::size_t i = 0; i < plan.places.size(); ++i)
    arms.push_back(json::object{{"tally", encode(plan.tallies[i])},
                                {"best_chance", plan.chances[i]},
                                {"before", plan.now[i]},
                                {"after", plan.next[i]}});
  return {{"experiment", id}, {"seed", std::to_string(seed)}, {"arms", arms}};
}

}  // namespace

Result<std::vector<policies::Finding>> may_adapt(sql::Tx& tx, const Call& call, Timestamp now,
                                                 const std::string& route) {
  auto findings = TRY(policies::check(
      tx, call, now,
      {.action = policies::Action::adapt, .urn = "route:" + route, .route = route, .purpose = ""}));
  const auto why = policies::refusals(findings);
  if (!why.empty())
    return Error{
        Code::failed_precondition,
        "weights of route " + route + " may not move: " + why[0].field + ": " + why[0].problem,
        why};
  const bool allowed = std::any_of(findings.begin(), findings.end(), [](const auto& finding) {
    return finding.severity == policies::Severity::block;
  });
  if (allowed) return findings;
  return Error{Code::failed_precondition,
               "weights of route " + route +
                   " may not move: no policy with severity block and applies_to adapt speaks of "
                   "it, and silence is no; declare one, and then this"};
}

Result<ExperimentState> Experiments::state(const std::string& project, const std::string& id) {
  const auto text = TRY(log_.state(group, route_key(project, id)));
  if (!text) return ExperimentState{};
  return read_json<ExperimentState>(*text);
}

Result<void> Experiments::keep(const std::string& project, const std::string& id,
                               const ExperimentState& state) {
  events::Step step{.group = std::string(group), .topic = std::string(group)};
  step.state.put(route_key(project, id), json_text(state));
  TRY(log_.commit(step, 0, kv::Durability::process));
  return {};
}

Result<ExperimentReport> Experiments::show(const Call& call, const ExperimentName& name) {
  const auto tally = TRY(reports_.experiment(call.project, name.id));
  const auto table = serving_.table().get();
  const LiveRoute* live = nullptr;
  for (const auto& [key, route] : table->routes)
    if (route->project == call.project && route->declaration.experiment &&
        route->declaration.experiment->id == name.id)
      live = route.get();
  if (!tally && !live)
    return Error{Code::not_found, "there is no experiment " + name.id +
                                      "; a route declares it, and calls that are drawn name it"};
  ExperimentReport out{.id = name.id, .route = tally ? tally->route : live->declaration.name};
  std::vector<ArmTally> arms = tally ? tally->arms : std::vector<ArmTally>();
  if (live) {
    out.adaptive = live->declaration.experiment->adaptive;
    for (const LiveTarget& target : live->targets) {
      const Deployment& deployment = *target.deployment;
      const bool known = std::any_of(arms.begin(), arms.end(), [&](const ArmTally& arm) {
        return arm.model == deployment.model && arm.version == deployment.version;
      });
      if (target.arm != Arm::shadow && target.weight > 0 && !known)
        arms.push_back({.model = deployment.model, .version = deployment.version});
    }
    const auto kept = TRY(state(call.project, name.id));
    out.moved_at = kept.moved_at;
    if (out.adaptive) out.held = kept.held;
  }
  const auto chances = best_chances(arms, seed_for(name.id, arms));
  for (std::size_t i = 0; i < arms.size(); ++i) {
    const ArmTally& arm = arms[i];
    ArmView view{.model = arm.model,
                 .version = arm.version,
                 .calls = arm.calls,
                 .errors = arm.errors,
                 .rewards = arm.rewards,
                 .reward = estimate(arm)};
    if (arm.rewards > 0) view.best_chance = chances[i];
    if (live)
      for (const LiveTarget& target : live->targets)
        if (target.deployment->model == arm.model && target.deployment->version == arm.version)
          view.weight = target.weight;
    out.arms.push_back(std::move(view));
  }
  return out;
}

Result<Experiments::Moved> Experiments::move(const Call& call, const std::string& route) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<Moved> {
    const auto declared =
        TRY(resources::declared<RouteDeclaration>(tx, call.project, "route", route));
    if (!declared.experiment || !declared.experiment->adaptive) return Moved{};
    const Experiment& experiment = *declared.experiment;
    Plan plan = plan_for(TRY(serving_.targets(tx, call, route)),
                         TRY(reports_.experiment(call.project, experiment.id)));
    if (std::string held = held_by(plan, experiment); !held.empty())
      return Moved{.held = std::move(held)};
    const Timestamp now = clock_.now();
    const auto frozen = TRY(freezes::in_force(
        tx, call.project, now, {.urn = "route:" + route, .route = route, .model = declared.model}));
    if (!frozen.empty()) return Moved{.held = "held by " + freezes::text_of(frozen.front())};
    auto findings = may_adapt(tx, call, now, route);
    if (!findings) return Moved{.held = findings.error().message};

    const std::uint64_t seed = seed_for(experiment.id, plan.tallies);
    plan.chances = best_chances(plan.tallies, seed);
    plan.next =
        next_weights(plan.now, plan.chances, {weight_total, experiment.floor, experiment.step});
    std::int64_t furthest = 0;
    for (std::size_t i = 0; i < plan.now.size(); ++i)
      furthest = std::max(furthest, std::abs(plan.next[i] - plan.now[i]));
    if (furthest < least_move) return Moved{};

    std::vector<Target> targets;
    for (const StoredTarget& target : plan.targets)
      targets.push_back({target.model, target.version, target.weight, target.arm});
    for (std::size_t i = 0; i < plan.places.size(); ++i)
      targets[plan.places[i]].weight = plan.next[i];
    // Of the same release as before: its salt keeps every caller where it was, as far as it can.
    TRY(serving_.set_targets(tx, call, route, targets, plan.targets.front().release));
    TRY(policies::keep(tx, now, *findings));
    json::object detail = evidence_of(plan, experiment.id, seed);
    detail["policies"] = policies::told(*findings);
    TRY(audit::record(tx, call, now, {"serving.experiment.moved", "route:" + route, detail}));
    return Moved{.moved = true};
  });
}

Result<bool> Experiments::adapt() {
  bool moved = false;
  const auto table = serving_.table().get();
  for (const auto& [key, route] : table->routes) {
    const auto& experiment = route->declaration.experiment;
    if (!experiment || !experiment->adaptive) continue;
    const Timestamp now = clock_.now();
    ExperimentState kept = TRY(state(route->project, experiment->id));
    if (now < kept.looked_at + experiment->pause) continue;
    const Call call{
        .actor = "service:experiments", .tenant = "penstock", .project = route->project};
    const auto done = move(call, route->declaration.name);
    // One that fails must not hold up the others.
    if (!done)
      log::warn("experiment_not_moved",
                {{"experiment", experiment->id}, {"error", done.error().message}});
    kept.looked_at = now;
    kept.held = done ? done->held : done.error().message;
    if (done && done->moved) kept.moved_at = now;
    TRY(keep(route->project, experiment->id, kept));
    if (!done || !done->moved) continue;
    TRY(serving_.publish(call));
    moved = true;
  }
  return moved;
}

}  // namespace penstock::serving
