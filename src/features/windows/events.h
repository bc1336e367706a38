// The events of a windowed view, as SQL and as DuckDB gives them.
#pragma once

#include "features/windows/aggregate.h"

namespace penstock::features::windows {

// As features::offline_statement, of a windowed view: the columns of event_columns, in the order in
// which the events arrived. Inputs are called penstock_0, penstock_1, ...
std::string offline_statement(const ViewHandle& view);

// Join keys, event_time, created_time, arrived_at and inputs; each with `before` in front.
std::string event_columns(const ViewHandle& view, const std::string& before = "");
std::string key_columns(const ViewHandle& view, const std::string& before = "");
std::string_view engine_type(catalog::ColumnType type);
std::string_view engine_type(FeatureType type);

// Reads rows whose first columns are event_columns.
class EventReader {
 public:
  explicit EventReader(const ViewHandle& view);
  // The key of the row's entity in the online store.
  const std::string& key(const olap::Chunk& chunk, std::size_t row);
  const Event& event(const olap::Chunk& chunk, std::size_t row);
  // Of column arrived_at, which may be another instant than the event's own.
  Timestamp arrived(const olap::Chunk& chunk, std::size_t row) const;
  std::size_t columns() const;  // how many these are

 private:
  const ViewHandle& view_;
  std::string key_;
  const std::size_t begin_;  // of its join keys
  Event event_;
};

}  // namespace penstock::features::windows
