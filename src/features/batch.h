// Many entities read at once: what is asked and what is found, column by column.
#pragma once

#include <string_view>
#include <vector>

#include "features/schema.h"

namespace penstock::features {

// The join keys of the entities, and what else a read may be given of them, as text. Names and
// cells are looked at, not kept.
struct EntityColumns {
  // How the caller wrote them, for the errors: one entity, rows, or columns.
  enum class Form { one, rows, columns };

  Form form = Form::rows;
  std::size_t rows = 0;
  std::vector<std::string_view> names;
  std::vector<std::string_view> cells;  // column by column; one that points nowhere is null

  std::string_view cell(std::size_t column, std::size_t row) const {
    return cells[column * rows + row];
  }
  // The place of `name` among the names, or their number.
  std::size_t find(std::string_view name) const;
  // invalid_argument that names the cell as the caller wrote it: "entities[3].sensor is missing".
  Error fault(std::string_view name, std::size_t row, const std::string& problem) const;
};

struct FeatureColumns {
  std::size_t rows = 0;
  std::vector<Scalar> values;    // slot by slot; monostate where the status is not PRESENT
  std::vector<Status> statuses;  // as `values`
  std::vector<std::optional<Timestamp>> event_times;  // view by view, of the rows that count
  std::int64_t from_future = 0;  // rows that were from after the instant; NOT_FOUND too

  std::size_t at(std::size_t slot, std::size_t row) const { return slot * rows + row; }
};

}  // namespace penstock::features
