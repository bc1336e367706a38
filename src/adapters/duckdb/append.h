// Rows that are no SQL, into a table.
#pragma once

#include "adapters/duckdb/values.h"

namespace penstock::duckdb {

// As olap::Session::append. The message of an error is DuckDB's.
Result<void> append(duckdb_connection connection, const std::string& table,
                    const olap::Chunk& chunk);

}  // namespace penstock::duckdb
