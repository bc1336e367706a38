// The append-only record of who did what: a Merkle log (RFC 6962) over canonical events.
#pragma once

#include "base/call.h"
#include "ports/sql.h"

namespace penstock::audit {

// One thing that somebody did. Written in the transaction that did it, so the log and the
// data cannot disagree.
struct Event {
  std::string action;   // "registry.version.registered"
  std::string subject;  // the URN it was done to
  json::object detail;
};

Result<void> record(sql::Tx& tx, const Call& call, Timestamp at, const Event& event);

// An event as it is stored. `leaf` is the leaf hash of all the other fields.
struct Stored {
  std::int64_t number = 0;  // counts from 0 without gaps
  Timestamp at;
  std::string project, tenant, actor, request_id, action, subject;
  json::object detail;
  std::string leaf;
};
BOOST_DESCRIBE_STRUCT(Stored, (),
                      (number, at, project, tenant, actor, request_id, action, subject, detail,
                       leaf))

struct Page {
  std::vector<Stored> events;
};
BOOST_DESCRIBE_STRUCT(Page, (), (events))

// What the log's head says, and what its events say.
struct Verification {
  std::int64_t events = 0;
  std::string root;  // hex, of the events as they stand
  bool intact = true;
  std::string fault;  // the first one found, empty if intact
};
BOOST_DESCRIBE_STRUCT(Verification, (), (events, root, intact, fault))

struct Query {
  std::string subject;    // empty: all
  std::int64_t from = 0;  // the first number
  std::int64_t limit = 100;
};
BOOST_DESCRIBE_STRUCT(Query, (), (subject, from, limit))
constexpr auto rules_of(const Query&) {
  return std::array{Rule{.field = "subject", .max = 500, .may_miss = true},
                    Rule{.field = "from", .min = 0, .may_miss = true},
                    Rule{.field = "limit", .min = 1, .max = 1000, .may_miss = true}};
}

class Service {
 public:
  explicit Service(sql::Database& db) : db_(db) {}

  Result<Page> list(const Call& call, const Query& query);
  // Recomputes every leaf and the root: a changed, removed, added or reordered event is found.
  Result<Verification> verify(const Call& call);

 private:
  sql::Database& db_;
};

}  // namespace penstock::audit
