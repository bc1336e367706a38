// What people declare of a route's health, and what was found.
#pragma once

#include "incidents/incident.h"

namespace penstock::monitor {

enum class Quantity {
  feature_drift,  // distance of a feature's histogram from the reference's
  score_drift,    // the same of scores
  missing,        // share of calls in which the feature is null
  latency,        // 99th percentile of answered calls, milliseconds
  error_rate,     // share of calls that failed
  label_quality,  // share of labelled predictions whose decision was wrong
  freshness,      // 99th percentile of the oldest feature's age, seconds
  decision_rate,  // change of the share of calls whose decision is true, either way
};
BOOST_DESCRIBE_ENUM(Quantity, feature_drift, score_drift, missing, latency, error_rate,
                    label_quality, freshness, decision_rate)
// What drift and decision_rate compare with. previous_days: as many days before the window as it
// has; features of every version on the route, scores and decisions of the same version. training:
// the dataset that the version was trained on. view_profile: the profiles of the feature's view, of
// as many days before the window. These two are for feature_drift alone.
enum class Reference { previous_days, training, view_profile };
BOOST_DESCRIBE_ENUM(Reference, previous_days, training, view_profile)
enum class Distance { psi, jensen_shannon };  // distance.h
BOOST_DESCRIBE_ENUM(Distance, psi, jensen_shannon)

// kind: monitor. A value above the threshold is a breach.
struct MonitorDeclaration {
  std::string name, owner, description;
  std::string route;
  Quantity quantity = Quantity::feature_drift;
  std::optional<std::string> feature;  // of feature_drift and missing
  Reference reference = Reference::previous_days;
  Distance distance = Distance::psi;
  std::int64_t window_days = 7;  // whole days of event time, UTC
  double threshold = 0;
  std::int64_t min_calls = 100;  // with fewer (labels, for label_quality) it is undecided
  incidents::Severity severity = incidents::Severity::warning;
};
BOOST_DESCRIBE_STRUCT(MonitorDeclaration, (),
                      (name, owner, description, route, quantity, feature, reference, distance,
                       window_days, threshold, min_calls, severity))
constexpr auto rules_of(const MonitorDeclaration&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 100},
      Rule{.field = "owner", .min = 1, .max = 200},
      Rule{.field = "description", .max = 2'000, .may_miss = true},
      Rule{.field = "route", .min = 1, .max = 100},
      Rule{.field = "feature", .doc = "Of feature_drift and missing.", .min = 1, .max = 200},
      Rule{.field = "reference", .may_miss = true},
      Rule{.field = "distance", .may_miss = true},
      Rule{.field = "window_days",
           .doc = "Days of event time.",
           .min = 1,
           .max = 90,
           .may_miss = true},
      Rule{.field = "threshold", .doc = "A value above it is a breach."},
      Rule{.field = "min_calls", .min = 1, .max = 1'000'000'000, .may_miss = true},
      Rule{.field = "severity", .may_miss = true}};
}

// no_data: no calls in the window. undecided: calls, but too few of them or of the reference.
enum class Verdict { ok, breach, no_data, undecided };
BOOST_DESCRIBE_ENUM(Verdict, ok, breach, no_data, undecided)

// A row of monitor_results: one window of one version, by its last day. Version 0: no version had
// calls.
struct MonitorResult {
  std::string project, monitor, model;
  std::int64_t version = 0;
  std::int64_t day = 0;  // since 1970
  Verdict verdict = Verdict::no_data;
  std::optional<double> value;
  std::int64_t calls = 0;                    // that the value is made of
  std::string reason;                        // of no_data and undecided
  std::optional<std::int64_t> breach_since;  // the first day of an unbroken row of breaches
  Timestamp evaluated_at;
};
BOOST_DESCRIBE_STRUCT(MonitorResult, (),
                      (project, monitor, model, version, day, verdict, value, calls, reason,
                       breach_since, evaluated_at))

std::int64_t day_of(Timestamp at);  // since 1970, UTC
Timestamp start_of(std::int64_t day);
std::string day_text(std::int64_t day);  // "2013-07-01"

}  // namespace penstock::monitor
