#include "freezes/service.h"

#include <algorithm>

#include "audit/audit.h"
#include "base/pattern.h"
#include "base/urn.h"
#include "freezes/calendar.h"
#include "incidents/service.h"

namespace penstock::freezes {
namespace {

bool speaks_of(const Freeze& freeze, const Subject& subject) {
  return std::find(freeze.applies_to.begin(), freeze.applies_to.end(), subject.what) !=
             freeze.applies_to.end() &&
         fits(freeze.routes, subject.route) && fits(freeze.models, subject.model);
}

Result<json::object> checked(sql::Tx&, const Call&, const json::object& declaration) {
  Freeze freeze = TRY(decode<Freeze>(declaration));
  if (freeze.applies_to.empty()) freeze.applies_to = {What::release};
  const auto faults = faults_of(freeze);
  if (faults.empty()) return encode(freeze).as_object();
  return Error{Code::invalid_argument, faults.front().field + " " + faults.front().problem, faults};
}

// A freeze in force, or nothing. What cannot be told holds, for a day at a time.
std::optional<InForce> now_in_force(const Freeze& freeze, Timestamp now) {
  InForce out{.freeze = freeze.name, .owner = freeze.owner, .reason = freeze.reason};
  const auto span = span_at(freeze, now);
  if (!span) {
    out.reason += " (" + span.error().message + ")";
    out.until = now + std::chrono::hours(24);
    return out;
  }
  if (!*span || now < (*span)->from) return {};
  out.until = (*span)->until;
  return out;
}

Result<std::vector<Freeze>> declared(sql::Tx& tx, const std::string& project) {
  std::vector<Freeze> out;
  for (const auto& resource : TRY(resources::list(tx, project, "freeze")))
    out.push_back(TRY(decode<Freeze>(resource.declaration)));
  return out;
}

// Until when this freeze does not hold the subject.
Result<std::optional<Timestamp>> overridden_until(sql::Tx& tx, const std::string& project,
                                                  const std::string& subject,
                                                  const std::string& freeze) {
  const auto rows =
      TRY(tx.run("SELECT max(until) FROM freeze_overrides WHERE project = $1 AND subject = $2 AND "
                 "freeze_name = $3",
                 {project, subject, freeze}));
  std::optional<Timestamp> until;
  if (!rows.empty()) sql::from_sql(rows.front().at(0), until);
  return until;
}

}  // namespace

std::string text_of(const InForce& freeze) {
  return "freeze " + freeze.freeze + " until " + to_rfc3339(freeze.until) + ": " + freeze.reason;
}

Result<std::vector<InForce>> in_force(sql::Tx& tx, const std::string& project, Timestamp now,
                                      const Subject& subject) {
  std::vector<InForce> out;
  for (const Freeze& freeze : TRY(declared(tx, project))) {
    if (!speaks_of(freeze, subject)) continue;
    auto one = now_in_force(freeze, now);
    if (!one) continue;
    const auto past = TRY(overridden_until(tx, project, subject.urn, freeze.name));
    if (past && now < *past) continue;
    out.push_back(std::move(*one));
  }
  return out;
}

Result<void> check(sql::Tx& tx, const std::string& project, Timestamp now, const Subject& subject) {
  const auto holding = TRY(in_force(tx, project, now, subject));
  if (holding.empty()) return {};
  Error error{Code::failed_precondition,
              "held by " + text_of(holding.front()) +
                  "; wait, or an operator may let it through: penstock freezes override " +
                  subject.urn + " --reason WHY"};
  for (const InForce& one : holding)
    error.violations.push_back({"freeze", "held by " + text_of(one)});
  return error;
}

resources::KindHandler Service::kind() const { return {.kind = "freeze", .check = checked}; }

Result<FreezeList> Service::list(const Call& call) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<FreezeList> {
    const Timestamp now = clock_.now();
    FreezeList out;
    for (const auto& resource : TRY(resources::list(tx, call.project, "freeze"))) {
      FreezeView view{.freeze = TRY(decode<Freeze>(resource.declaration)),
                      .version = resource.version};
      const auto span = span_at(view.freeze, now);
      if (!span) {
        view.fault = span.error().message;
        view.in_force = true;
      } else if (*span) {
        view.since = (*span)->from;
        view.until = (*span)->until;
        view.in_force = now >= (*span)->from;
      }
      out.freezes.push_back(std::move(view));
    }
    return out;
  });
}

Result<OverrideOutput> Service::override_for(const Call& call, const OverrideInput& input) {
  const auto urn = Urn::parse(input.subject);
  if (!urn || (urn->kind != "release" && urn->kind != "model"))
    return Error{Code::invalid_argument,
                 "\"" + input.subject + "\" is nothing that a freeze holds",
                 {{"subject", "must be release:ID or model:NAME@v4"}}};
  return db_.write(call, [&](sql::Tx& tx) -> Result<OverrideOutput> {
    const Timestamp now = clock_.now();
    OverrideOutput out;
    json::array told;
    std::string names;
    for (const Freeze& freeze : TRY(declared(tx, call.project))) {
      const auto holding = now_in_force(freeze, now);
      if (!holding) continue;
      const Override one{.project = call.project,
                         .subject = input.subject,
                         .freeze_name = freeze.name,
                         .reason = input.reason,
                         .actor = call.actor,
                         .at = now,
                         .until = holding->until};
      TRY(sql::insert(tx, "freeze_overrides", one,
                      "ON CONFLICT (project, subject, freeze_name, until) DO NOTHING"));
      told.push_back(encode(*holding));
      names += (names.empty() ? "" : ", ") + freeze.name;
      out.overrides.push_back(one);
    }
    if (out.overrides.empty())
      return Error{Code::failed_precondition,
                   "no freeze is in force, so there is nothing to override"};
    const json::object detail{{"reason", input.reason}, {"freezes", told}};
    TRY(audit::record(tx, call, now, {"freezes.overridden", input.subject, detail}));
    out.incident = TRY(incidents::open(tx, call, now,
                                       {.dedup_key = "freeze:" + input.subject,
                                        .title = call.actor + " lets " + input.subject +
                                                 " through freeze " + names + ": " + input.reason,
                                        .severity = incidents::Severity::warning,
                                        .subject = input.subject,
                                        .detail = detail}))
                       .id;
    return out;
  });
}

}  // namespace penstock::freezes
