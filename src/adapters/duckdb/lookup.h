// ports/lookup.h by functions that every database of this process has: penstock_real(offer, column,
// row) and its like. An offer's number cannot be guessed, so nobody's SQL finds another's values.
#pragma once

#include <duckdb.h>

#include "base/result.h"
#include "ports/lookup.h"

namespace penstock::duckdb {

Result<void> add_lookups(duckdb_connection connection);

}  // namespace penstock::duckdb
