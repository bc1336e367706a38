// What a route may say beyond its targets: who gets which version, how long, how often, how much.
#pragma once

#include "catalog/source.h"

namespace penstock::serving {

// Before any draw: the first rule that holds names the version.
struct RoutingRule {
  std::string when;          // tenant == "acme" && header("x-beta") == "1"
  std::int64_t version = 0;  // one of the route's targets
};
BOOST_DESCRIBE_STRUCT(RoutingRule, (), (when, version))
constexpr auto rules_of(const RoutingRule&) {
  return std::array{Rule{.field = "when", .min = 1, .max = 1'000},
                    Rule{.field = "version", .min = 1}};
}

// Of calls to remote runtimes.
struct RetryOptions {
  std::int64_t attempts = 2;                     // tries on one target, the first one too
  Micros pause = std::chrono::milliseconds(25);  // before the first retry; doubles, with jitter
  double retry_share = 0.2;                      // retries as a share of calls
  std::optional<Micros> hedge_after;             // a second try beside a slow first one
  double hedge_share = 0.05;                     // hedges as a share of calls
};
BOOST_DESCRIBE_STRUCT(RetryOptions, (), (attempts, pause, retry_share, hedge_after, hedge_share))
constexpr auto rules_of(const RetryOptions&) {
  return std::array{Rule{.field = "attempts", .min = 1, .max = 10, .may_miss = true},
                    Rule{.field = "pause", .may_miss = true},
                    Rule{.field = "retry_share", .may_miss = true},
                    Rule{.field = "hedge_share", .may_miss = true}};
}

enum class LimitScope { route, tenant, user };
BOOST_DESCRIBE_ENUM(LimitScope, route, tenant, user)
// Each bound holds for each one of its scope; none set: no bound.
struct RateLimit {
  LimitScope per = LimitScope::route;
  std::optional<std::int64_t> requests_per_minute, tokens_per_minute, concurrent;
};
BOOST_DESCRIBE_STRUCT(RateLimit, (), (per, requests_per_minute, tokens_per_minute, concurrent))
constexpr auto rules_of(const RateLimit&) {
  return std::array{Rule{.field = "requests_per_minute", .min = 1, .max = 1'000'000'000},
                    Rule{.field = "tokens_per_minute", .min = 1, .max = 1'000'000'000'000},
                    Rule{.field = "concurrent", .min = 1, .max = 1'000'000}};
}

// Calls that run at once, and those that wait for a place: by priority, fair between tenants.
struct QueueOptions {
  std::int64_t max_concurrency = 256;
  std::int64_t max_waiting = 256;
  Micros max_wait = std::chrono::seconds(1);
};
BOOST_DESCRIBE_STRUCT(QueueOptions, (), (max_concurrency, max_waiting, max_wait))
constexpr auto rules_of(const QueueOptions&) {
  return std::array{Rule{.field = "max_concurrency", .min = 1, .max = 100'000, .may_miss = true},
                    Rule{.field = "max_waiting", .min = 0, .max = 100'000, .may_miss = true},
                    Rule{.field = "max_wait", .may_miss = true}};
}

// Answers to calls that are the same byte for byte, of one version and tenant.
struct CacheOptions {
  Micros keep = std::chrono::minutes(5);
  std::int64_t max_bytes = 64 << 20;
};
BOOST_DESCRIBE_STRUCT(CacheOptions, (), (keep, max_bytes))
constexpr auto rules_of(const CacheOptions&) {
  return std::array{
      Rule{.field = "keep", .may_miss = true},
      Rule{.field = "max_bytes", .min = 1 << 10, .max = std::int64_t{1} << 34, .may_miss = true}};
}

// Keeping what was asked and answered.
struct PayloadOptions {
  double sample = 0;  // share of calls, 0 to 1
  catalog::Classification max_class =
      catalog::Classification::internal;      // columns and texts above it are left out
  Micros keep = std::chrono::hours(24 * 30);  // then they are gone
  std::int64_t max_bytes = 64 << 10;          // of request and of answer, each; the rest is cut off
};
BOOST_DESCRIBE_STRUCT(PayloadOptions, (), (sample, max_class, keep, max_bytes))
constexpr auto rules_of(const PayloadOptions&) {
  return std::array{Rule{.field = "sample", .may_miss = true},
                    Rule{.field = "max_class", .may_miss = true},
                    Rule{.field = "keep", .doc = "At most 400 days.", .may_miss = true},
                    Rule{.field = "max_bytes", .min = 256, .max = 1 << 20, .may_miss = true}};
}

// Calls that were drawn carry its id; labels are its rewards.
struct Experiment {
  std::string id;         // one route's only, for ever: another question is another id
  bool adaptive = false;  // weights follow delayed rewards (Thompson sampling)
  // Of adaptive ones. Weights are parts of 10,000.
  std::int64_t floor = 500;                 // no arm that has traffic gets less
  std::int64_t step = 1'000;                // no arm moves further at once
  Micros pause = std::chrono::minutes(10);  // between two moves
  std::int64_t rewards_min = 50;            // of each arm, before the first move
};
BOOST_DESCRIBE_STRUCT(Experiment, (), (id, adaptive, floor, step, pause, rewards_min))
constexpr auto rules_of(const Experiment&) {
  return std::array{Rule{.field = "id", .min = 1, .max = 100},
                    Rule{.field = "adaptive", .may_miss = true},
                    Rule{.field = "floor", .min = 1, .max = 5'000, .may_miss = true},
                    Rule{.field = "step", .min = 1, .max = 10'000, .may_miss = true},
                    Rule{.field = "pause", .doc = "At least 10s.", .may_miss = true},
                    Rule{.field = "rewards_min", .min = 1, .max = 1'000'000, .may_miss = true}};
}

}  // namespace penstock::serving
