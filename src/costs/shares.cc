#include "costs/shares.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <sstream>

#include "audit/audit.h"
#include "base/digest.h"
#include "costs/posting.h"
#include "costs/store.h"

namespace penstock::costs {
namespace {

constexpr Money amount_max = Money::whole(1'000'000'000'000);
constexpr std::size_t shares_max = 10'000;
// Weights are scaled to add up to at most this, so that a product of two stays in 128 bits.
constexpr Wide weight_max = Wide{1} << 62;

std::string condition_of(const ShareInput& input, sql::Row& more) {
  std::string text = " AND meter <> 'shared_cost'";
  if (input.by == Measure::requests) text += " AND meter = 'requests'";
  if (input.by == Measure::gpu_time) text += " AND meter = 'gpu_microseconds'";
  if (input.by == Measure::tokens)
    text +=
        " AND meter IN ('prompt_tokens', 'cached_prompt_tokens', 'cache_write_tokens', "
        "'output_tokens', 'reasoning_tokens')";
  for (const auto& [column, value] :
       {std::pair("tenant", &input.tenant), std::pair("route", &input.route),
        std::pair("model", &input.model)})
    if (!value->empty()) {
      more.emplace_back(*value);
      text += " AND " + std::string(column) + " = $" + std::to_string(3 + more.size());
    }
  return text;
}

Result<std::vector<std::string>> dimensions_of(const std::string& over) {
  std::vector<std::string> out;
  std::istringstream names(over);
  for (std::string name; std::getline(names, name, ',');) {
    if ((name != "tenant" && name != "route" && name != "model") ||
        std::find(out.begin(), out.end(), name) != out.end())
      return Error{Code::invalid_argument,
                   "cannot split over \"" + name + "\"",
                   {{"over", "must be one or more of tenant, route, model, each once"}}};
    out.push_back(name);
  }
  if (!out.empty()) return out;
  return Error{Code::invalid_argument,
               "a share is split over something",
               {{"over", "must be one or more of tenant, route, model"}}};
}

Result<void> check(const ShareInput& input) {
  Error faults{Code::invalid_argument, "the share cannot be split"};
  if (input.amount > amount_max || input.amount < Money{} - amount_max)
    faults.violations.push_back({"amount", "must be at most " + to_text(amount_max)});
  if (input.until <= input.from) faults.violations.push_back({"until", "must be after from"});
  for (const auto& [name, at] : {std::pair("from", input.from), std::pair("until", input.until)})
    if (hour_at(hour_of(at)) != at)
      faults.violations.push_back({name, "must be the beginning of an hour"});
  if (faults.violations.empty()) return {};
  return faults;
}

// What still stands of a share. `kept` is what was answered when it was split.
Result<ShareOutput> as_posted(sql::Tx& tx, const Call& call, const std::string& source,
                              const ShareOutput& kept) {
  std::map<std::array<std::string, 3>, std::string> measured;
  for (const Share& part : kept.shares)
    measured[{part.tenant, part.route, part.model}] = part.measured;
  ShareOutput out{.source = source, .repeated = true};
  for (const LedgerLine& line : TRY(store::standing_of(tx, call.project, source, "", shares_max))) {
    out.shares.push_back({line.tenant, line.route, line.model,
                          measured[{line.tenant, line.route, line.model}], line.amount});
    out.total = out.total + line.amount;
  }
  return out;
}

// Its quantity is the share itself, not what it was measured with: bills that are split by requests
// and by tokens add up in one sum.
LedgerLine line_of(const Call& call, Timestamp now, const ShareInput& input, const Share& share) {
  const std::string who = share.tenant + "/" + share.route + "/" + share.model;
  return {.project = call.project,
          .source = "share:" + input.id,
          .id = sha256_hex(who).substr(0, 32),
          .meter = Meter::shared_cost,
          .quantity = 1,
          .at = input.from,
          .tenant = share.tenant,
          .route = share.route,
          .model = share.model,
          .pricing = Pricing::priced,
          .price = share.amount,
          .amount = share.amount,
          .posted_at = now};
}

}  // namespace

std::optional<std::vector<Money>> split(Money whole, std::span<const Wide> weights) {
  Wide total = 0;
  for (const Wide weight : weights) {
    if (weight < 0) return {};
    total += weight;
  }
  if (total <= 0) return {};
  std::vector<Wide> scaled(weights.begin(), weights.end());
  while (total > weight_max) {
    total = 0;
    for (Wide& weight : scaled) total += weight /= 2;
  }
  // a * w / W for a = q * W + r is q * w + r * w / W, and r * w fits.
  const bool negative = whole.units < 0;
  const Wide units = negative ? -whole.units : whole.units;
  const Wide quotient = units / total, rest = units % total;
  std::vector<Money> parts;
  std::vector<Wide> remainders;
  Wide left = units;
  for (const Wide weight : scaled) {
    parts.push_back({quotient * weight + rest * weight / total});
    remainders.push_back(rest * weight % total);
    left -= parts.back().units;
  }
  std::vector<std::size_t> order(parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return remainders[a] > remainders[b]; });
  for (const std::size_t at : order) {
    if (left == 0) break;
    ++parts[at].units;
    --left;
  }
  if (negative)
    for (Money& part : parts) part.units = -part.units;
  return parts;
}

Result<ShareOutput> share(sql::Tx& tx, const Call& call, Timestamp now, const ShareInput& input) {
  TRY(check(input));
  const auto over = TRY(dimensions_of(input.over));
  const std::string digest = sha256_hex(canonical(encode(input)));
  const auto before =
      TRY(tx.run("SELECT digest, output FROM ledger_shares WHERE project = $1 AND id = $2",
                 {call.project, input.id}));
  if (!before.empty()) {
    if (std::get<std::string>(before[0][0]) == digest) {
      ShareOutput kept;
      if (!std::get<std::string>(before[0][1]).empty()) sql::from_sql(before[0][1], kept);
      return as_posted(tx, call, "share:" + input.id, kept);
    }
    return Error{Code::already_exists,
                 "share " + input.id +
                     " was split otherwise: take its lines back (penstock cost "
                     "reverse share:" +
                     input.id + ") and split it under another id",
                 {{"id", "is taken"}}};
  }
  sql::Row more;
  const std::string condition = condition_of(input, more);
  ShareOutput out{.source = "share:" + input.id, .total = input.amount};
  std::vector<Wide> weights;
  for (const store::Sum& sum : TRY(store::sums(tx, call.project, hour_of(input.from),
                                               hour_of(input.until), over, condition, more))) {
    const Wide weight = input.by == Measure::cost ? sum.amount.units : Wide{sum.quantity};
    if (weight <= 0) continue;
    Share& part = out.shares.emplace_back();
    for (std::size_t at = 0; at < over.size(); ++at)
      (over[at] == "tenant"  ? part.tenant
       : over[at] == "route" ? part.route
                             : part.model) = std::get<std::string>(sum.keys[at]);
    part.measured = input.by == Measure::cost ? to_text(sum.amount) : std::to_string(sum.quantity);
    weights.push_back(weight);
  }
  const auto parts = split(input.amount, weights);
  if (!parts || out.shares.size() > shares_max)
    return Error{Code::failed_precondition,
                 !parts ? "nothing was measured to split by: no " + std::string(name_of(input.by)) +
                              " in this period; choose another `by` or period"
                        : "there are more than " + std::to_string(shares_max) +
                              " parts: split over fewer dimensions"};
  std::vector<LedgerLine> lines;
  for (std::size_t at = 0; at < parts->size(); ++at) {
    out.shares[at].amount = (*parts)[at];
    lines.push_back(line_of(call, now, input, out.shares[at]));
  }
  // One bill is no hour's habit: limits see it with the next call, surprises do not.
  TRY(write(tx, call, now, lines, false));
  TRY(
      tx.run("INSERT INTO ledger_shares (project, id, at, actor, digest, input, output) VALUES "
             "($1, $2, $3, $4, $5, $6, $7)",
             {call.project, input.id, sql::to_sql(now), call.actor, digest, sql::to_sql(input),
              sql::to_sql(out)}));
  TRY(audit::record(tx, call, now,
                    {"costs.shared",
                     "share:" + input.id,
                     {{"amount", to_text(input.amount)},
                      {"by", name_of(input.by)},
                      {"over", input.over},
                      {"parts", out.shares.size()},
                      {"description", input.description}}}));
  return out;
}

}  // namespace penstock::costs
