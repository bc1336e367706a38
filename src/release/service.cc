#include "release/service.h"

#include <algorithm>
#include <set>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "catalog/lineage.h"
#include "catalog/service.h"
#include "freezes/service.h"
#include "incidents/service.h"
#include "policies/service.h"
#include "registry/service.h"
#include "release/evidence.h"
#include "release/guards.h"
#include "release/store.h"

namespace penstock::release {
namespace {

constexpr std::string_view release_scope = "release";

std::string urn_of(const Release& release) { return "release:" + release.id; }

approvals::Subject subject_of(const Release& release) {
  return {.urn = urn_of(release),
          .digest = release.plan_digest,
          .scope = std::string(release_scope),
          .author = release.author,
          .needed = release.plan.approvals};
}

freezes::Subject subject_of(const Release& release, freezes::What what) {
  return {.what = what, .urn = urn_of(release), .route = release.route, .model = release.model};
}

Result<Release> must_find(sql::Tx& tx, const Call& call, const std::string& id) {
  auto found = TRY(store::find(tx, call.project, id));
  if (!found.empty()) return std::move(found.front());
  return Error{Code::not_found, "there is no release " + id + " in project " + call.project};
}

// A canary that nothing required watches would be promoted by the clock alone.
Result<void> check_guarded(const Plan& plan) {
  const bool required = std::any_of(plan.guards.begin(), plan.guards.end(),
                                    [](const Guard& guard) { return guard.required; });
  if (!plan.canary.empty() && required) return {};
  return Error{
      Code::invalid_argument,
      "a release over a live version needs a canary and a guard that is required",
      {{"plan.canary", "must have a stage"}, {"plan.guards", "must have one with required: true"}}};
}

std::string digest_of(const Release& release, const std::string& record_digest) {
  return sha256_hex(canonical(json::object{{"route", release.route},
                                           {"model", release.model},
                                           {"version", release.version},
                                           {"record", record_digest},
                                           {"plan", encode(release.plan)}}));
}

registry::Status status_of(State state) {
  switch (state) {
    case State::shadow: return registry::Status::shadow;
    case State::canary:
    case State::bake: return registry::Status::canary;
    case State::watch:
    case State::closed: return registry::Status::live;
    case State::rolled_back: return registry::Status::rolled_back;
    case State::awaiting_approval:
    case State::cancelled: return registry::Status::approved;
  }
  return registry::Status::registered;
}

}  // namespace

Result<void> check_plan(const Plan& plan) {
  std::vector<Violation> faults;
  const auto share = [&](const char* field, double value) {
    if (!(value > 0 && value < 1)) faults.push_back({field, "must be between 0 and 1"});
  };
  share("plan.alpha", plan.alpha);
  share("plan.beta", plan.beta);
  share("plan.slow_quantile", plan.slow_quantile);
  for (std::size_t i = 0; i < plan.canary.size(); ++i)
    if (plan.canary[i] < 1 || plan.canary[i] > 9'999 ||
        (i > 0 && plan.canary[i] <= plan.canary[i - 1]))
      faults.push_back({"plan.canary[" + std::to_string(i) + "]",
                        "must be a weight from 1 to 9999, greater than the one before"});
  std::set<std::string> names;
  for (std::size_t i = 0; i < plan.guards.size(); ++i) {
    const std::string path = "plan.guards[" + std::to_string(i) + "]";
    if (!names.insert(plan.guards[i].name).second)
      faults.push_back({path + ".name", "stands twice"});
    const std::string fault = fault_of(rate_plan(plan, plan.guards[i]));
    if (!fault.empty()) faults.push_back({path, fault});
  }
  if (faults.empty()) return {};
  return Error{Code::invalid_argument, faults[0].field + " " + faults[0].problem, faults};
}

RatePlan rate_plan(const Plan& plan, const Guard& guard) {
  return {.null_ratio = guard.null_ratio,
          .safe_ratio = guard.safe_ratio,
          .alpha = plan.alpha / static_cast<double>(std::max<std::size_t>(plan.guards.size(), 1)),
          .beta = plan.beta};
}

Result<std::vector<policies::Finding>> Service::check_releasable(sql::Tx& tx, const Call& call,
                                                                 const Release& release) {
  const auto version = TRY(registry::version(tx, call.project, release.model, release.version));
  const auto blockers = TRY(registry::blockers(tx, version));
  std::vector<Violation> why;
  for (const std::string& blocker : blockers) why.push_back({"version", blocker});
  if (TRY(approvals::scopes_granted(tx, call.project, registry::subject_of(version, ""),
                                    clock_.now()))
          .empty())
    why.push_back({"version", "is not approved as it stands; penstock models approve " +
                                  version.model + "@v" + std::to_string(version.version)});
  auto findings = TRY(policies::check(
      tx, call, clock_.now(),
      {.action = policies::Action::release, .urn = version.urn(), .route = release.route}));
  for (Violation& refusal : policies::refusals(findings)) why.push_back(std::move(refusal));
  if (!why.empty())
    return Error{Code::failed_precondition,
                 version.urn() + " cannot be released: " + why[0].field + " " + why[0].problem,
                 why};
  TRY(policies::keep(tx, clock_.now(), findings));
  return findings;
}

Result<Release> Service::create(const Call& call, const CreateInput& input) {
  TRY(check_plan(input.plan));
  return db_.write(call, [&](sql::Tx& tx) -> Result<Release> {
    const Timestamp now = clock_.now();
    const auto route =
        TRY(resources::declared<serving::RouteDeclaration>(tx, call.project, "route", input.route));
    if (route.model != input.model)
      return Error{Code::invalid_argument,
                   "route " + input.route + " serves model " + route.model + ", not " + input.model,
                   {{"model", "must be " + route.model}}};
    Release release{.project = call.project,
                    .id = new_ulid(now),
                    .route = input.route,
                    .model = input.model,
                    .version = input.version,
                    .plan = input.plan,
                    .author = call.actor,
                    .created_at = now,
                    .updated_at = now};
    for (const serving::StoredTarget& target : TRY(serving_.targets(tx, call, input.route)))
      if (target.arm == serving::Arm::live) {
        release.from_version = target.version;
        release.from_release = target.release;
      }
    if (release.from_version == release.version)
      return Error{Code::failed_precondition,
                   "route " + input.route + " serves that version already"};
    if (release.from_version != 0) TRY(check_guarded(release.plan));
    const auto policies = TRY(check_releasable(tx, call, release));
    const auto version = TRY(registry::version(tx, call.project, input.model, input.version));
    release.plan_digest = digest_of(release, version.digest);
    const auto made = sql::insert(tx, "releases", release);
    if (!made && made.error().code == Code::already_exists)
      return Error{
          Code::already_exists,
          "route " + input.route + " has an open release; finish, roll back or cancel it first"};
    TRY(made);
    json::object shares;
    for (const Guard& guard : release.plan.guards)
      shares[guard.name] = rate_plan(release.plan, guard).alpha;
    TRY(audit::record(tx, call, now,
                      {"release.created",
                       urn_of(release),
                       {{"plan", encode(release.plan)},
                        {"plan_digest", release.plan_digest},
                        {"version", version.urn()},
                        {"alpha_by_guard", shares},
                        {"policies", policies::told(policies)},
                        {"baseline", release.from_version}}}));
    TRY(catalog::add_edge(tx, call, now, urn_of(release), version.urn(), "releases"));
    TRY(approvals::ask(tx, call, now, subject_of(release),
                       {.summary = version.urn() + " to route:" + release.route,
                        .detail = {{"plan", encode(release.plan)}}}));
    return release;
  });
}

approvals::Approvable Service::approvable() {
  return {
      .current = [](sql::Tx& tx, const Call& call, const std::string& urn,
                    const std::string& scope) -> Result<approvals::Subject> {
        const Release release = TRY(must_find(tx, call, urn.substr(urn.find(':') + 1)));
        if (scope != release_scope)
          return Error{Code::invalid_argument,
                       "a release is approved for one scope",
                       {{"scope", "must be " + std::string(release_scope)}}};
        if (release.state != State::awaiting_approval)
          return Error{Code::failed_precondition, urn_of(release) + " is " +
                                                      std::string(name_of(release.state)) +
                                                      " and waits for no approval"};
        const auto version =
            TRY(registry::version(tx, call.project, release.model, release.version));
        if (digest_of(release, version.digest) != release.plan_digest)
          return Error{
              Code::failed_precondition,
              "the plan or the version was changed since the release was made; make a new one"};
        return subject_of(release);
      },
      .given = [this](sql::Tx& tx, const Call& call, const approvals::Subject& subject,
                      const approvals::Given& given) -> Result<void> {
        TRY(catalog::add_edge(tx, call, given.approval.at, subject.urn, call.actor, "approved_by"));
        Release release = TRY(must_find(tx, call, subject.urn.substr(subject.urn.find(':') + 1)));
        TRY(freezes::check(tx, call.project, given.approval.at,
                           subject_of(release, freezes::What::approve)));
        TRY(policies::enforce_and_note(
            tx, call, given.approval.at,
            {.action = policies::Action::approve, .urn = subject.urn, .route = release.route}));
        if (!given.standing.granted) return {};
        return start(tx, call, release);
      },
      .committed = [this](const Call& call, const approvals::Subject& subject) -> Result<void> {
        const std::string id = subject.urn.substr(subject.urn.find(':') + 1);
        const Release release =
            TRY(db_.read(call, [&](sql::Tx& tx) { return must_find(tx, call, id); }));
        return serving_.publish(call, release.route);
      }};
}

Result<Release> Service::approve(const Call& call, const ActInput& input) {
  const Release approved = TRY(db_.write(call, [&](sql::Tx& tx) -> Result<Release> {
    TRY(approvals::give(tx, call, clock_.now(), approvable(),
                        {.subject = "release:" + input.id,
                         .scope = std::string(release_scope),
                         .comment = input.reason}));
    return must_find(tx, call, input.id);
  }));
  if (has_traffic(approved.state)) TRY(serving_.publish(call, approved.route));
  return approved;
}

// The first version of a route has nothing to be compared with: the approval alone carries it.
Result<void> Service::start(sql::Tx& tx, const Call& call, Release& release) {
  TRY(freezes::check(tx, call.project, clock_.now(), subject_of(release, freezes::What::release)));
  const auto policies = TRY(check_releasable(tx, call, release));
  if (!policies.empty())
    TRY(audit::record(tx, call, clock_.now(),
                      {"policies.asked",
                       urn_of(release),
                       {{"action", "release"}, {"policies", policies::told(policies)}}}));
  for (const Guard& guard : release.plan.guards) {
    const RateTest test(rate_plan(release.plan, guard));
    TRY(store::put_guard(tx, {.project = release.project,
                              .release = release.id,
                              .guard = guard.name,
                              .alpha = test.state().plan.alpha,
                              .verdict = text_of(test.verdict()),
                              .state = to_text(test.state())}));
  }
  if (release.from_version == 0)
    return move(tx, call, release, State::watch, "the first version: there is no baseline");
  if (release.plan.shadow.calls > 0) return move(tx, call, release, State::shadow, "approved");
  return move(tx, call, release, State::canary, "approved");
}

std::vector<serving::Target> Service::targets_of(const Release& release) const {
  using serving::Arm, serving::Target;
  const Target fresh{release.model, release.version, serving::weight_total, Arm::live};
  const Target old{release.model, release.from_version, serving::weight_total, Arm::live};
  if (release.state == State::watch || release.state == State::closed) return {fresh};
  // A route's first release: nothing served before it, nothing does once it is taken back.
  if (release.from_version == 0) return {};
  if (release.state == State::shadow)
    return {old, {release.model, release.version, 0, Arm::shadow}};
  if (release.state != State::canary && release.state != State::bake) return {old};
  const std::int64_t weight = release.plan.canary.at(static_cast<std::size_t>(release.stage));
  return {{release.model, release.from_version, serving::weight_total - weight, Arm::live},
          {release.model, release.version, weight, Arm::canary}};
}

Result<void> Service::move(sql::Tx& tx, const Call& call, Release& release, State to,
                           const std::string& reason) {
  if (!may_move(release.state, to))
    return Error{Code::failed_precondition, urn_of(release) + " is " +
                                                std::string(name_of(release.state)) +
                                                " and cannot become " + std::string(name_of(to))};
  const State from = release.state;
  release.state = to;
  release.stage_calls = 0;
  release.reason = reason;
  release.updated_at = clock_.now();
  const bool serves = has_traffic(from) || has_traffic(to);
  if (serves)
    TRY(serving_.set_targets(tx, call, release.route, targets_of(release),
                             to == State::rolled_back ? release.from_release : release.id));
  const auto version = TRY(registry::version(tx, call.project, release.model, release.version));
  if (version.status != status_of(to))
    TRY(registry::set_status(tx, call, release.updated_at, version, status_of(to)));
  if (to == State::watch && release.from_version != 0) {
    const auto old = TRY(registry::version(tx, call.project, release.model, release.from_version));
    TRY(registry::set_status(tx, call, release.updated_at, old, registry::Status::retired));
  }
  if (to == State::rolled_back && from == State::watch && release.from_version != 0) {
    const auto old = TRY(registry::version(tx, call.project, release.model, release.from_version));
    TRY(registry::set_status(tx, call, release.updated_at, old, registry::Status::live));
  }
  TRY(follow(tx, call, release, from));
  TRY(store::put(tx, release));
  json::array guards;
  for (const Look& look : TRY(store::last_looks(tx, release.project, release.id)))
    guards.push_back(encode(look));
  return audit::record(tx, call, release.updated_at,
                       {"release." + std::string(name_of(to)),
                        urn_of(release),
                        {{"from", name_of(from)},
                         {"stage", release.stage},
                         {"reason", reason},
                         {"guards", guards}}});
}

Result<bool> Service::held(sql::Tx& tx, const Call& call, Release& release) {
  const auto freezes = TRY(freezes::in_force(tx, release.project, clock_.now(),
                                             subject_of(release, freezes::What::release)));
  if (freezes.empty()) return false;
  const std::string said = "held by freeze " + freezes.front().freeze + " ";
  if (release.reason.starts_with(said)) return true;
  release.reason = "held by " + freezes::text_of(freezes.front());
  TRY(audit::record(tx, call, clock_.now(),
                    {"release.held",
                     urn_of(release),
                     {{"state", name_of(release.state)}, {"freezes", encode(freezes)}}}));
  return true;
}

Result<void> Service::advance_stage(sql::Tx& tx, const Call& call, Release& release) {
  ++release.stage;
  return move(tx, call, release, State::canary, "every required guard is proven safe");
}

Result<void> Service::roll_back(sql::Tx& tx, const Call& call, Release& release,
                                const std::string& reason, const json::object& evidence) {
  TRY(move(tx, call, release, State::rolled_back, reason));
  const auto version = TRY(registry::version(tx, call.project, release.model, release.version));
  std::vector<std::string> suspects;
  Timestamp since = version.created_at;
  if (release.from_version != 0)
    since =
        TRY(registry::version(tx, call.project, release.model, release.from_version)).created_at;
  for (const catalog::SourceChange& change :
       TRY(catalog::changes_upstream(tx, call, version.urn(), since)))
    suspects.push_back("source:" + change.source + "@" + std::to_string(change.version) + " " +
                       change.what + ", applied " + to_rfc3339(change.at) + " by " + change.actor);
  TRY(incidents::open(
      tx, call, clock_.now(),
      {.dedup_key = "release:" + release.id,
       .title = version.urn() + " was rolled back from " + release.route + ": " + reason,
       .severity = incidents::Severity::critical,
       .subject = version.urn(),
       .owner = version.record.owner.value_or(""),
       .suspects = suspects,
       .detail = evidence}));
  return {};
}

Result<Release> Service::roll_back(const Call& call, const ActInput& input) {
  Release release = TRY(db_.write(call, [&](sql::Tx& tx) -> Result<Release> {
    Release found = TRY(must_find(tx, call, input.id));
    TRY(roll_back(tx, call, found, "by " + call.actor + ": " + input.reason, {}));
    return found;
  }));
  TRY(serving_.publish(call, release.route));
  return release;
}

Result<Release> Service::cancel(const Call& call, const ActInput& input) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<Release> {
    Release release = TRY(must_find(tx, call, input.id));
    TRY(move(tx, call, release, State::cancelled, "by " + call.actor + ": " + input.reason));
    TRY(approvals::end_all(tx, call, release.updated_at, urn_of(release), "", "it was cancelled"));
    return release;
  });
}

Result<ReleaseList> Service::list(const Call& call, const ListInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<ReleaseList> {
    return ReleaseList{TRY(store::list(tx, call.project, input.limit))};
  });
}

Result<ReleaseDetail> Service::get(const Call& call, const ReleaseName& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<ReleaseDetail> {
    ReleaseDetail detail{.release = TRY(must_find(tx, call, name.id))};
    detail.approvals = TRY(approvals::approvals_of(tx, call.project, urn_of(detail.release)));
    detail.guards = TRY(store::guards(tx, call.project, name.id));
    detail.last_looks = TRY(store::last_looks(tx, call.project, name.id));
    const Plan& plan = detail.release.plan;
    if (plan.calls_per_second > 0 && !plan.canary.empty())
      for (const Guard& guard : plan.guards) {
        const Detectable reach = detectable(
            rate_plan(plan, guard), {.calls_per_second = plan.calls_per_second,
                                     .bad_rate = plan.bad_rate,
                                     .rho = static_cast<double>(plan.canary.front()) / 10'000,
                                     .seconds = 3'600});
        detail.reach.push_back({guard.name, reach.ratio, reach.bad_events, reach.calls});
      }
    return detail;
  });
}

Result<LookList> Service::looks(const Call& call, const ReleaseName& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<LookList> {
    TRY(must_find(tx, call, name.id));
    return LookList{TRY(store::looks(tx, call.project, name.id))};
  });
}

Result<Replayed> Service::replay(const Call& call, const ReleaseName& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<Replayed> {
    const Release release = TRY(must_find(tx, call, name.id));
    const auto looks = TRY(store::looks(tx, call.project, name.id));
    Replayed out;
    for (const Guard& guard : release.plan.guards) {
      RateTest test(rate_plan(release.plan, guard));
      for (const Look& look : looks) {
        if (look.guard != guard.name) continue;
        ++out.looks;
        const Verdict verdict = test.add({.rho = look.rho,
                                          .canary_calls = look.canary_calls,
                                          .baseline_calls = look.baseline_calls,
                                          .canary_bad = look.canary_bad,
                                          .baseline_bad = look.baseline_bad});
        if (out.same && (text_of(verdict) != look.verdict || test.harm_log_e() != look.harm_log_e))
          out.fault =
              guard.name + " look " + std::to_string(look.number) + " gives another verdict";
        out.same = out.fault.empty();
      }
      for (const GuardState& kept : TRY(store::guards(tx, call.project, name.id)))
        if (kept.guard == guard.name && out.same && kept.state != to_text(test.state()))
          out.fault = guard.name + " ends in another state";
      out.same = out.fault.empty();
    }
    return out;
  });
}

Result<json::object> Service::describe(sql::Tx& tx, const Call& call, const Urn& urn) {
  const auto found = TRY(store::find(tx, call.project, urn.name));
  if (found.empty()) return json::object{};
  json::array approvers;
  for (const auto& approval : TRY(approvals::approvals_of(tx, call.project, urn_of(found.front()))))
    approvers.push_back(json::value(approval.approver));
  return json::object{
      {"owner", found.front().author},
      {"summary", std::string(name_of(found.front().state)) + " on " + found.front().route + ", " +
                      found.front().reason},
      {"approved_by", approvers},
      {"releases", "model:" + found.front().model + "@v" + std::to_string(found.front().version)},
      {"from_release", found.front().from_release},
      {"plan_digest", found.front().plan_digest}};
}

}  // namespace penstock::release
