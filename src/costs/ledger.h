// What every call cost: meters, dated prices, lines and budgets.
#pragma once

#include "base/described.h"

namespace penstock::costs {

enum class Meter {
  requests,
  prompt_tokens,  // without those that came from or went to a cache
  cached_prompt_tokens,
  cache_write_tokens,
  output_tokens,  // without those of reasoning
  reasoning_tokens,
  compute_microseconds,  // of the runtime's thread
  gpu_microseconds,
  retrieval_calls,
  reranker_calls,
  human_review_seconds,
};
BOOST_DESCRIBE_ENUM(Meter, requests, prompt_tokens, cached_prompt_tokens, cache_write_tokens,
                    output_tokens, reasoning_tokens, compute_microseconds, gpu_microseconds,
                    retrieval_calls, reranker_calls, human_review_seconds)

// One quantity that was used. (source, id, meter) is its identity for ever: the same one again is
// not counted again.
struct Usage {
  std::string source;  // "inference", "scheduler"
  std::string id;      // the call's
  Meter meter = Meter::requests;
  std::int64_t quantity = 0;
  Timestamp at;  // the instant that the call was for
  std::string tenant, route, model;
  std::int64_t version = 0;
  std::string release;
};
BOOST_DESCRIBE_STRUCT(Usage, (),
                      (source, id, meter, quantity, at, tenant, route, model, version, release))
constexpr auto rules_of(const Usage&) {
  return std::array{Rule{.field = "source", .min = 1, .max = 100},
                    Rule{.field = "id", .min = 1, .max = 200},
                    Rule{.field = "quantity", .min = 0, .max = 1'000'000'000'000},
                    Rule{.field = "tenant", .max = 200},
                    Rule{.field = "route", .max = 200, .may_miss = true},
                    Rule{.field = "model", .max = 200, .may_miss = true},
                    Rule{.field = "version", .min = 0, .may_miss = true},
                    Rule{.field = "release", .max = 200, .may_miss = true}};
}

enum class Pricing { priced, unpriced };
BOOST_DESCRIBE_ENUM(Pricing, priced, unpriced)

struct LedgerLine {
  std::string project, source, id;
  Meter meter = Meter::requests;
  std::int64_t quantity = 0;
  Timestamp at;
  std::string tenant, route, model;
  std::int64_t version = 0;
  std::string release;
  Pricing pricing = Pricing::unpriced;
  Money price;  // for `per` units, as it stood at `at`
  std::int64_t per = 1;
  Money amount;
  std::string price_list;  // "price_list:standard@1"
};
BOOST_DESCRIBE_STRUCT(LedgerLine, (),
                      (project, source, id, meter, quantity, at, tenant, route, model, version,
                       release, pricing, price, per, amount, price_list))

// kind: price_list. The price in force is the latest `from` that is not after the call; a price
// that names the model comes before one that does not.
struct Price {
  Meter meter = Meter::requests;
  std::optional<std::string> model;
  Money price;
  std::int64_t per = 1;
  Timestamp from;
};
BOOST_DESCRIBE_STRUCT(Price, (), (meter, model, price, per, from))
constexpr auto rules_of(const Price&) {
  return std::array{Rule{.field = "per", .min = 1, .max = 1'000'000'000'000}};
}
struct PriceList {
  std::string name, owner, description, currency;
  std::vector<Price> prices;
};
BOOST_DESCRIBE_STRUCT(PriceList, (), (name, owner, description, currency, prices))
constexpr auto rules_of(const PriceList&) {
  return std::array{Rule{.field = "description", .max = 10'000, .may_miss = true},
                    Rule{.field = "currency", .min = 3, .max = 3},
                    Rule{.field = "prices", .min = 1, .max = 10'000}};
}

enum class Period { day, month };
BOOST_DESCRIBE_ENUM(Period, day, month)
// What happens where a budget is spent. Throttle and downgrade begin, of a hard one, at `warn_at`.
enum class BudgetAction { warn, throttle, downgrade, stop };
BOOST_DESCRIBE_ENUM(BudgetAction, warn, throttle, downgrade, stop)

// kind: budget. Empty tenant, route or model: all of them. Budgets are a tree: what one covers, its
// parent covers too.
struct Budget {
  std::string name, owner, description;
  std::string parent;  // another budget; empty: none
  std::string tenant, route, model;
  Period period = Period::month;
  Money limit;
  double warn_at = 0.8;  // share of the limit
  // A hard one reserves the most that a call may cost before it runs, and is never overspent. Any
  // other is judged by what was spent, so calls that run together may pass it.
  bool hard = false;
  BudgetAction action = BudgetAction::warn;
  std::optional<std::int64_t> throttle_per_minute;  // calls
  std::optional<std::int64_t> downgrade_to;         // a cheaper version, one of the route's targets
  // An hour that costs this many times the dearest hour of the seven days before is a surprise.
  std::int64_t surprise_factor = 4;
};
BOOST_DESCRIBE_STRUCT(Budget, (),
                      (name, owner, description, parent, tenant, route, model, period, limit,
                       warn_at, hard, action, throttle_per_minute, downgrade_to, surprise_factor))
constexpr auto rules_of(const Budget&) {
  return std::array{Rule{.field = "description", .max = 10'000, .may_miss = true},
                    Rule{.field = "parent", .max = 100, .may_miss = true},
                    Rule{.field = "tenant", .max = 200, .may_miss = true},
                    Rule{.field = "route", .max = 200, .may_miss = true},
                    Rule{.field = "model", .max = 200, .may_miss = true},
                    Rule{.field = "period", .may_miss = true},
                    Rule{.field = "warn_at", .may_miss = true},
                    Rule{.field = "hard", .may_miss = true},
                    Rule{.field = "action", .may_miss = true},
                    Rule{.field = "throttle_per_minute", .min = 1, .max = 1'000'000'000},
                    Rule{.field = "downgrade_to", .min = 1},
                    Rule{.field = "surprise_factor", .min = 2, .max = 1000, .may_miss = true}};
}

}  // namespace penstock::costs
