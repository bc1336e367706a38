#include "policies/service.h"

#include <algorithm>

#include "audit/audit.h"
#include "base/id.h"
#include "base/pattern.h"
#include "base/urn.h"
#include "base/yaml.h"
#include "policies/select.h"
#include "policies/store.h"

namespace penstock::policies {
namespace {

constexpr std::size_t shown_max = 20, told_max = 3;
constexpr std::int64_t rows_max = 101;

bool applies(const Policy& policy, const Subject& subject) {
  if (std::find(policy.applies_to.begin(), policy.applies_to.end(), subject.action) ==
      policy.applies_to.end())
    return false;
  const auto urn = Urn::parse(subject.urn);
  if (!policy.models.empty() && (!urn || urn->kind != "model" || !fits(policy.models, urn->name)))
    return false;
  return fits(policy.routes, subject.route);
}

Result<sql::Answer> run(sql::Tx& tx, const Call& call, Timestamp now, const Policy& policy,
                        const Subject& subject) {
  const auto read = TRY(views_read(policy.sql, view_names()));
  const std::string views = with_views(read);
  return tx.ask(views + (views.empty() ? "" : "\n") + "SELECT * FROM (\n" +
                    without_end(policy.sql) + "\n) AS violations LIMIT " + std::to_string(rows_max),
                view_parameters(call.project, call.actor, now, subject), policy.time_limit);
}

std::vector<json::object> objects_of(const sql::Answer& answer) {
  std::vector<json::object> out;
  for (std::size_t row = 0; row < answer.rows.size() && row < shown_max; ++row) {
    json::object& one = out.emplace_back();
    for (std::size_t column = 0; column < answer.columns.size(); ++column)
      one[answer.columns[column]] = to_json(answer.rows[row].at(column));
  }
  return out;
}

// The policy's own words, then those of its rows.
std::string message_of(const Policy& policy, const std::vector<json::object>& rows,
                       std::int64_t all) {
  std::string more;
  for (std::size_t i = 0; i < rows.size() && i < told_max; ++i)
    if (const json::value* said = rows[i].if_contains("message"); said && said->is_string())
      more += (more.empty() ? ": " : "; ") + std::string(said->get_string());
  if (!more.empty() && all > static_cast<std::int64_t>(told_max))
    more += "; and " + std::string(all == rows_max ? "more than " : "") +
            std::to_string(all - static_cast<std::int64_t>(told_max) - (all == rows_max ? 1 : 0)) +
            " more";
  return policy.message + more;
}

// A declaration that cannot be read is a policy that cannot be run.
Finding ask(sql::Tx& tx, const Call& call, Timestamp now, const resources::Resource& declared,
            const Result<Policy>& policy, const Subject& subject) {
  Finding finding{.project = call.project,
                  .policy = declared.name,
                  .policy_version = declared.version,
                  .policy_digest = declared.digest,
                  .action = subject.action,
                  .subject = subject.urn,
                  .route = subject.route,
                  .purpose = subject.purpose,
                  .actor = call.actor,
                  .at = now};
  const auto answer =
      policy ? run(tx, call, now, *policy, subject) : Result<sql::Answer>(policy.error());
  if (policy) finding.severity = policy->severity;
  if (!answer) {
    finding.outcome = Outcome::failed;
    finding.allowed = false;
    finding.message = "could not be run, so it blocks: " + answer.error().message;
    return finding;
  }
  if (answer->rows.empty()) return finding;
  finding.outcome = Outcome::violated;
  finding.allowed = policy->severity == Severity::warn;
  finding.violations = static_cast<std::int64_t>(answer->rows.size());
  finding.shown = objects_of(*answer);
  finding.message = message_of(*policy, finding.shown, finding.violations);
  return finding;
}

Error refuse(const std::string& problem) {
  return {Code::invalid_argument, "sql " + problem, {{"sql", problem}}};
}

Result<void> check_policy(sql::Tx& tx, const Call& call, const Policy& policy, Timestamp now) {
  if (policy.time_limit <= Micros(0) || policy.time_limit > time_limit_max)
    return Error{Code::invalid_argument,
                 "time_limit must be more than nothing and at most 30s",
                 {{"time_limit", "must be more than nothing and at most 30s"}}};
  for (const Action action : policy.applies_to) {
    const bool reads = action == Action::read, adapts = action == Action::adapt;
    const Subject subject{.action = action,
                          .urn = reads    ? "source:none@1"
                                 : adapts ? "route:none"
                                          : "model:none@v1",
                          .route = adapts || action == Action::release ? "none" : "",
                          .purpose = reads ? "dataset:none" : ""};
    const auto answer = run(tx, call, now, policy, subject);
    if (answer) continue;
    if (!answer.error().violations.empty()) return answer.error();
    if (answer.error().code == Code::unavailable) return answer.error();
    return refuse("cannot be run: " + answer.error().message);
  }
  return {};
}

}  // namespace

Result<std::vector<Finding>> check(sql::Tx& tx, const Call& call, Timestamp now,
                                   const Subject& subject) {
  std::vector<Finding> findings;
  for (const auto& declared : TRY(resources::list(tx, call.project, "policy"))) {
    const auto policy = decode<Policy>(declared.declaration);
    if (policy && !applies(*policy, subject)) continue;
    findings.push_back(ask(tx, call, now, declared, policy, subject));
  }
  return findings;
}

std::vector<Violation> refusals(const std::vector<Finding>& findings) {
  std::vector<Violation> why;
  for (const Finding& finding : findings)
    if (!finding.allowed) why.push_back({"policy " + finding.policy, finding.message});
  return why;
}

Result<void> keep(sql::Tx& tx, Timestamp now, std::vector<Finding>& findings) {
  if (findings.empty()) return {};
  const std::string decision = new_ulid(now);
  for (Finding& finding : findings) {
    finding.decision = decision;
    TRY(sql::insert(tx, "policy_results", finding));
  }
  return {};
}

namespace {

Error refused(const Subject& subject, const std::vector<Violation>& why) {
  return {Code::failed_precondition,
          "to " + std::string(name_of(subject.action)) + " " + subject.urn + " is refused by " +
              why[0].field + ": " + why[0].problem +
              (why.size() > 1 ? " (and by " + std::to_string(why.size() - 1) + " more)" : ""),
          why};
}

Result<void> note(sql::Tx& tx, const Call& call, Timestamp now, const Subject& subject,
                  const std::vector<Finding>& findings) {
  if (findings.empty()) return {};
  json::object detail{{"action", name_of(subject.action)}, {"policies", told(findings)}};
  if (!subject.route.empty()) detail["route"] = subject.route;
  if (!subject.purpose.empty()) detail["purpose"] = subject.purpose;
  return audit::record(tx, call, now, {"policies.asked", subject.urn, detail});
}

}  // namespace

Result<std::vector<Finding>> enforce(sql::Tx& tx, const Call& call, Timestamp now,
                                     const Subject& subject) {
  auto findings = TRY(check(tx, call, now, subject));
  const auto why = refusals(findings);
  if (!why.empty()) return refused(subject, why);
  TRY(keep(tx, now, findings));
  return findings;
}

Result<void> enforce_and_note(sql::Tx& tx, const Call& call, Timestamp now,
                              const Subject& subject) {
  return note(tx, call, now, subject, TRY(enforce(tx, call, now, subject)));
}

Result<void> enforce_reads(sql::Database& db, const Call& call, Timestamp now,
                           const std::vector<std::string>& urns, const std::string& purpose) {
  const bool asked = TRY(db.read(call, [&](sql::Tx& tx) -> Result<bool> {
    for (const auto& declared : TRY(resources::list(tx, call.project, "policy"))) {
      const auto policy = decode<Policy>(declared.declaration);
      if (!policy || std::count(policy->applies_to.begin(), policy->applies_to.end(), Action::read))
        return true;
    }
    return false;
  }));
  if (!asked) return {};
  std::optional<Error> first;
  TRY(db.write(call, [&](sql::Tx& tx) -> Result<void> {
    first.reset();
    for (const std::string& urn : urns) {
      const Subject subject{.action = Action::read, .urn = urn, .purpose = purpose};
      auto findings = TRY(check(tx, call, now, subject));
      const auto why = refusals(findings);
      if (!why.empty() && !first) first = refused(subject, why);
      TRY(keep(tx, now, findings));
      TRY(note(tx, call, now, subject, findings));
    }
    return {};
  }));
  if (first) return *first;
  return {};
}

json::array told(const std::vector<Finding>& findings) {
  json::array out;
  for (const Finding& finding : findings)
    out.push_back(json::object{{"policy", finding.policy},
                               {"version", finding.policy_version},
                               {"digest", finding.policy_digest},
                               {"outcome", name_of(finding.outcome)}});
  return out;
}

Result<std::vector<Finding>> results_of(sql::Tx& tx, const std::string& project,
                                        const std::string& subject) {
  return store::results(tx, project, subject, "", 1'000);
}

resources::KindHandler Service::kind() const {
  return {.kind = "policy",
          .check = [this](sql::Tx& tx, const Call& call,
                          const json::object& declaration) -> Result<json::object> {
            const Policy policy = TRY(decode<Policy>(declaration));
            TRY(check_policy(tx, call, policy, clock_.now()));
            return encode(policy).as_object();
          }};
}

Result<PolicyList> Service::list(const Call& call) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<PolicyList> {
    PolicyList out;
    for (const auto& declared : TRY(resources::list(tx, call.project, "policy"))) {
      // One of an older program, which blocks until it is written anew, is shown as far as it goes.
      auto policy = decode<Policy>(declared.declaration);
      if (!policy)
        policy = Policy{.name = declared.name,
                        .owner = declared.owner,
                        .message = "cannot be read: " + policy.error().message};
      out.policies.push_back({std::move(policy).take(), declared.version, declared.digest,
                              declared.applied_at, declared.applied_by});
    }
    return out;
  });
}

Result<Installed> Service::install(const Call& call, const InstallInput& input) {
  Installed out;
  resources::ApplyInput apply;
  const auto declared = TRY(list(call));
  for (const yaml::Document& document : TRY(yaml::parse(default_policies()))) {
    const json::object& one = document.value.as_object();
    const std::string name(one.at("name").as_string());
    const bool known =
        std::any_of(declared.policies.begin(), declared.policies.end(),
                    [&](const PolicyView& view) { return view.policy.name == name; });
    if (known && !input.replace)
      out.kept.push_back(name);
    else
      apply.documents.push_back({.declaration = one});
  }
  if (!apply.documents.empty()) out.changes = TRY(resources_.apply(call, apply)).changes;
  return out;
}

Result<CheckOutput> Service::check(const Call& call, const CheckInput& input) {
  if (!Urn::parse(input.subject))
    return Error{Code::invalid_argument,
                 "\"" + input.subject + "\" is no URN",
                 {{"subject", "must be kind:name@version, such as model:NAME@v4"}}};
  return db_.read(call, [&](sql::Tx& tx) -> Result<CheckOutput> {
    CheckOutput out{
        .findings = TRY(policies::check(
            tx, call, clock_.now(), {input.action, input.subject, input.route, input.purpose}))};
    out.allowed = std::all_of(out.findings.begin(), out.findings.end(),
                              [](const Finding& finding) { return finding.allowed; });
    return out;
  });
}

Result<ResultList> Service::results(const Call& call, const ResultsInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<ResultList> {
    return ResultList{
        TRY(store::results(tx, call.project, input.subject, input.policy, input.limit))};
  });
}

}  // namespace penstock::policies
