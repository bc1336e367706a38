// The tables in a parsed query.
#pragma once

#include <set>
#include <string>

#include "base/described.h"

namespace penstock::duckdb {

// Names in the tree that DuckDB's json_serialize_sql gives, with the schema before a dot where the
// query says one. Names that WITH defines are not among them, nor are table functions.
std::set<std::string> tables_in(const json::value& tree);

}  // namespace penstock::duckdb
