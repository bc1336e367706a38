#pragma once

#include "ports/sql.h"

namespace penstock::training {

// Whether a run's step, the cache of steps or an evaluation refers to the artifact of this digest.
// They keep its URI inside of texts, so this reads all of them: for the collection of files only.
Result<bool> refers_to(sql::Tx& tx, const std::string& digest);

}  // namespace penstock::training
