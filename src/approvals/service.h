#pragma once

#include <functional>
#include <map>

#include "approvals/approval.h"
#include "base/call.h"
#include "ports/sql.h"
#include "resources/service.h"

namespace penstock::approvals {

// ---- For components, inside their own transactions --------------------------------------------

// The strictest of what is declared for this subject and scope; one person within 90 days where
// nothing is.
Result<Rule> rule_for(sql::Tx& tx, const std::string& project, const std::string& urn,
                      const std::string& scope);

// Whether `subject` is approved as it stands: enough people, none of them its author, of this
// digest, and none too long ago.
Result<Standing> standing(sql::Tx& tx, const std::string& project, const Subject& subject,
                          Timestamp now);
// The scopes for which it is; `subject.scope` is not looked at.
Result<std::vector<std::string>> scopes_granted(sql::Tx& tx, const std::string& project,
                                                const Subject& subject, Timestamp now);
// Those of a subject that did not end, also the expired, by time.
Result<std::vector<Approval>> approvals_of(sql::Tx& tx, const std::string& project,
                                           const std::string& urn);

struct Ask {
  std::string summary;
  json::object detail = {};
  std::vector<std::string> asked_of = {};
  Micros valid_for = std::chrono::hours(24 * 30);
};
// Makes the request that `penstock approvals list` shows. An open one for the same subject and
// scope stays if its digest is the same, and is superseded if not.
Result<Request> ask(sql::Tx& tx, const Call& call, Timestamp now, const Subject& subject,
                    const Ask& ask);

struct GiveInput {
  std::string subject, scope, comment;
  std::string digest;  // of what the approver looked at; empty: of whatever stands
};
BOOST_DESCRIBE_STRUCT(GiveInput, (), (subject, scope, comment, digest))
constexpr auto rules_of(const GiveInput&) {
  return std::array{penstock::Rule{.field = "subject", .min = 3, .max = 500},
                    penstock::Rule{.field = "scope", .min = 1, .max = 200},
                    penstock::Rule{.field = "comment", .max = 10'000, .may_miss = true},
                    penstock::Rule{.field = "digest", .max = 64, .may_miss = true}};
}
struct Given {
  Approval approval;
  Standing standing;
};
BOOST_DESCRIBE_STRUCT(Given, (), (approval, standing))

// Refused: no person (service accounts do not count), the author, somebody that no rule allows, the
// same person twice, another digest than the one that was looked at or asked for, a request that
// expired. Approvals of an older digest end here. The caller acts on `standing.granted`.
Result<Given> give(sql::Tx& tx, const Call& call, Timestamp now, const Subject& subject,
                   const GiveInput& input);

// Ends what stands and what waits for a subject, because it was changed or is gone. An empty scope
// is every scope.
Result<void> end_all(sql::Tx& tx, const Call& call, Timestamp now, const std::string& urn,
                     const std::string& scope, const std::string& why);

// Whether two actors are one person, whatever token they came with.
bool same_person(const std::string& a, const std::string& b);

// ---- What a component says of the things of its own that can be approved ----------------------

struct Approvable {
  // It as it stands now. The error says why it cannot be approved at all.
  std::function<Result<Subject>(sql::Tx& tx, const Call& call, const std::string& urn,
                                const std::string& scope)>
      current;
  // In the transaction of each approval; `given.standing.granted` where it was the last needed.
  std::function<Result<void>(sql::Tx& tx, const Call& call, const Subject& subject,
                             const Given& given)>
      given = {};
  // After that transaction.
  std::function<Result<void>(const Call& call, const Subject& subject)> committed = {};
};
// All of the above in one: what a component's own "approve" does.
Result<Given> give(sql::Tx& tx, const Call& call, Timestamp now, const Approvable& approvable,
                   const GiveInput& input);

// ---- For people -------------------------------------------------------------------------------

struct ListInput {
  std::string subject;  // empty: all
  bool mine = false;    // only what waits for the caller
  bool closed = false;  // also what waits for nobody any more
  std::int64_t limit = 100;
};
BOOST_DESCRIBE_STRUCT(ListInput, (), (subject, mine, closed, limit))
constexpr auto rules_of(const ListInput&) {
  return std::array{penstock::Rule{.field = "subject", .max = 500, .may_miss = true},
                    penstock::Rule{.field = "mine", .may_miss = true},
                    penstock::Rule{.field = "closed", .may_miss = true},
                    penstock::Rule{.field = "limit", .min = 1, .max = 1'000, .may_miss = true}};
}
struct Waiting {
  Request request;
  Standing standing;
  bool waits_for_me = false;
};
BOOST_DESCRIBE_STRUCT(Waiting, (), (request, standing, waits_for_me))
struct WaitingList {
  std::vector<Waiting> requests;  // newest first
};
BOOST_DESCRIBE_STRUCT(WaitingList, (), (requests))
struct ShowInput {
  std::string subject;
};
BOOST_DESCRIBE_STRUCT(ShowInput, (), (subject))
constexpr auto rules_of(const ShowInput&) {
  return std::array{penstock::Rule{.field = "subject", .min = 3, .max = 500}};
}
struct History {
  std::vector<Approval> approvals;  // also those that ended, by time
  std::vector<Request> requests;
};
BOOST_DESCRIBE_STRUCT(History, (), (approvals, requests))
struct WithdrawInput {
  std::string id;  // of an approval
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(WithdrawInput, (), (id, reason))
constexpr auto rules_of(const WithdrawInput&) {
  return std::array{penstock::Rule{.field = "id", .min = 1, .max = 1'000},
                    penstock::Rule{.field = "reason", .min = 1, .max = 10'000}};
}

class Service {
 public:
  Service(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  // `approval_rule`.
  resources::KindHandler kind() const;
  // At start, from wiring. `what` is a kind of URN ("release"), or one with what stands before the
  // colon of a scope ("model/alias" for alias:champion).
  void answer_for(const std::string& what, Approvable approvable) {
    approvables_[what] = std::move(approvable);
  }

  Result<Given> give(const Call& call, const GiveInput& input);
  // By the one who gave it or an admin; what it had set going goes on.
  Result<Approval> withdraw(const Call& call, const WithdrawInput& input);
  Result<WaitingList> list(const Call& call, const ListInput& input);
  Result<History> show(const Call& call, const ShowInput& input);

 private:
  sql::Database& db_;
  const Clock& clock_;
  std::map<std::string, Approvable> approvables_;
};

}  // namespace penstock::approvals
