// What somebody agreed to: of which bytes, for what, until when.
#pragma once

#include "base/described.h"

namespace penstock::approvals {

// What is to be approved, as it stands now.
struct Subject {
  std::string urn;          // "model:flight-delay@v4"
  std::string digest;       // of all that an approver looks at
  std::string scope;        // "production-canary", "release", "alias:champion"
  std::string author;       // whoever made or asked for it: the one who cannot approve it
  std::int64_t needed = 1;  // different people at least, whatever rules say
};

struct Approval {
  std::string project, id, subject, digest, scope;
  std::string approver;
  std::string person;              // who that is: one, under however many names
  std::vector<std::string> roles;  // of the approver, then
  std::string comment;
  Timestamp at;
  std::optional<Timestamp> expires_at;
  std::optional<Timestamp> ended_at;  // withdrawn, or what it was given for changed
  std::string ended_by, ended_why;
};
BOOST_DESCRIBE_STRUCT(Approval, (),
                      (project, id, subject, digest, scope, approver, person, roles, comment, at,
                       expires_at, ended_at, ended_by, ended_why))

// What holds for a subject and scope: of all declared rules that speak of it, the strictest.
struct Rule {
  std::int64_t needed = 1;
  Micros valid_for = std::chrono::hours(24 * 90);
  // Each list is one rule's: an approver must stand in every one that is not empty.
  std::vector<std::vector<std::string>> people, roles;
  std::vector<std::string> names;  // of the rules
};

// `kind: approval_rule`. In subjects and scopes a * at the end stands for anything.
struct RuleDeclaration {
  std::string name, owner, description;
  std::vector<std::string> subjects;  // "model:*"; empty: all
  std::vector<std::string> scopes;    // "production*"
  std::int64_t needed = 1;
  std::string valid_for = "90d";
  std::vector<std::string> approvers;  // "user:bo"; empty: whoever may approve
  std::vector<std::string> roles;      // "approver"; empty: any
};
BOOST_DESCRIBE_STRUCT(RuleDeclaration, (),
                      (name, owner, description, subjects, scopes, needed, valid_for, approvers,
                       roles))
constexpr auto rules_of(const RuleDeclaration&) {
  return std::array{penstock::Rule{.field = "owner", .min = 1, .max = 200},
                    penstock::Rule{.field = "description", .max = 10'000, .may_miss = true},
                    penstock::Rule{.field = "subjects", .max = 100, .may_miss = true},
                    penstock::Rule{.field = "scopes", .min = 1, .max = 100},
                    penstock::Rule{.field = "needed", .min = 1, .max = 10, .may_miss = true},
                    penstock::Rule{.field = "valid_for", .min = 2, .max = 20, .may_miss = true},
                    penstock::Rule{.field = "approvers", .max = 100, .may_miss = true},
                    penstock::Rule{.field = "roles", .max = 5, .may_miss = true}};
}

// Whether a subject is approved now, and if not, why.
struct Standing {
  bool granted = false;
  std::int64_t given = 0, needed = 1;  // different people
  std::vector<std::string> approvers;
  std::optional<Timestamp> until;  // the first of those that count to expire
  std::string why;                 // not granted; empty if it is
};
BOOST_DESCRIBE_STRUCT(Standing, (), (granted, given, needed, approvers, until, why))

// open: waits. granted: enough agreed. superseded: what it asks of was changed.
enum class RequestState { open, granted, withdrawn, superseded, expired };
BOOST_DESCRIBE_ENUM(RequestState, open, granted, withdrawn, superseded, expired)

// Somebody asks for an approval.
struct Request {
  std::string project, id, subject, digest, scope, author;
  std::int64_t needed = 1;
  std::string summary;  // one line for people: "release flight-delay v3 to route flight-delay"
  json::object detail;  // what they should look at
  std::string asked_by;
  std::vector<std::string> asked_of;  // "user:bo"; empty: whoever may
  RequestState state = RequestState::open;
  Timestamp at, expires_at;
  std::optional<Timestamp> closed_at;
  std::string closed_by;
};
BOOST_DESCRIBE_STRUCT(Request, (),
                      (project, id, subject, digest, scope, author, needed, summary, detail,
                       asked_by, asked_of, state, at, expires_at, closed_at, closed_by))

}  // namespace penstock::approvals
