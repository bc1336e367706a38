// The one event that every inference emits, whatever its mode. Monitors, ledger, drift, lineage and
// the prediction log are readers of it.
#pragma once

#include <array>

#include "base/described.h"

namespace penstock::serving {

inline constexpr std::string_view inference_topic =
    "penstock.inference";                                           // key: the prediction's id
inline constexpr std::string_view label_topic = "penstock.labels";  // key: the prediction's id

enum class Mode { online, batch, stream, shadow };
BOOST_DESCRIBE_ENUM(Mode, online, batch, stream, shadow)
// What the version was to its route when it answered.
enum class Arm { live, canary, shadow };
BOOST_DESCRIBE_ENUM(Arm, live, canary, shadow)

struct InferenceEvent {
  std::string id;  // the prediction's: prediction:<id>; the caller's request id where it gave one
  Timestamp at;    // when it was answered
  Timestamp event_time;  // the instant that its features are as of
  std::string project, tenant, actor;
  std::string route;
  std::string release;  // id of the release in force, empty if none
  std::string model;
  std::int64_t version = 0;
  std::string runtime;  // "onnx"
  Mode mode = Mode::online;
  Arm arm = Arm::live;
  double assignment_probability =
      1;             // that this call went to this arm: the rho of the sequential tests
  std::string unit;  // the sticky key's value; tests count once per unit
  std::map<std::string, std::string> entities;   // join keys, as the caller gave them
  std::string feature_schema;                    // "features_v1@1"
  std::vector<std::optional<double>> features;   // in the schema's order; null is missing
  std::optional<double> oldest_feature_seconds;  // event_time minus the oldest event time read
  std::optional<double> score;
  std::optional<bool> decision;  // score >= the route's threshold
  std::int64_t feature_micros = 0, model_micros = 0, total_micros = 0;
  std::int64_t request_bytes = 0, response_bytes = 0;
  std::string error;  // the Code's name, empty if it was answered
  // What each feature was when it was read, one letter each in the schema's order: P(resent),
  // N(ull), M(issing: not found), O(utside of its maximum age); one letter alone: all of them are
  // so. Empty where the caller sent the features.
  std::string feature_statuses;
  // Of each view's row, in the schema's order of views; null where there was none that counts.
  std::vector<std::optional<Timestamp>> feature_times;
};
BOOST_DESCRIBE_STRUCT(InferenceEvent, (),
                      (id, at, event_time, project, tenant, actor, route, release, model, version,
                       runtime, mode, arm, assignment_probability, unit, entities, feature_schema,
                       features, oldest_feature_seconds, score, decision, feature_micros,
                       model_micros, total_micros, request_bytes, response_bytes, error,
                       feature_statuses, feature_times))
constexpr auto rules_of(const InferenceEvent&) {
  // Events that an older program wrote have none.
  return std::array{Rule{.field = "feature_statuses", .may_miss = true}};
}

// What turned out to be true of a prediction, told later.
struct Label {
  std::string prediction;  // its id
  Timestamp at;            // when it became known
  std::string project;
  double value = 0;  // of a classifier: 0 or 1
};
BOOST_DESCRIBE_STRUCT(Label, (), (prediction, at, project, value))

}  // namespace penstock::serving
