#include "costs/budgets.h"

#include <algorithm>
#include <map>

#include "audit/audit.h"
#include "costs/store.h"
#include "incidents/service.h"
#include "resources/service.h"

namespace penstock::costs {
namespace {

constexpr std::int64_t week_hours = 7 * 24;
// Below this many hours with spending there is no habit that could be broken.
constexpr std::size_t habit_hours = 12;

bool covers(const Budget& budget, const std::string& tenant, const std::string& route) {
  return (budget.tenant.empty() || budget.tenant == tenant) &&
         (budget.route.empty() || budget.route == route);
}

// The hour at which the budget's period that holds `hour` began.
std::int64_t period_start(Period period, std::int64_t hour) {
  const std::chrono::sys_days day(std::chrono::days(hour / 24));
  if (period == Period::day) return hour - hour % 24;
  const std::chrono::year_month_day date(day);
  const std::chrono::sys_days first(date.year() / date.month() / 1);
  return first.time_since_epoch().count() * 24;
}

std::string hour_text(std::int64_t hour) { return to_rfc3339(Timestamp(std::chrono::hours(hour))); }

Result<void> judge_surprise(sql::Tx& tx, const Call& call, Timestamp now, const Budget& budget,
                            std::int64_t hour) {
  std::map<std::int64_t, Money> by_hour;
  for (const store::Total& total :
       TRY(store::totals(tx, call.project, hour - week_hours, hour + 1)))
    if (covers(budget, total.tenant, total.route))
      by_hour[total.hour] = by_hour[total.hour] + total.amount;
  const Money spent = by_hour[hour];
  by_hour.erase(hour);
  if (by_hour.size() < habit_hours) return {};
  Money dearest;
  for (const auto& [ignored, amount] : by_hour) dearest = std::max(dearest, amount);
  const Money threshold = price_of(budget.surprise_factor, dearest, 1);
  if (spent <= threshold || spent <= Money{}) return {};
  // One incident an hour, not one a batch.
  TRY(incidents::open(
      tx, call, now,
      {.dedup_key = "budget:" + budget.name + ":surprise:" + std::to_string(hour),
       .title = "Cost surprise: " + to_text(spent) + " in the hour from " + hour_text(hour) +
                "; the dearest hour of the week before cost " + to_text(dearest),
       .severity = incidents::Severity::critical,
       .subject = "budget:" + budget.name,
       .owner = budget.owner,
       .detail = {{"spent", to_text(spent)}, {"threshold", to_text(threshold)}}}));
  return {};
}

// That of the first price list: a ledger has one.
Result<std::string> currency_of(sql::Tx& tx, const Call& call) {
  const auto lists = TRY(resources::list(tx, call.project, "price_list"));
  if (lists.empty()) return std::string("USD");
  return TRY(decode<PriceList>(lists.front().declaration)).currency;
}

Result<void> judge_limit(sql::Tx& tx, const Call& call, Timestamp now, const Budget& budget,
                         std::int64_t hour) {
  const std::int64_t start = period_start(budget.period, hour);
  const std::int64_t end =
      budget.period == Period::day ? start + 24 : period_start(budget.period, start + 32 * 24);
  Money spent;
  for (const store::Total& total : TRY(store::totals(tx, call.project, start, end)))
    if (covers(budget, total.tenant, total.route)) spent = spent + total.amount;
  const auto warn_share = static_cast<std::int64_t>(budget.warn_at * 1000);
  const bool passed = spent > budget.limit;
  if (!passed && spent <= price_of(warn_share, budget.limit, 1000)) return {};
  const auto incident = TRY(incidents::open(
      tx, call, now,
      {.dedup_key = "budget:" + budget.name + (passed ? ":passed:" : ":warned:") + hour_text(start),
       .title = "Budget " + budget.name + (passed ? " is passed: " : " is nearly spent: ") +
                to_text(spent) + " of " + to_text(budget.limit),
       .severity = passed ? incidents::Severity::critical : incidents::Severity::warning,
       .subject = "budget:" + budget.name,
       .owner = budget.owner,
       .detail = {{"spent", to_text(spent)}, {"limit", to_text(budget.limit)}}}));
  if (!passed || incident.occurrences > 1) return {};
  // Whoever follows the log hears of it once a period.
  return audit::record(tx, call, now,
                       {"costs.budget.passed",
                        "budget:" + budget.name,
                        {{"spent", to_text(spent)},
                         {"limit", to_text(budget.limit)},
                         {"currency", TRY(currency_of(tx, call))},
                         {"period", name_of(budget.period)},
                         {"from", hour_text(start)},
                         {"tenant", budget.tenant},
                         {"route", budget.route}}});
}

}  // namespace

Result<void> judge_budgets(sql::Tx& tx, const Call& call, Timestamp now,
                           const std::set<SpendingHour>& touched) {
  for (const resources::Resource& resource : TRY(resources::list(tx, call.project, "budget"))) {
    const Budget budget = TRY(decode<Budget>(resource.declaration));
    std::set<std::int64_t> hours, periods;
    for (const SpendingHour& spending : touched) {
      if (!covers(budget, spending.tenant, spending.route)) continue;
      hours.insert(spending.hour);
      periods.insert(period_start(budget.period, spending.hour));
    }
    for (const std::int64_t hour : hours) TRY(judge_surprise(tx, call, now, budget, hour));
    for (const std::int64_t hour : periods) TRY(judge_limit(tx, call, now, budget, hour));
  }
  return {};
}

}  // namespace penstock::costs
