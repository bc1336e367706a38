#pragma once

#include "base/call.h"
#include "incidents/incident.h"
#include "ports/sql.h"

namespace penstock::incidents {

struct Opening {
  std::string dedup_key;  // "release:<id>:harmful"
  std::string title;
  Severity severity = Severity::warning;
  std::string subject;  // URN
  std::string owner;    // empty: whoever owns the subject, as far as resources know it
  std::vector<std::string> suspects;
  json::object detail;
};

// Inside the transaction of what went wrong. While an incident with the same key is not resolved, a
// repeat counts it up and adds to its timeline instead of opening another.
Result<Incident> open(sql::Tx& tx, const Call& call, Timestamp at, const Opening& opening);
// Adds to the timeline of an incident.
Result<void> note(sql::Tx& tx, const Call& call, Timestamp at, const std::string& incident,
                  const std::string& event, const json::object& detail);

struct ListInput {
  std::string status;  // empty: all
  std::int64_t limit = 100;
};
BOOST_DESCRIBE_STRUCT(ListInput, (), (status, limit))
constexpr auto rules_of(const ListInput&) {
  return std::array{Rule{.field = "status", .max = 20, .may_miss = true},
                    Rule{.field = "limit", .min = 1, .max = 1000, .may_miss = true}};
}
struct IncidentList {
  std::vector<Incident> incidents;
};
BOOST_DESCRIBE_STRUCT(IncidentList, (), (incidents))
struct IncidentName {
  std::string id;
};
BOOST_DESCRIBE_STRUCT(IncidentName, (), (id))
struct IncidentMove {
  std::string id;
  Status status = Status::acknowledged;
  std::string comment;
};
BOOST_DESCRIBE_STRUCT(IncidentMove, (), (id, status, comment))
constexpr auto rules_of(const IncidentMove&) {
  return std::array{Rule{.field = "comment", .max = 10'000, .may_miss = true}};
}
struct IncidentDetail {
  Incident incident;
  std::vector<TimelineEntry> timeline;
};
BOOST_DESCRIBE_STRUCT(IncidentDetail, (), (incident, timeline))

class Service {
 public:
  Service(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  Result<Incident> open(const Call& call, const Opening& opening);
  Result<IncidentList> list(const Call& call, const ListInput& input);
  Result<IncidentDetail> get(const Call& call, const IncidentName& name);
  // open -> acknowledged -> resolved; a resolved one stays so.
  Result<Incident> move(const Call& call, const IncidentMove& move);

 private:
  sql::Database& db_;
  const Clock& clock_;
};

}  // namespace penstock::incidents
