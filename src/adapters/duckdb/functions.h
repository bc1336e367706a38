// Functions of ports/olap.h as DuckDB's scalar functions.
#pragma once

#include <duckdb.h>

#include "ports/olap.h"

namespace penstock::duckdb {

// Defines it for all connections of the database; already_exists where there is one of its name.
Result<void> define(duckdb_connection connection, olap::Function function);

}  // namespace penstock::duckdb
