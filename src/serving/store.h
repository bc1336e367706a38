// The tables of serving. One function is one statement.
#pragma once

#include "ports/sql.h"
#include "serving/batch.h"
#include "serving/route.h"

namespace penstock::serving::store {

Result<std::vector<StoredTarget>> targets(sql::Tx& tx, const std::string& project,
                                          const std::string& route);
Result<std::vector<StoredTarget>> all_targets(
    sql::Tx& tx);                                        // of every project, by project and route
Result<std::vector<std::string>> projects(sql::Tx& tx);  // that have targets
Result<void> remove_targets(sql::Tx& tx, const std::string& project, const std::string& route);
Result<std::vector<BatchOutput>> outputs(sql::Tx& tx, const std::string& project,
                                         const std::string& output);
// False where the partition stood already.
Result<bool> add_output(sql::Tx& tx, const BatchOutput& output);

}  // namespace penstock::serving::store
