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
  shared_cost,  // a part of a bill that was split; its quantity is 1
};
BOOST_DESCRIBE_ENUM(Meter, requests, prompt_tokens, cached_prompt_tokens, cache_write_tokens,
                    output_tokens, reasoning_tokens, compute_microseconds, gpu_microseconds,
                    retrieval_calls, reranker_calls, human_review_seconds, shared_cost)

constexpr bool is_prompt(Meter meter) {
  return meter == Meter::prompt_tokens || meter == Meter::cached_prompt_tokens ||
         meter == Meter::cache_write_tokens;
}
constexpr bool is_tokens(Meter meter) {
  return is_prompt(meter) || meter == Meter::output_tokens || meter == Meter::reasoning_tokens;
}

// Of one line: a thousand GPUs for a week and more.
inline constexpr std::int64_t quantity_max = 1'000'000'000'000'000;

// How a usage came about; offline is all that no route answered.
enum class UsageMode { online, batch, stream, shadow, offline };
BOOST_DESCRIBE_ENUM(UsageMode, online, batch, stream, shadow, offline)

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
  UsageMode mode = UsageMode::offline;
  std::string user_tag;        // the caller's tag of its own user
  std::string experiment;      // of the A/B experiment that chose the version
  std::string upstream;        // who answered, where that was another server
  std::string upstream_model;  // as that server calls it
};
BOOST_DESCRIBE_STRUCT(Usage, (),
                      (source, id, meter, quantity, at, tenant, route, model, version, release,
                       mode, user_tag, experiment, upstream, upstream_model))
constexpr auto rules_of(const Usage&) {
  const auto text = [](std::string_view field) {
    return Rule{.field = field, .max = 200, .may_miss = true};
  };
  return std::array{Rule{.field = "source", .min = 1, .max = 100},
                    Rule{.field = "id", .min = 1, .max = 200},
                    Rule{.field = "quantity", .min = 0, .max = quantity_max},
                    Rule{.field = "tenant", .max = 200},
                    text("route"),
                    text("model"),
                    Rule{.field = "version", .min = 0, .may_miss = true},
                    text("release"),
                    Rule{.field = "mode", .may_miss = true},
                    text("user_tag"),
                    text("experiment"),
                    text("upstream"),
                    text("upstream_model")};
}

// What a call used of one meter, or may, and by which model; its texts are those of what it was
// taken from.
struct Metered {
  Meter meter = Meter::requests;
  std::int64_t quantity = 0;
  std::string_view model, upstream_model;
  std::int64_t call_tokens = 0;  // of tokens: all that the call's prompt had, or may have
  std::string line = {};         // the id of its line; empty: the call's own
};

enum class Pricing { priced, unpriced };
BOOST_DESCRIBE_ENUM(Pricing, priced, unpriced)

// A line never changes. `entry` 0 is as it was posted; each correction adds two: an odd one that
// takes back the line before it (quantity and amount negative), and, but for a mere reversal, an
// even one that stands in its place.
struct LedgerLine {
  std::string project, source, id;
  Meter meter = Meter::requests;
  std::int64_t entry = 0;
  std::int64_t quantity = 0;
  Timestamp at;
  std::string tenant, route, model;
  std::int64_t version = 0;
  std::string release;
  UsageMode mode = UsageMode::offline;
  std::string user_tag, experiment, upstream, upstream_model;
  std::int64_t call_tokens = 0;  // all that the call's prompt had: prices may depend on it
  Pricing pricing = Pricing::unpriced;
  Money price;  // for `per` units, as it stood at `at` and was known at `posted_at`
  std::int64_t per = 1;
  Money amount;
  std::string price_list;         // "price_list:standard@1"
  std::int64_t price_entry = -1;  // place in that list's prices, from 0
  Timestamp posted_at;
  std::string correction;  // id of the one that made this line; empty: none did
};
BOOST_DESCRIBE_STRUCT(LedgerLine, (),
                      (project, source, id, meter, entry, quantity, at, tenant, route, model,
                       version, release, mode, user_tag, experiment, upstream, upstream_model,
                       call_tokens, pricing, price, per, amount, price_list, price_entry, posted_at,
                       correction))

// What a usage costs by the price in force, or that none is.
struct Charge {
  Pricing pricing = Pricing::unpriced;
  Money price;
  std::int64_t per = 1;
  Money amount;
  std::string_view price_list;  // of the price book, and as long as that lives
  std::int64_t price_entry = -1;
};

// kind: price_list. A price is in force from `from` until just before `until`. Where several are:
// one for the call's tenant comes before one for all, then one that names the model (by our name,
// then by the upstream's), then the tier, then the later `from`.
struct Price {
  Meter meter = Meter::requests;
  std::optional<std::string> model;   // ours, or the name that the upstream has for it
  std::optional<std::string> tenant;  // of this one alone
  Money price;
  std::int64_t per = 1;
  Timestamp from;
  std::optional<Timestamp> until;
  // Tiers. Of calls whose whole prompt has more tokens than this: for all that the call used.
  std::int64_t above_call_tokens = 0;
  // Of what is used after this much was used in the month (of UTC, by the model; by the tenant
  // where the price is a tenant's). A line is priced whole by where it begins.
  std::int64_t above_month_quantity = 0;
};
BOOST_DESCRIBE_STRUCT(Price, (),
                      (meter, model, tenant, price, per, from, until, above_call_tokens,
                       above_month_quantity))
constexpr auto rules_of(const Price&) {
  return std::array{
      Rule{.field = "per", .min = 1, .max = 1'000'000'000'000, .may_miss = true},
      Rule{.field = "above_call_tokens", .min = 0, .max = 1'000'000'000'000, .may_miss = true},
      Rule{.field = "above_month_quantity",
           .min = 0,
           .max = 1'000'000'000'000'000,
           .may_miss = true}};
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
