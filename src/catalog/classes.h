// The class of each column as it stands, which is not always the one that was declared.
#pragma once

#include "catalog/source.h"
#include "ports/sql.h"

namespace penstock::catalog {

struct ColumnClass {
  std::string column;
  Classification classification = Classification::internal;
  std::vector<std::string> tags;
};

// One for each column of `source`, in the order of its declaration.
Result<std::vector<ColumnClass>> column_classes(sql::Tx& tx, const std::string& project,
                                                const Source& source);

}  // namespace penstock::catalog
