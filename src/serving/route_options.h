// What a route may say beyond its targets: who gets which version, how long, how often, how much.
#pragma once

#include "base/described.h"

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
  double sample = 0;                   // share of calls, 0 to 1
  std::string max_class = "internal";  // columns and texts above it are left out
};
BOOST_DESCRIBE_STRUCT(PayloadOptions, (), (sample, max_class))
constexpr auto rules_of(const PayloadOptions&) {
  return std::array{Rule{.field = "sample", .may_miss = true},
                    Rule{.field = "max_class", .min = 1, .max = 50, .may_miss = true}};
}

struct Experiment {
  std::string id;
  bool adaptive = false;  // weights follow delayed rewards (Thompson sampling)
};
BOOST_DESCRIBE_STRUCT(Experiment, (), (id, adaptive))
constexpr auto rules_of(const Experiment&) {
  return std::array{Rule{.field = "id", .min = 1, .max = 100},
                    Rule{.field = "adaptive", .may_miss = true}};
}

}  // namespace penstock::serving
