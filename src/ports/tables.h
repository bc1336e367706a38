// Tables of other systems, as sources of the catalog: what is in them, and their rows.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"
#include "ports/olap.h"

namespace penstock::tables {

struct Column {
  olap::Column column;  // `declared` is how the rows that copy() gives are to be read
  std::string native;   // the system's own word: "numeric(12,2)"
  bool nullable = true;
  std::string description;
};

struct Table {
  std::string description;
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> keys;  // the primary key first, then other unique ones
  bool has_primary_key = false;
};

class Reader {
 public:
  virtual ~Reader() = default;
  // invalid_argument for what is no connection, and for one that holds a password where it must
  // not; the error shows nothing of it.
  virtual Result<void> check_connection(const std::string& connection, bool may_hold_password) = 0;
  // `connection` may hold a password, which no error shows. not_found where there is no such table,
  // unavailable where the server is not there.
  virtual Result<Table> describe(const std::string& connection, const std::string& table,
                                 Micros time_limit) = 0;
  // Writes these columns of every row to the file `path`: CSV with a header, null as nothing at all
  // and an empty text as "", times in UTC. One snapshot of the table. resource_exhausted beyond
  // `bytes_max`.
  virtual Result<void> copy(const std::string& connection, const std::string& table,
                            const std::vector<Column>& columns, const std::string& path,
                            std::int64_t bytes_max, Micros time_limit) = 0;
};

}  // namespace penstock::tables
