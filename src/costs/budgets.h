// Judges budgets after a post. Part of the post's transaction.
#pragma once

#include <set>

#include "base/call.h"
#include "costs/ledger.h"
#include "ports/sql.h"

namespace penstock::costs {

// An hour of a tenant's spending on a route, as hours since the epoch.
struct SpendingHour {
  std::string tenant, route;
  std::int64_t hour = 0;
  friend auto operator<=>(const SpendingHour&, const SpendingHour&) = default;
};

Result<void> judge_budgets(sql::Tx& tx, const Call& call, Timestamp now,
                           const std::set<SpendingHour>& touched);

}  // namespace penstock::costs
