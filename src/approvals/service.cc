#include "approvals/service.h"

#include <algorithm>
#include <set>

#include "approvals/store.h"
#include "audit/audit.h"
#include "base/id.h"
#include "base/urn.h"

namespace penstock::approvals {
namespace {

// A name is the same in any case: BO and bo are not two people.
std::string person_of(const std::string& actor) {
  std::string person;
  for (const char letter : actor)
    if (letter != ' ')
      person += letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
  return person;
}

bool has(const std::vector<std::string>& list, const std::string& one) {
  return std::find(list.begin(), list.end(), one) != list.end();
}

std::string joined(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& one : list) text += (text.empty() ? "" : ", ") + one;
  return text;
}

// Empty where the rule lets this person approve.
std::string why_not(const Rule& rule, const std::string& actor,
                    const std::vector<std::string>& roles) {
  for (const auto& people : rule.people)
    if (std::none_of(people.begin(), people.end(),
                     [&](const std::string& name) { return same_person(name, actor); }))
      return "only " + joined(people) + " may (approval_rule " + joined(rule.names) + ")";
  for (const auto& allowed : rule.roles)
    if (std::none_of(roles.begin(), roles.end(),
                     [&](const std::string& role) { return has(allowed, role); }))
      return "only the roles " + joined(allowed) + " may (approval_rule " + joined(rule.names) +
             ")";
  return "";
}

bool expired(const Approval& approval, const Rule& rule, Timestamp now) {
  return (approval.expires_at && *approval.expires_at <= now) ||
         approval.at + rule.valid_for <= now;
}

// What `given` of them says of the subject as it stands.
Standing weigh(const std::vector<Approval>& given, const Subject& subject, const Rule& rule,
               Timestamp now) {
  Standing out{.needed = std::max(rule.needed, subject.needed)};
  std::int64_t old = 0, other = 0;
  std::set<std::string> people;
  for (const Approval& approval : given) {
    if (approval.scope != subject.scope) continue;
    if (approval.digest != subject.digest) {
      ++other;
    } else if (expired(approval, rule, now)) {
      ++old;
    } else if (!same_person(approval.approver, subject.author) &&
               why_not(rule, approval.approver, approval.roles).empty() &&
               people.insert(approval.person).second) {
      out.approvers.push_back(approval.approver);
      Timestamp until = approval.at + rule.valid_for;
      if (approval.expires_at) until = std::min(until, *approval.expires_at);
      if (!out.until || until < *out.until) out.until = until;
    }
  }
  out.given = static_cast<std::int64_t>(people.size());
  out.granted = out.given >= out.needed;
  if (out.granted) return out;
  out.why = subject.urn + " has " + std::to_string(out.given) + " of " +
            std::to_string(out.needed) + " approvals for " + subject.scope;
  if (old > 0) out.why += "; " + std::to_string(old) + " expired";
  if (other > 0) out.why += "; " + std::to_string(other) + " are of what it was before it changed";
  return out;
}

Result<void> close(sql::Tx& tx, const Call& call, Timestamp now, Request request,
                   RequestState state) {
  request.state = state;
  request.closed_at = now;
  request.closed_by = call.actor;
  return store::close(tx, request);
}

Result<void> end(sql::Tx& tx, const Call& call, Timestamp now, Approval& approval,
                 const std::string& why) {
  approval.ended_at = now;
  approval.ended_by = call.actor;
  approval.ended_why = why;
  TRY(store::end(tx, approval));
  return audit::record(tx, call, now,
                       {"approvals.ended",
                        approval.subject,
                        {{"id", approval.id},
                         {"scope", approval.scope},
                         {"approver", approval.approver},
                         {"digest", approval.digest},
                         {"why", why}}});
}

Result<void> check_person(const Call& call, const Subject& subject, const Rule& rule) {
  if (!call.actor.starts_with("user:"))
    return Error{Code::permission_denied, call.actor +
                                              " is no person, and only a person can "
                                              "approve; use a token of a user:NAME"};
  if (same_person(call.actor, subject.author))
    return Error{Code::permission_denied,
                 call.actor + " made " + subject.urn + ", and its author cannot approve it"};
  const std::string fault = why_not(rule, call.actor, call.roles);
  if (fault.empty()) return {};
  return Error{Code::permission_denied, call.actor + " cannot approve " + subject.urn + " for " +
                                            subject.scope + ": " + fault};
}

Error changed(const Subject& subject, const std::string& since) {
  return Error{Code::failed_precondition,
               subject.urn + " was changed since " + since + "; look at it again",
               {{"digest", "must be " + subject.digest + ", of " + subject.urn + " as it stands"}}};
}

// What was asked for must be what stands, and still asked.
Result<void> check_requests(sql::Tx& tx, const std::string& project, Timestamp now,
                            const Subject& subject) {
  for (const Request& request :
       TRY(store::open_requests(tx, project, subject.urn, subject.scope))) {
    if (request.digest != subject.digest) return changed(subject, "its approval was asked for");
    if (request.expires_at <= now)
      return Error{Code::failed_precondition, "the request for this approval expired at " +
                                                  to_rfc3339(request.expires_at) +
                                                  "; ask for it again"};
  }
  return {};
}

}  // namespace

bool same_person(const std::string& a, const std::string& b) {
  return person_of(a) == person_of(b);
}

Result<Standing> standing(sql::Tx& tx, const std::string& project, const Subject& subject,
                          Timestamp now) {
  const Rule rule = TRY(rule_for(tx, project, subject.urn, subject.scope));
  return weigh(TRY(store::standing(tx, project, subject.urn, subject.scope)), subject, rule, now);
}

Result<std::vector<std::string>> scopes_granted(sql::Tx& tx, const std::string& project,
                                                const Subject& subject, Timestamp now) {
  std::set<std::string> scopes;
  for (const Approval& approval : TRY(store::standing(tx, project, subject.urn, "")))
    scopes.insert(approval.scope);
  std::vector<std::string> granted;
  for (const std::string& scope : scopes) {
    Subject scoped = subject;
    scoped.scope = scope;
    if (TRY(standing(tx, project, scoped, now)).granted) granted.push_back(scope);
  }
  return granted;
}

Result<std::vector<Approval>> approvals_of(sql::Tx& tx, const std::string& project,
                                           const std::string& urn) {
  return store::standing(tx, project, urn, "");
}

Result<Request> ask(sql::Tx& tx, const Call& call, Timestamp now, const Subject& subject,
                    const Ask& ask) {
  for (const Request& before :
       TRY(store::open_requests(tx, call.project, subject.urn, subject.scope))) {
    if (before.digest == subject.digest && before.expires_at > now) return before;
    TRY(close(tx, call, now, before,
              before.digest == subject.digest ? RequestState::expired : RequestState::superseded));
  }
  const Request request{.project = call.project,
                        .id = new_ulid(now),
                        .subject = subject.urn,
                        .digest = subject.digest,
                        .scope = subject.scope,
                        .author = subject.author,
                        .needed = subject.needed,
                        .summary = ask.summary,
                        .detail = ask.detail,
                        .asked_by = call.actor,
                        .asked_of = ask.asked_of,
                        .at = now,
                        .expires_at = now + ask.valid_for};
  TRY(sql::insert(tx, "approval_requests", request));
  TRY(audit::record(tx, call, now,
                    {"approvals.asked",
                     subject.urn,
                     {{"id", request.id},
                      {"scope", subject.scope},
                      {"digest", subject.digest},
                      {"summary", ask.summary},
                      {"asked_of", encode(ask.asked_of)}}}));
  return request;
}

Result<Given> give(sql::Tx& tx, const Call& call, Timestamp now, const Subject& subject,
                   const GiveInput& input) {
  const Rule rule = TRY(rule_for(tx, call.project, subject.urn, subject.scope));
  TRY(check_person(call, subject, rule));
  if (!input.digest.empty() && input.digest != subject.digest)
    return changed(subject, "it was looked at");
  TRY(check_requests(tx, call.project, now, subject));
  auto before = TRY(store::standing(tx, call.project, subject.urn, subject.scope));
  for (Approval& one : before) {
    const bool mine = one.person == person_of(call.actor);
    if (one.digest != subject.digest)
      TRY(end(tx, call, now, one, "it is of what stood before"));
    else if (mine && !expired(one, rule, now))
      return Error{Code::already_exists, call.actor + " approved " + subject.urn + " for " +
                                             subject.scope + " before, at " + to_rfc3339(one.at)};
    else if (mine)
      TRY(end(tx, call, now, one, "it expired, and was given again"));
  }
  const Approval approval{.project = call.project,
                          .id = new_ulid(now),
                          .subject = subject.urn,
                          .digest = subject.digest,
                          .scope = subject.scope,
                          .approver = call.actor,
                          .person = person_of(call.actor),
                          .roles = call.roles,
                          .comment = input.comment,
                          .at = now,
                          .expires_at = now + rule.valid_for};
  TRY(sql::insert(tx, "approvals", approval));
  TRY(audit::record(tx, call, now, {"approvals.given", subject.urn, encode(approval).as_object()}));
  auto stands = TRY(standing(tx, call.project, subject, now));
  Given given{approval, std::move(stands)};
  if (given.standing.granted)
    for (const Request& request :
         TRY(store::open_requests(tx, call.project, subject.urn, subject.scope)))
      TRY(close(tx, call, now, request, RequestState::granted));
  return given;
}

Result<Given> give(sql::Tx& tx, const Call& call, Timestamp now, const Approvable& approvable,
                   const GiveInput& input) {
  const Subject subject = TRY(approvable.current(tx, call, input.subject, input.scope));
  Given given = TRY(give(tx, call, now, subject, input));
  if (approvable.given) TRY(approvable.given(tx, call, subject, given));
  return given;
}

Result<void> end_all(sql::Tx& tx, const Call& call, Timestamp now, const std::string& urn,
                     const std::string& scope, const std::string& why) {
  auto standing = TRY(store::standing(tx, call.project, urn, scope));
  for (Approval& approval : standing) TRY(end(tx, call, now, approval, why));
  for (const Request& request : TRY(store::open_requests(tx, call.project, urn, scope)))
    TRY(close(tx, call, now, request, RequestState::withdrawn));
  return {};
}

Result<Given> Service::give(const Call& call, const GiveInput& input) {
  const std::string kind = input.subject.substr(0, input.subject.find(':'));
  const std::size_t colon = input.scope.find(':');
  auto found = approvables_.end();
  if (colon != std::string::npos)
    found = approvables_.find(kind + "/" + input.scope.substr(0, colon));
  if (found == approvables_.end()) found = approvables_.find(kind);
  if (found == approvables_.end() || !Urn::parse(input.subject))
    return Error{Code::invalid_argument,
                 "\"" + input.subject + "\" is nothing that can be approved",
                 {{"subject", "must be a URN such as model:NAME@v4 or release:ID"}}};
  const Approvable& approvable = found->second;
  Subject subject;
  const Given given = TRY(db_.write(call, [&](sql::Tx& tx) -> Result<Given> {
    subject = TRY(approvable.current(tx, call, input.subject, input.scope));
    Given out = TRY(approvals::give(tx, call, clock_.now(), subject, input));
    if (approvable.given) TRY(approvable.given(tx, call, subject, out));
    return out;
  }));
  if (approvable.committed) TRY(approvable.committed(call, subject));
  return given;
}

Result<Approval> Service::withdraw(const Call& call, const WithdrawInput& input) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<Approval> {
    auto found = TRY(store::find(tx, call.project, input.id));
    if (found.empty() || found[0].ended_at)
      return Error{Code::not_found, "there is no approval " + input.id + " that stands"};
    if (!same_person(found[0].approver, call.actor) && !has(call.roles, "admin"))
      return Error{Code::permission_denied,
                   "only " + found[0].approver + ", who gave it, or an admin can withdraw it"};
    TRY(end(tx, call, clock_.now(), found[0], input.reason));
    return found[0];
  });
}

Result<WaitingList> Service::list(const Call& call, const ListInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<WaitingList> {
    const Timestamp now = clock_.now();
    WaitingList out;
    for (Request& request :
         TRY(store::requests(tx, call.project, input.subject, input.closed, input.limit))) {
      const Subject subject{request.subject, request.digest, request.scope, request.author,
                            request.needed};
      const Rule rule = TRY(rule_for(tx, call.project, request.subject, request.scope));
      const auto given = TRY(store::standing(tx, call.project, request.subject, request.scope));
      Waiting waiting{.standing = weigh(given, subject, rule, now)};
      if (request.state == RequestState::open && request.expires_at <= now)
        request.state = RequestState::expired;
      waiting.waits_for_me =
          request.state == RequestState::open && check_person(call, subject, rule) &&
          (request.asked_of.empty() || has(request.asked_of, call.actor)) &&
          std::none_of(given.begin(), given.end(), [&](const Approval& approval) {
            return approval.digest == subject.digest && !expired(approval, rule, now) &&
                   same_person(approval.approver, call.actor);
          });
      waiting.request = std::move(request);
      if (input.mine && !waiting.waits_for_me) continue;
      if (!input.closed && waiting.request.state != RequestState::open) continue;
      out.requests.push_back(std::move(waiting));
    }
    return out;
  });
}

Result<History> Service::show(const Call& call, const ShowInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<History> {
    auto approvals = TRY(store::all(tx, call.project, input.subject));
    auto requests = TRY(store::requests(tx, call.project, input.subject, true, 1'000));
    return History{std::move(approvals), std::move(requests)};
  });
}

}  // namespace penstock::approvals
