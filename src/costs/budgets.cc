#include "costs/budgets.h"

#include <algorithm>
#include <map>
#include <span>

#include "audit/audit.h"
#include "costs/store.h"
#include "incidents/service.h"
#include "resources/service.h"

namespace penstock::costs {
namespace {

constexpr std::int64_t week_hours = 7 * 24;
// Below this many hours with spending there is no habit that could be broken.
constexpr std::size_t habit_hours = 12;

std::string hour_text(std::int64_t hour) { return to_rfc3339(Timestamp(std::chrono::hours(hour))); }

// `totals` are of the hour and of the week before.
Result<void> judge_surprise(sql::Tx& tx, const Call& call, Timestamp now, const Budget& budget,
                            std::int64_t hour, std::span<const store::Total> totals) {
  std::map<std::int64_t, Money> by_hour;
  for (const store::Total& total : totals)
    if (covers(budget, total.tenant, total.route, total.model))
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

// `totals` are of the budget's period from `start` on.
Result<void> judge_limit(sql::Tx& tx, const Call& call, Timestamp now, const Budget& budget,
                         std::int64_t start, std::span<const store::Total> totals) {
  Money spent;
  for (const store::Total& total : totals)
    if (covers(budget, total.tenant, total.route, total.model)) spent = spent + total.amount;
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
                         {"route", budget.route},
                         {"model", budget.model}}});
}

constexpr int depth_max = 16;

Error fault(const Budget& budget, std::string field, std::string problem) {
  return {Code::invalid_argument,
          "budget " + budget.name + ": " + field + " " + problem,
          {{std::move(field), std::move(problem)}}};
}

Result<void> check_action(const Budget& budget) {
  if (budget.limit <= Money{}) return fault(budget, "limit", "must be above 0");
  if (!(budget.warn_at > 0 && budget.warn_at <= 1))
    return fault(budget, "warn_at", "must be above 0 and at most 1");
  if (budget.action == BudgetAction::throttle && !budget.throttle_per_minute)
    return fault(budget, "throttle_per_minute", "must say how many calls a minute are left");
  if (budget.action == BudgetAction::downgrade) {
    if (!budget.downgrade_to)
      return fault(budget, "downgrade_to", "must name the cheaper version, as in downgrade_to: 3");
    if (budget.route.empty() && budget.model.empty())
      return fault(budget, "model", "must be set, or route, so that downgrade_to is one of them");
  }
  return {};
}

// A child covers no more than its parent.
Result<void> check_within(const Budget& child, const Budget& parent) {
  const auto inside = [&](std::string field, const std::string& inner,
                          const std::string& outer) -> Result<void> {
    if (outer.empty() || inner == outer) return {};
    return fault(child, std::move(field), "must be " + outer + ", as of its parent " + parent.name);
  };
  TRY(inside("tenant", child.tenant, parent.tenant));
  TRY(inside("route", child.route, parent.route));
  return inside("model", child.model, parent.model);
}

}  // namespace

bool covers(const Budget& budget, std::string_view tenant, std::string_view route,
            std::string_view model) {
  return (budget.tenant.empty() || budget.tenant == tenant) &&
         (budget.route.empty() || budget.route == route) &&
         (budget.model.empty() || budget.model == model);
}

std::int64_t period_start(Period period, std::int64_t hour) {
  const std::chrono::sys_days day(std::chrono::days(hour / 24));
  if (period == Period::day) return hour - hour % 24;
  const std::chrono::year_month_day date(day);
  const std::chrono::sys_days first(date.year() / date.month() / 1);
  return first.time_since_epoch().count() * 24;
}

std::int64_t period_end(Period period, std::int64_t hour) {
  const std::int64_t start = period_start(period, hour);
  return period == Period::day ? start + 24 : period_start(period, start + 32 * 24);
}

Result<void> check_budget(sql::Tx& tx, const Call& call, const Budget& budget) {
  TRY(check_action(budget));
  std::string way = budget.name, name = budget.parent;
  std::optional<Budget> nearest;
  for (int depth = 0; !name.empty(); ++depth) {
    way += " -> " + name;
    if (name == budget.name) return fault(budget, "parent", "makes a circle: " + way);
    if (depth >= depth_max)
      return fault(budget, "parent", "is too deep: at most " + std::to_string(depth_max));
    const auto parent = resources::declared<Budget>(tx, call.project, "budget", name);
    if (!parent)
      return fault(budget, "parent",
                   "names no budget: " + name + "; declare it before, or first in the same file");
    if (!nearest) nearest = *parent;
    name = parent->parent;
  }
  if (nearest) TRY(check_within(budget, *nearest));
  for (const resources::Resource& resource : TRY(resources::list(tx, call.project, "budget"))) {
    const Budget other = TRY(decode<Budget>(resource.declaration));
    if (other.parent == budget.name) TRY(check_within(other, budget));
  }
  return {};
}

Result<void> judge_budgets(sql::Tx& tx, const Call& call, Timestamp now,
                           const std::set<SpendingHour>& touched) {
  std::vector<Budget> budgets;
  for (const resources::Resource& resource : TRY(resources::list(tx, call.project, "budget")))
    budgets.push_back(TRY(decode<Budget>(resource.declaration)));
  // By the sums that they look at, which are read once for all of them.
  std::map<std::int64_t, std::set<const Budget*>> by_hour;
  std::map<std::pair<std::int64_t, std::int64_t>, std::set<const Budget*>> by_period;
  for (const Budget& budget : budgets)
    for (const SpendingHour& spending : touched) {
      if (!covers(budget, spending.tenant, spending.route, spending.model)) continue;
      by_hour[spending.hour].insert(&budget);
      by_period[{period_start(budget.period, spending.hour),
                 period_end(budget.period, spending.hour)}]
          .insert(&budget);
    }
  for (const auto& [hour, judged] : by_hour) {
    const auto totals = TRY(store::totals(tx, call.project, hour - week_hours, hour + 1));
    for (const Budget* budget : judged) TRY(judge_surprise(tx, call, now, *budget, hour, totals));
  }
  for (const auto& [period, judged] : by_period) {
    const auto totals = TRY(store::totals(tx, call.project, period.first, period.second));
    for (const Budget* budget : judged)
      TRY(judge_limit(tx, call, now, *budget, period.first, totals));
  }
  return {};
}

}  // namespace penstock::costs
