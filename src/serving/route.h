// Routes: the stable names that callers use, and the versions that answer for them.
#pragma once

#include "catalog/source.h"
#include "serving/inference_event.h"
#include "serving/route_options.h"

namespace penstock::serving {

// What a shadow may cost. A call that finds the cap reached is not mirrored, and counted.
struct ShadowLimits {
  double sample = 1.0;               // share of the calls that are mirrored
  std::int64_t max_concurrency = 4;  // mirrored calls at the same time
  std::optional<Money> max_cost_per_day;
  std::optional<catalog::Classification>
      max_class;  // what is above it is redacted; none: as the live call
};
BOOST_DESCRIBE_STRUCT(ShadowLimits, (), (sample, max_concurrency, max_cost_per_day, max_class))
constexpr auto rules_of(const ShadowLimits&) {
  return std::array{Rule{.field = "sample", .doc = "Share of calls, 0 to 1.", .may_miss = true},
                    Rule{.field = "max_concurrency", .min = 1, .max = 64, .may_miss = true}};
}

// kind: route.
struct RouteDeclaration {
  std::string name, owner, description;
  std::string model;
  std::vector<std::string>
      entity_keys;             // join keys that a caller gives: BYTES inputs of these names
  std::string feature_schema;  // empty: callers send the model's own inputs
  std::string unit;        // an entity key or request parameter; empty: all entity keys together
  double threshold = 0.5;  // decision = score >= threshold
  std::string output =
      "score";  // the model's output that holds the score: [N], [N,1] or, last column, [N,K]
  ShadowLimits shadow;
  std::string alias;  // of the model: names the version that answers; empty: none does
  // The sticky unit where it is none of the above: "user", "header:NAME" or "cookie:NAME".
  std::string sticky;
  std::vector<RoutingRule> rules;
  std::vector<std::string> fallbacks;  // routes that stand in, in this order
  std::optional<Micros> timeout;       // of a call, where the caller's own is not shorter
  std::optional<RetryOptions> retries;
  std::vector<RateLimit> limits;
  std::optional<QueueOptions> queue;
  std::optional<CacheOptions> cache;
  std::optional<PayloadOptions> payloads;
  std::vector<std::string> guardrails;  // kind: guardrail; in this order
  std::optional<Experiment> experiment;
  // Of tensors and texts that callers send themselves, for shadows and payloads.
  catalog::Classification input_class = catalog::Classification::restricted;
};
BOOST_DESCRIBE_STRUCT(RouteDeclaration, (),
                      (name, owner, description, model, entity_keys, feature_schema, unit,
                       threshold, output, shadow, alias, sticky, rules, fallbacks, timeout, retries,
                       limits, queue, cache, payloads, guardrails, experiment, input_class))
constexpr auto rules_of(const RouteDeclaration&) {
  return std::array{Rule{.field = "name", .doc = "What callers use.", .min = 1, .max = 100},
                    Rule{.field = "owner", .min = 1, .max = 200},
                    Rule{.field = "description", .max = 2'000, .may_miss = true},
                    Rule{.field = "model", .min = 1, .max = 100},
                    Rule{.field = "entity_keys", .max = 32},
                    Rule{.field = "feature_schema", .max = 100, .may_miss = true},
                    Rule{.field = "unit", .max = 100, .may_miss = true},
                    Rule{.field = "threshold", .may_miss = true},
                    Rule{.field = "output", .min = 1, .max = 100, .may_miss = true},
                    Rule{.field = "shadow", .may_miss = true},
                    Rule{.field = "alias", .max = 255, .may_miss = true},
                    Rule{.field = "sticky", .max = 200, .may_miss = true},
                    Rule{.field = "rules", .max = 100},
                    Rule{.field = "fallbacks", .max = 8},
                    Rule{.field = "limits", .max = 16},
                    Rule{.field = "guardrails", .max = 32},
                    Rule{.field = "input_class", .may_miss = true}};
}

// One version that a route sends calls to. Weights are parts of 10,000 and add to that over live
// and canary; a shadow's is 0.
struct Target {
  std::string model;
  std::int64_t version = 0;
  std::int64_t weight = 0;
  Arm arm = Arm::live;
};
BOOST_DESCRIBE_STRUCT(Target, (), (model, version, weight, arm))
inline constexpr std::int64_t weight_total = 10'000;

// A row of route_targets.
struct StoredTarget {
  std::string project, route, model;
  std::int64_t version = 0;
  std::int64_t weight = 0;
  Arm arm = Arm::live;
  std::string release;
  Timestamp updated_at;
};
BOOST_DESCRIBE_STRUCT(StoredTarget, (),
                      (project, route, model, version, weight, arm, release, updated_at))

// kind: stream. Records of `input` are decided by `route`; decisions go to `output`.
struct StreamDeclaration {
  std::string name, owner, description;
  std::string route;
  std::string input, output;  // topics of the project
};
BOOST_DESCRIBE_STRUCT(StreamDeclaration, (), (name, owner, description, route, input, output))
constexpr auto rules_of(const StreamDeclaration&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 100},
                    Rule{.field = "owner", .min = 1, .max = 200},
                    Rule{.field = "description", .max = 2'000, .may_miss = true},
                    Rule{.field = "route", .min = 1, .max = 100},
                    Rule{.field = "input", .min = 1, .max = 100},
                    Rule{.field = "output", .min = 1, .max = 100}};
}

}  // namespace penstock::serving
