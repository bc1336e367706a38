#pragma once

#include <memory>

#include "ports/tables.h"

namespace penstock::postgres {

// Tables, views and partitioned, materialized or foreign tables, read as whoever the connection
// names. A name is read as PostgreSQL reads it: folded to lower case unless it is quoted, and found
// by the search path unless it names a schema. Each call makes a connection of its own.
//
// numeric(p,s) up to 38 digits is DECIMAL(p,s), and numeric without a precision DECIMAL(38,12):
// digits beyond the twelfth are rounded. Arrays, JSON, UUIDs, enums and whatever DuckDB has no type
// for come as texts.
std::unique_ptr<tables::Reader> table_reader();

}  // namespace penstock::postgres
