// The append-only record of who did what: a Merkle log (RFC 6962) over canonical events.
#pragma once

#include "audit/merkle.h"
#include "audit/note.h"
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

// What an event was about, of whatever project: for components that follow the log.
struct Touched {
  std::int64_t number = 0;
  std::string project, subject;
};
BOOST_DESCRIBE_STRUCT(Touched, (), (number, project, subject))
// In the order of the log, from `number` on.
Result<std::vector<Touched>> subjects_from(sql::Tx& tx, std::int64_t number, std::int64_t limit);

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

// What the log says of itself, and whether that is so.
struct Verification {
  std::int64_t events = 0;
  std::string root;              // hex, of the events as they stand
  std::int64_t signed_size = 0;  // of the newest checkpoint that holds; later events are not signed
  bool intact = true;
  std::string fault;                        // the first one found, empty if intact
  std::optional<std::int64_t> first_wrong;  // number of the first event that is wrong
};
BOOST_DESCRIBE_STRUCT(Verification, (), (events, root, signed_size, intact, fault, first_wrong))

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

// A signed head of the log. `note` is the C2SP checkpoint, whole.
struct Checkpoint {
  std::int64_t size = 0;
  std::string key;   // NAME+HASH+BASE64 of whoever signed it
  std::string root;  // hex
  Timestamp at;
  std::string note;
};
BOOST_DESCRIBE_STRUCT(Checkpoint, (), (size, key, root, at, note))

struct InclusionInput {
  std::int64_t number = 0;
  std::int64_t size = 0;  // 0: of the newest checkpoint
};
BOOST_DESCRIBE_STRUCT(InclusionInput, (), (number, size))
constexpr auto rules_of(const InclusionInput&) {
  return std::array{Rule{.field = "number", .min = 0},
                    Rule{.field = "size", .min = 0, .may_miss = true}};
}
struct Inclusion {
  std::int64_t number = 0, size = 0;
  std::string entry;  // the event's canonical bytes, which the leaf is the hash of
  std::string leaf, root;
  std::vector<std::string> path;  // hex, from the leaf up
};
BOOST_DESCRIBE_STRUCT(Inclusion, (), (number, size, entry, leaf, root, path))
struct ConsistencyInput {
  std::int64_t from = 0, to = 0;
};
BOOST_DESCRIBE_STRUCT(ConsistencyInput, (), (from, to))
constexpr auto rules_of(const ConsistencyInput&) {
  return std::array{Rule{.field = "from", .min = 1}, Rule{.field = "to", .min = 1}};
}
struct Consistency {
  std::int64_t from = 0, to = 0;
  std::string from_root, to_root;
  std::vector<std::string> path;  // hex
};
BOOST_DESCRIBE_STRUCT(Consistency, (), (from, to, from_root, to_root, path))

struct ExportInput {
  std::int64_t from = 0;  // the first number
  std::int64_t to = 0;    // behind the last
};
BOOST_DESCRIBE_STRUCT(ExportInput, (), (from, to))
constexpr auto rules_of(const ExportInput&) {
  return std::array{Rule{.field = "from", .min = 0}, Rule{.field = "to", .min = 0}};
}
inline constexpr std::int64_t export_page = 10'000;  // events

// For components, inside their transactions.
Result<Checkpoint> checkpoint(sql::Tx& tx, const SigningKey& key, Timestamp now);
// not_found where `project` has no such event.
Result<Inclusion> inclusion(sql::Tx& tx, const std::string& project, std::int64_t number,
                            std::int64_t size);
Result<Consistency> consistency(sql::Tx& tx, std::int64_t from, std::int64_t to);

class Service {
 public:
  // `former`: keys that signed this log before, and whose checkpoints still count.
  Service(sql::Database& db, const Clock& clock, SigningKey key, std::vector<PublicKey> former = {})
      : db_(db), clock_(clock), key_(std::move(key)), former_(std::move(former)) {}

  // At start: makes the nodes of a log that was written before there were any.
  Result<void> ensure_nodes();

  Result<Page> list(const Call& call, const Query& query);
  // Recomputes every leaf, node and root, and compares with what is stored and what was signed: a
  // changed, removed, added or reordered event is found.
  Result<Verification> verify(const Call& call);

  const PublicKey& public_key() const { return key_.public_key(); }
  // The note that says so, by the same key. It can say nothing of the log.
  std::string state(const Statement& statement) const {
    return key_.sign(statement_text(statement));
  }
  // Signs the log as it stands; the same size again is the same checkpoint. Each is kept.
  Result<Checkpoint> checkpoint(const Call& call);
  // The newest; makes the first.
  Result<Checkpoint> latest(const Call& call);
  Result<Inclusion> prove_inclusion(const Call& call, const InclusionInput& input);
  Result<Consistency> prove_consistency(const Call& call, const ConsistencyInput& input);
  // Lines of an export file (export.h): events from `from` on, at most export_page, each checkpoint
  // behind the last event that it covers.
  Result<std::string> export_lines(const Call& call, const ExportInput& input);

 private:
  sql::Database& db_;
  const Clock& clock_;
  SigningKey key_;
  std::vector<PublicKey> former_;
};

}  // namespace penstock::audit
