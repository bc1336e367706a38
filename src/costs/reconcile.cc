#include "costs/reconcile.h"

#include <algorithm>
#include <map>
#include <set>

#include "audit/audit.h"
#include "costs/posting.h"
#include "costs/store.h"
#include "incidents/service.h"

namespace penstock::costs {
namespace {

constexpr std::size_t days_max = 366;
constexpr std::size_t shown_max = 20;
constexpr std::int64_t quantity_of_key_max = 1'000'000'000'000'000'000;
constexpr std::int64_t listed_max = 10'000;

using Key = std::tuple<std::string, std::string, std::string>;  // day, model, meter ("" is all)

struct Metered {
  std::int64_t quantity = 0, unpriced = 0;
  Money amount;
};

std::string day_at(std::int64_t day) { return to_rfc3339(hour_at(day * 24)).substr(0, 10); }

Result<std::int64_t> day_of(const std::string& text, const std::string& field) {
  const auto at = from_rfc3339(text);
  if (text.size() == 10 && at) return hour_of(*at) / 24;
  return Error{
      Code::invalid_argument, field + " is no day", {{field, "must be a day as 2026-11-01"}}};
}

bool within(Wide a, Wide b, Money tolerance) {
  const Wide greater = std::max(a < 0 ? -a : a, b < 0 ? -b : b);
  const Wide difference = a < b ? b - a : a - b;
  // Without a product that may not fit: the tolerance's share of `greater`.
  return difference <= greater / Money::per_whole * tolerance.units +
                           greater % Money::per_whole * tolerance.units / Money::per_whole;
}

// A report may have several rows of one key, as by region: they add up.
Result<std::map<Key, ReportedUsage>> reported(const ReconcileInput& input,
                                              std::set<std::int64_t>& days) {
  std::map<Key, ReportedUsage> out;
  for (std::size_t at = 0; at < input.rows.size(); ++at) {
    const ReportedUsage& row = input.rows[at];
    const std::string field = "rows[" + std::to_string(at) + "]";
    days.insert(TRY(day_of(row.day, field + ".day")));
    if (!row.quantity && !row.amount)
      return Error{Code::invalid_argument,
                   "a row says a quantity, an amount or both",
                   {{field, "has neither quantity nor amount"}}};
    if (row.quantity && !row.meter)
      return Error{Code::invalid_argument,
                   "a quantity is of a meter",
                   {{field + ".meter", "is missing beside quantity"}}};
    const Key key{row.day, row.model, row.meter ? std::string(name_of(*row.meter)) : ""};
    const auto [found, added] = out.try_emplace(key, row);
    if (added) continue;
    ReportedUsage& sum = found->second;
    if (row.quantity) {
      if (sum.quantity.value_or(0) > quantity_of_key_max - *row.quantity)
        return Error{Code::invalid_argument,
                     "the rows of " + row.day + " and " + row.model + " add up to more than 10^18",
                     {{field + ".quantity", "is too large beside those before"}}};
      sum.quantity = sum.quantity.value_or(0) + *row.quantity;
    }
    if (row.amount) sum.amount = sum.amount.value_or(Money{}) + *row.amount;
  }
  if (days.size() <= days_max) return out;
  return Error{Code::invalid_argument,
               "a report has at most a year of days",
               {{"rows", "have more than 366 days"}}};
}

// By day, model and meter, and each model's whole under the meter "".
Result<std::map<Key, Metered>> metered(sql::Tx& tx, const Call& call, const ReconcileInput& input,
                                       const std::set<std::int64_t>& days) {
  const std::string upstream = input.upstream.empty() ? input.provider : input.upstream;
  std::map<Key, Metered> out;
  for (const store::Sum& sum :
       TRY(store::sums(tx, call.project, *days.begin() * 24, (*days.rbegin() + 1) * 24,
                       {"hour / 24", "upstream_model", "model", "meter", "pricing"},
                       upstream == "*" ? "" : " AND upstream = $4",
                       upstream == "*" ? sql::Row{} : sql::Row{upstream}))) {
    if (!days.contains(std::get<std::int64_t>(sum.keys[0]))) continue;
    const auto text = [&](std::size_t at) { return std::get<std::string>(sum.keys[at]); };
    const std::string model = text(1).empty() ? text(2) : text(1);
    const bool unpriced = text(4) == name_of(Pricing::unpriced);
    for (const std::string& meter : {text(3), std::string()}) {
      Metered& one = out[{day_at(std::get<std::int64_t>(sum.keys[0])), model, meter}];
      one.quantity += sum.quantity;
      one.unpriced += unpriced ? sum.quantity : 0;
      one.amount = one.amount + sum.amount;
    }
  }
  return out;
}

Outcome outcome_of(const Comparison& row, Money tolerance) {
  if (row.metered_quantity == 0 && row.metered_amount == Money{} &&
      (row.reported_quantity.value_or(0) != 0 || row.reported_amount.value_or(Money{}) != Money{}))
    return Outcome::not_metered;
  if (row.reported_quantity && !within(*row.reported_quantity, row.metered_quantity, tolerance))
    return Outcome::differs;
  if (row.reported_amount &&
      !within(row.reported_amount->units, row.metered_amount.units, tolerance))
    return Outcome::differs;
  return Outcome::agrees;
}

Comparison row_of(const std::string& provider, const Key& key, const Metered* here, Timestamp now) {
  Comparison row{.provider = provider,
                 .day = std::get<0>(key),
                 .model = std::get<1>(key),
                 .meter = std::get<2>(key),
                 .compared_at = now};
  if (here) {
    row.metered_quantity = here->quantity;
    row.metered_amount = here->amount;
    row.unpriced_quantity = here->unpriced;
  }
  return row;
}

std::vector<Comparison> compare(const ReconcileInput& input, Timestamp now,
                                const std::map<Key, ReportedUsage>& theirs,
                                const std::map<Key, Metered>& ours) {
  std::vector<Comparison> out;
  std::set<std::string> meters;  // that this provider reports at all
  std::set<std::pair<std::string, std::string>> wholes;
  for (const auto& [key, reported] : theirs) {
    meters.insert(std::get<2>(key));
    if (std::get<2>(key).empty()) wholes.emplace(std::get<0>(key), std::get<1>(key));
    const auto found = ours.find(key);
    Comparison& row = out.emplace_back(
        row_of(input.provider, key, found == ours.end() ? nullptr : &found->second, now));
    row.reported_quantity = reported.quantity;
    row.reported_amount = reported.amount;
    row.outcome = outcome_of(row, input.tolerance);
  }
  for (const auto& [key, here] : ours) {
    const auto& [day, model, meter] = key;
    if (theirs.contains(key) || !meters.contains(meter) || here.quantity == 0 ||
        (!meter.empty() && wholes.contains({day, model})))
      continue;
    out.push_back(row_of(input.provider, key, &here, now));
    out.back().outcome = Outcome::not_reported;
  }
  return out;
}

Result<void> open_incidents(sql::Tx& tx, const Call& call, Timestamp now,
                            const std::string& provider, const std::vector<Comparison>& rows) {
  std::map<std::string, json::array> by_day;
  std::map<std::string, std::size_t> counts;
  for (const Comparison& row : rows) {
    if (row.outcome == Outcome::agrees) continue;
    ++counts[row.day];
    if (by_day[row.day].size() < shown_max) by_day[row.day].push_back(encode(row));
  }
  for (const auto& [day, shown] : by_day)
    TRY(incidents::open(
        tx, call, now,
        {.dedup_key = "reconcile:" + provider + ":" + day,
         .title = "What " + provider + " reports of " + day +
                  " is not what was metered: " + std::to_string(counts[day]) + " differences",
         .severity = incidents::Severity::warning,
         .subject = "provider:" + provider,
         .detail = {{"day", day}, {"differences", shown}}}));
  return {};
}

}  // namespace

Result<Reconciliation> reconcile(sql::Tx& tx, const Call& call, Timestamp now,
                                 const ReconcileInput& input) {
  if (input.tolerance < Money{} || input.tolerance > Money::whole(1))
    return Error{Code::invalid_argument,
                 "tolerance is a share",
                 {{"tolerance", "must be from 0 to 1; 0.01 is 1%"}}};
  std::set<std::int64_t> days;
  const auto theirs = TRY(reported(input, days));
  const auto ours = TRY(metered(tx, call, input, days));
  Reconciliation out{.rows = compare(input, now, theirs, ours)};
  for (const std::int64_t day : days)
    TRY(tx.run(
        "DELETE FROM ledger_reconciliations WHERE project = $1 AND provider = $2 AND day = $3",
        {call.project, input.provider, day_at(day)}));
  for (const Comparison& row : out.rows) {
    out.differences += row.outcome == Outcome::agrees ? 0 : 1;
    sql::Row values{call.project};
    std::string marks = "$1";
    for_each_member(row, [&](auto, auto& field, auto&) {
      values.push_back(sql::to_sql(field));
      marks += ", $" + std::to_string(values.size());
    });
    TRY(tx.run("INSERT INTO ledger_reconciliations (project, " + columns<Comparison>() +
                   ") VALUES (" + marks + ")",
               values));
  }
  TRY(open_incidents(tx, call, now, input.provider, out.rows));
  TRY(audit::record(tx, call, now,
                    {"costs.reconciled",
                     "provider:" + input.provider,
                     {{"from", day_at(*days.begin())},
                      {"to", day_at(*days.rbegin())},
                      {"rows", out.rows.size()},
                      {"differences", out.differences},
                      {"tolerance", to_text(input.tolerance)}}}));
  return out;
}

Result<Reconciliation> reconciliations(sql::Tx& tx, const Call& call,
                                       const ReconciliationsInput& input) {
  for (const auto& [name, text] :
       {std::pair("from", &input.from), std::pair("until", &input.until)})
    if (!text->empty()) TRY(day_of(*text, name));
  static const std::string text =
      "SELECT " + columns<Comparison>() +
      " FROM ledger_reconciliations WHERE project = $1 AND ($2 = '' OR provider = $2) AND day >= "
      "$3 "
      "AND ($4 = '' OR day < $4) ORDER BY provider, day, model, meter LIMIT $5";
  Reconciliation out;
  for (Comparison& row : TRY(sql::select<Comparison>(
           tx, text, {call.project, input.provider, input.from, input.until, listed_max}))) {
    const bool differs = row.outcome != Outcome::agrees;
    out.differences += differs ? 1 : 0;
    if (differs || !input.only_differences) out.rows.push_back(std::move(row));
  }
  return out;
}

}  // namespace penstock::costs
