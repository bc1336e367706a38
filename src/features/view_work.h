// What is known of the work on a view's online rows, beside the rows: runs, gates, profiles.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "catalog/profile.h"
#include "features/gate.h"

namespace penstock::features {

// A gate after it was looked at.
struct GateResult {
  std::string feature;
  GateRule rule = GateRule::not_null;
  catalog::CheckSeverity severity = catalog::CheckSeverity::error;
  bool reject_rows = false;
  bool passed = true;
  std::int64_t rows = 0;                 // that were looked at
  std::int64_t violations = 0;           // of rejecting gates: rows that were kept out
  std::string what;                      // "heat below 0: 3 of 10 rows"; empty where it passed
  std::vector<std::string> sample_keys;  // at most 5; none where a key is confidential
};
BOOST_DESCRIBE_STRUCT(GateResult, (),
                      (feature, rule, severity, reject_rows, passed, rows, violations, what,
                       sample_keys))

// A row of feature_view_states: one version of a view in one online store.
struct ViewWork {
  std::string store, project, view;
  std::int64_t version = 0;
  std::string holder;  // who moves its rows now, until `held_until`; empty: nobody
  std::optional<Timestamp> held_until;
  std::optional<Timestamp> last_run, next_run;  // of materialize
  std::string last_error;                       // of the last run; empty: it went well
  std::int64_t failures = 0;                    // in a row
  std::int64_t row_count = 0, written = 0, ignored = 0, rejected = 0;  // of the last that moved any
  std::vector<GateResult> checks;                                      // of the last run
  std::string definition;  // digest of the view and its keys, as the rows were written
  std::string program;     // the version of Penstock that wrote them
  std::optional<Timestamp> newest_event, last_push;
  std::optional<Timestamp> missed_since;  // its freshness objective
  std::optional<Timestamp> profile_from;  // what arrived after it has no profile yet
  std::string profiled_digest;
  std::optional<Timestamp> last_verified, next_verify;
  std::string verify_error;
  // Found by the last verify, but for what the next run of a schedule mends.
  std::optional<std::int64_t> differing;

  std::string urn() const { return "feature_view:" + view + "@" + std::to_string(version); }
};
BOOST_DESCRIBE_STRUCT(ViewWork, (),
                      (store, project, view, version, holder, held_until, last_run, next_run,
                       last_error, failures, row_count, written, ignored, rejected, checks,
                       definition, program, newest_event, last_push, missed_since, profile_from,
                       profiled_digest, last_verified, next_verify, verify_error, differing))

// A row of feature_profiles: the rows of a view whose event time is on one day of UTC.
struct ViewProfile {
  std::string project, view;
  std::int64_t version = 0;
  Timestamp day;
  std::string digest;  // of the offline table that it was made from
  Timestamp at;
  std::int64_t row_count = 0, sampled_rows = 0;
  std::vector<catalog::ColumnProfile> columns;  // of the features
};
BOOST_DESCRIBE_STRUCT(ViewProfile, (),
                      (project, view, version, day, digest, at, row_count, sampled_rows, columns))
struct ViewProfileQuery {
  std::string view;
  std::int64_t version = 0;      // 0: the newest
  std::optional<Timestamp> day;  // any instant of it; none: the newest day with rows
};
BOOST_DESCRIBE_STRUCT(ViewProfileQuery, (), (view, version, day))
constexpr auto rules_of(const ViewProfileQuery&) {
  return std::array{Rule{.field = "view", .min = 1, .max = 200},
                    Rule{.field = "version", .min = 0, .may_miss = true}};
}
struct ViewProfileOutput {
  ViewProfile profile;
  std::vector<Timestamp> days;  // that have a profile, newest first, at most 400
};
BOOST_DESCRIBE_STRUCT(ViewProfileOutput, (), (profile, days))

// Something that whoever owns the view must know, or that is over.
struct Trouble {
  std::string key;  // "materialize", "freshness", "check:heat:min", "verify"
  std::string title;
  std::string view_urn, owner;
  bool over = false;
  bool minor = false;
  json::object detail;
};

}  // namespace penstock::features
