// A bill for what many used together, split over them by a measure, so that the parts add up to it.
#pragma once

#include <span>

#include "base/call.h"
#include "costs/ledger.h"
#include "ports/sql.h"

namespace penstock::costs {

// `whole` in parts of these weights, by largest remainder: each part is its exact share rounded to
// one 1e-12 or the next, and they add up to `whole`. Among equal remainders the earlier goes first.
// Nothing where no weight is above 0, or one is below.
std::optional<std::vector<Money>> split(Money whole, std::span<const Wide> weights);

enum class Measure { requests, tokens, gpu_time, cost };
BOOST_DESCRIBE_ENUM(Measure, requests, tokens, gpu_time, cost)

struct ShareInput {
  std::string
      id;  // the caller's, as the number of an invoice: the same share again is not made again
  std::string description;
  Money amount;
  Timestamp from, until;  // what was used in these is measured; whole hours
  Measure by = Measure::requests;
  std::string over = "tenant";       // one or more of tenant, route, model
  std::string tenant, route, model;  // only those who used these; empty: all
};
BOOST_DESCRIBE_STRUCT(ShareInput, (),
                      (id, description, amount, from, until, by, over, tenant, route, model))
constexpr auto rules_of(const ShareInput&) {
  const auto filter = [](std::string_view field) {
    return Rule{.field = field, .max = 200, .may_miss = true};
  };
  return std::array{Rule{.field = "id", .min = 1, .max = 80},
                    Rule{.field = "description", .max = 1000, .may_miss = true},
                    Rule{.field = "over", .max = 100, .may_miss = true},
                    filter("tenant"),
                    filter("route"),
                    filter("model")};
}
struct Share {
  std::string tenant, route, model;
  std::string measured;  // as text: a number, or an amount
  Money amount;
};
BOOST_DESCRIBE_STRUCT(Share, (), (tenant, route, model, measured, amount))
struct ShareOutput {
  std::string source;  // of its lines in the ledger
  std::vector<Share> shares;
  Money total;
  bool repeated = false;
};
BOOST_DESCRIBE_STRUCT(ShareOutput, (), (source, shares, total, repeated))

Result<ShareOutput> share(sql::Tx& tx, const Call& call, Timestamp now, const ShareInput& input);

}  // namespace penstock::costs
