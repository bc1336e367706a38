// Profiles of views, for components that compare with them.
#pragma once

#include "features/view_work.h"
#include "ports/sql.h"

namespace penstock::features {

// Those that are there of these days, both included, oldest first.
Result<std::vector<ViewProfile>> profiles_between(sql::Tx& tx, const std::string& project,
                                                  const std::string& view, std::int64_t version,
                                                  Timestamp first, Timestamp last);

}  // namespace penstock::features
