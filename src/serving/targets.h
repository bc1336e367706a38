// Where a version answers, for those who only ask.
#pragma once

#include "ports/sql.h"
#include "serving/route.h"

namespace penstock::serving {

// Everywhere that this version answers or shadows now, by route.
Result<std::vector<StoredTarget>> targets_of(sql::Tx& tx, const std::string& project,
                                             const std::string& model, std::int64_t version);

}  // namespace penstock::serving
