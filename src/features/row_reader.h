// A row that callers push, as JSON, and as the stores take it.
#pragma once

#include "features/online.h"
#include "features/windows/read.h"

namespace penstock::features {

// What is wrong with a row is told field by field.
class RowReader {
 public:
  // `naive_times`: a time without an offset is UTC; else it is a fault.
  RowReader(const ViewHandle& view, bool naive_times)
      : view_(view), fields_(windows::pushed_fields(view)), naive_times_(naive_times) {}

  Online::Row read(const json::object& row);
  // Of an entity that has no row any more.
  Online::Row read_delete(const json::object& row);

  std::vector<RejectedRow> faults;  // of the row that was read last
  // An older version of the view may lack columns that the newest has: it takes such a row.
  bool fits_but_for_columns() const;

 private:
  Online::Row read_head(const json::object& row, std::vector<std::string>& keys,
                        std::size_t& known);
  void read_values(const json::object& row, const std::vector<std::string>& keys,
                   std::size_t& known, Online::Row& out);
  void read_event(const json::object& row, std::size_t& known, Online::Row& out);
  void fault(const std::string& name, const json::value* given, std::string reason);
  std::optional<Timestamp> time(const std::string& name, const json::value* given);
  std::string of(const Feature& feature, const std::vector<std::string>& keys) const;
  void tell_unknown(const json::object& row);

  const ViewHandle& view_;
  const std::vector<windows::Field> fields_;
  const bool naive_times_;
};

}  // namespace penstock::features
