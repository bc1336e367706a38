// The table of results. One function is one statement.
#pragma once

#include "policies/policy.h"
#include "ports/sql.h"

namespace penstock::policies::store {

// Newest first; an empty subject or policy is every one.
Result<std::vector<Finding>> results(sql::Tx& tx, const std::string& project,
                                     const std::string& subject, const std::string& policy,
                                     std::int64_t limit);

}  // namespace penstock::policies::store
