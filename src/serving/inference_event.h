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

// What a language model read and wrote, each token in one of these: prompt_tokens are without those
// that came from or went to a cache, output_tokens without those of reasoning. Null where the
// runtime does not tell.
struct Generation {
  std::optional<std::int64_t> prompt_tokens, cached_prompt_tokens, cache_write_tokens,
      output_tokens, reasoning_tokens;
  bool estimated = false;  // counted here, since the runtime did not say
  bool streamed = false;
  std::optional<std::int64_t> first_piece_micros;  // of a stream, until the caller's first byte
  std::string finish_reason;  // as the runtime said it; "hung_up" where the caller left
  std::string upstream_model;
};
BOOST_DESCRIBE_STRUCT(Generation, (),
                      (prompt_tokens, cached_prompt_tokens, cache_write_tokens, output_tokens,
                       reasoning_tokens, estimated, streamed, first_piece_micros, finish_reason,
                       upstream_model))

// What a call asked of another model on its way: the classifier of a guardrail, a node of a graph.
struct NodeUse {
  std::string name, kind;  // "toxicity", "guardrail"
  std::string model;       // empty: no model was asked
  std::int64_t version = 0;
  std::string runtime, upstream;
  std::int64_t calls = 0, micros = 0, faults = 0;
  std::optional<std::int64_t> gpu_micros;
};
BOOST_DESCRIBE_STRUCT(NodeUse, (),
                      (name, kind, model, version, runtime, upstream, calls, micros, faults,
                       gpu_micros))

struct InferenceEvent {
  std::string id;  // the prediction's: prediction:<id>; the caller's request id where it gave one
  Timestamp at;    // when it was answered
  Timestamp event_time;  // the instant that its features are as of
  std::string project, tenant, actor;
  std::string route;
  std::string release;  // id of the release in force, empty if none
  std::string model;
  std::int64_t version = 0;
  std::string runtime;  // onnx, python, kserve, openai, graph
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
  // Of a call to a language model.
  std::optional<Generation> generation;
  std::int64_t queue_micros = 0;           // waited for admission
  std::int64_t upstream_micros = 0;        // of all tries at remote runtimes
  std::int64_t attempts = 0;               // such tries, hedges too
  std::string upstream;                    // the one that answered
  std::optional<std::int64_t> gpu_micros;  // reported, or time x the deployment's declared share
  std::int64_t retrieval_calls = 0, reranker_calls = 0;
  bool from_cache = false;
  std::vector<std::string> guardrails;  // hits: "<guardrail>:<what>:<action>"
  std::string experiment;               // id of the A/B experiment that chose the target
  std::string user;                     // the caller's tag of its own user
  std::string fallback_of;              // the route that was asked, where this one stood in
  std::string payload;                  // where request and answer are kept; empty: they are not
  std::string input_digest;  // of the tensors that came under an id of the caller's; a retry has it
  std::vector<NodeUse> nodes;  // of several rows, those of all of them are the first one's
  // Of a shadow: what it mirrors, and how the two compare (agreement, score_difference,
  // latency_difference_micros, cost_difference, similarity).
  std::string shadow_of;
  std::map<std::string, double> comparison;
};
BOOST_DESCRIBE_STRUCT(InferenceEvent, (),
                      (id, at, event_time, project, tenant, actor, route, release, model, version,
                       runtime, mode, arm, assignment_probability, unit, entities, feature_schema,
                       features, oldest_feature_seconds, score, decision, feature_micros,
                       model_micros, total_micros, request_bytes, response_bytes, error,
                       feature_statuses, feature_times, generation, queue_micros, upstream_micros,
                       attempts, upstream, gpu_micros, retrieval_calls, reranker_calls, from_cache,
                       guardrails, experiment, user, fallback_of, payload, input_digest, nodes,
                       shadow_of, comparison))
constexpr auto rules_of(const InferenceEvent&) {
  // Events that an older program wrote have none of these.
  const auto later = [](std::string_view field) { return Rule{.field = field, .may_miss = true}; };
  return std::array{later("feature_statuses"), later("queue_micros"),
                    later("upstream_micros"),  later("attempts"),
                    later("upstream"),         later("retrieval_calls"),
                    later("reranker_calls"),   later("from_cache"),
                    later("experiment"),       later("user"),
                    later("fallback_of"),      later("payload"),
                    later("input_digest"),     later("shadow_of")};
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
