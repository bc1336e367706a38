// What of a source a reader may count on, and who can read whose rows.
#pragma once

#include <string>
#include <vector>

#include "catalog/source.h"

namespace penstock::catalog {

// Why a reader by one declaration cannot read every row that was written by another.
struct Incompatibility {
  std::string field;  // of the newer declaration: "columns[2].type", "columns"
  std::string rule;   // "type", "removed", "nullable", "added", "unit", "event_time"
  std::string what;   // "delay is text, and was double"
};
BOOST_DESCRIBE_STRUCT(Incompatibility, (), (field, rule, what))

// A value that was written as `writer` says is one that `reader` says: the same type, or a wider
// one (bigint -> decimal -> double).
bool reads_as(ColumnType writer, ColumnType reader);

// Faults of reading rows of `before` by `after` (backward), or rows of `after` by `before`
// (forward). A missing column reads as null, so it must be nullable for the reader; a column that
// the reader does not know is dropped; a unit that both name must be the same; and the reader's
// event_time must be there.
std::vector<Incompatibility> backward_faults(const Source& before, const Source& after);
std::vector<Incompatibility> forward_faults(const Source& before, const Source& after);

bool asks_backward(Compatibility mode);
bool asks_forward(Compatibility mode);
bool is_transitive(Compatibility mode);

}  // namespace penstock::catalog
