// Whether the rows of sources are as they were declared, measured and kept over time.
#pragma once

#include <functional>

#include "catalog/profile.h"
#include "catalog/service.h"

namespace penstock::catalog {

struct CheckResult {
  std::string name;
  CheckSeverity severity = CheckSeverity::error;
  bool passed = false;
  std::int64_t violations = 0;
  std::string fault;  // why the check itself could not run; then it has not passed
};
BOOST_DESCRIBE_STRUCT(CheckResult, (), (name, severity, passed, violations, fault))

// A source at one moment. A row of source_measures.
struct Measure {
  std::string project, source;
  std::int64_t version = 0;
  Timestamp at;
  std::string actor;
  std::string snapshot_digest;  // of what was looked at
  std::int64_t row_count = 0, bytes = 0;
  std::optional<Timestamp> newest;  // event_time; without one, the newest file
  std::optional<double> age_seconds;
  bool fresh = true;   // within freshness.max_age, or there is no such rule
  bool passed = true;  // no fault, no drift, and every check and rule of severity error
  std::vector<CheckResult> checks;
  std::vector<std::string> drift;  // what is not as declared
  std::string fault;               // why nothing could be measured

  std::string urn() const { return "source:" + source + "@" + std::to_string(version); }
};
BOOST_DESCRIBE_STRUCT(Measure, (),
                      (project, source, version, at, actor, snapshot_digest, row_count, bytes,
                       newest, age_seconds, fresh, passed, checks, drift, fault))
struct MeasureQuery {
  std::string name;
  std::int64_t limit = 20;
};
BOOST_DESCRIBE_STRUCT(MeasureQuery, (), (name, limit))
constexpr auto rules_of(const MeasureQuery&) {
  return std::array{Rule{.field = "limit", .min = 1, .max = 500, .may_miss = true}};
}
struct MeasureList {
  std::vector<Measure> measures;  // newest first
};
BOOST_DESCRIBE_STRUCT(MeasureList, (), (measures))

// A row of source_profiles: one for each version and snapshot.
struct SourceProfile {
  std::string project, source;
  std::int64_t version = 0;
  std::string snapshot_digest;
  Timestamp at;
  std::int64_t row_count = 0, sampled_rows = 0;
  std::vector<ColumnProfile> columns;
};
BOOST_DESCRIBE_STRUCT(SourceProfile, (),
                      (project, source, version, snapshot_digest, at, row_count, sampled_rows,
                       columns))
struct ProfileQuery {
  std::string name;
  std::string snapshot;  // the beginning of a digest; empty: the newest that was measured
};
BOOST_DESCRIBE_STRUCT(ProfileQuery, (), (name, snapshot))
constexpr auto rules_of(const ProfileQuery&) {
  return std::array{Rule{.field = "snapshot", .max = 64, .may_miss = true}};
}

// Something that somebody must know: a failed check or freshness rule of severity error, drift, or
// a source that cannot be read.
struct Failure {
  std::string key;  // "check:not null", "freshness", "drift", "unreadable"
  std::string title;
  std::string source_urn, owner;
  json::object detail;
};
using OnFailure = std::function<Result<void>(sql::Tx& tx, const Call& call, Timestamp at,
                                             const Failure& failure)>;

class Quality {
 public:
  Quality(sql::Database& db, olap::Engine& olap, Service& catalog, const Clock& clock)
      : db_(db), olap_(olap), catalog_(catalog), clock_(clock) {}

  // From wiring: what happens, in the transaction of the measure, when something is not well.
  void on_failure(OnFailure tell) { tell_ = std::move(tell); }

  // Looks at the source as it stands and keeps what it saw.
  Result<Measure> check(const Call& call, const SourceName& name);
  // The same, and a profile unless there is one of this version and snapshot.
  Result<Measure> refresh(const Call& call, const SourceName& name);
  Result<MeasureList> history(const Call& call, const MeasureQuery& query);
  Result<SourceProfile> profile(const Call& call, const ProfileQuery& query);
  // Refreshes one source that is due, of any project. True: there may be more.
  Result<bool> run_due();

 private:
  struct Subject;
  Result<Subject> subject(const Call& call, const std::string& name);
  Result<Measure> measure(const Call& call, const Subject& subject, bool with_profile);
  Result<void> look(const Subject& subject, bool with_profile, Measure& out,
                    std::optional<SourceProfile>& profile);
  Result<void> keep(const Call& call, const Subject& subject, const Measure& measure,
                    const std::optional<SourceProfile>& profile);

  sql::Database& db_;
  olap::Engine& olap_;
  Service& catalog_;
  const Clock& clock_;
  OnFailure tell_;
};

}  // namespace penstock::catalog
