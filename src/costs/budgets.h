// Judges budgets after a post, as part of its transaction, and checks their tree.
#pragma once

#include <set>

#include "base/call.h"
#include "costs/ledger.h"
#include "ports/sql.h"

namespace penstock::costs {

// An hour of a tenant's spending on a route, as hours since the epoch.
struct SpendingHour {
  std::string tenant, route, model;
  std::int64_t hour = 0;
  friend auto operator<=>(const SpendingHour&, const SpendingHour&) = default;
};

bool covers(const Budget& budget, std::string_view tenant, std::string_view route,
            std::string_view model);
// The hour, since the epoch, at which the period that holds `hour` began, and when it ends.
std::int64_t period_start(Period period, std::int64_t hour);
std::int64_t period_end(Period period, std::int64_t hour);

// What a KindHandler checks: no circles, what a child covers its parent covers, and each action has
// what it needs.
Result<void> check_budget(sql::Tx& tx, const Call& call, const Budget& budget);

Result<void> judge_budgets(sql::Tx& tx, const Call& call, Timestamp now,
                           const std::set<SpendingHour>& touched);

}  // namespace penstock::costs
