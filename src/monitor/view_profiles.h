// What the rows of feature views looked like, in the bins of a route.
#pragma once

#include "monitor/store.h"

namespace penstock::monitor {

// How many rows of the feature's view, with event times on days `first` to `last`, fall in each bin
// between `edges`, as its profiles say: exactly where they name every value, else by lines between
// their quantiles. Nothing where there are none, or single values are not shown.
Result<std::optional<Counts>> view_counts(sql::Tx& tx, const Profile& profile,
                                          const std::string& feature,
                                          const std::vector<double>& edges, std::int64_t first,
                                          std::int64_t last);

}  // namespace penstock::monitor
