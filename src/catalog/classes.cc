#include "catalog/classes.h"

namespace penstock::catalog {

Result<std::vector<ColumnClass>> column_classes(sql::Tx&, const std::string&,
                                                const Source& source) {
  std::vector<ColumnClass> classes;
  for (const SourceColumn& column : source.columns)
    classes.push_back({column.name, column.classification, column.tags});
  return classes;
}

}  // namespace penstock::catalog
