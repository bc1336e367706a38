#include "features/windows/events.h"

#include "features/codec.h"
#include "features/values.h"

namespace penstock::features::windows {
namespace {

using olap::quoted_name;

std::string input_name(std::size_t place) { return "penstock_" + std::to_string(place); }

void append(std::string& list, const std::string& item, std::string_view between = ", ") {
  if (!list.empty()) list += between;
  list += item;
}

Scalar scalar_of(const std::optional<FeatureType>& type, const olap::Chunk::Values& values,
                 std::size_t row) {
  if (!values.valid[row]) return {};
  if (type == FeatureType::boolean) return values.whole[row] != 0;
  if (!values.real.empty()) return values.real[row];
  if (!values.whole.empty()) return values.whole[row];
  return values.text[row];
}

}  // namespace

std::string_view engine_type(catalog::ColumnType type) {
  if (type == catalog::ColumnType::bigint) return "BIGINT";
  return type == catalog::ColumnType::boolean ? "BOOLEAN" : "VARCHAR";
}

std::string_view engine_type(FeatureType type) {
  switch (type) {
    case FeatureType::real: return "DOUBLE";
    case FeatureType::bigint: return "BIGINT";
    case FeatureType::boolean: return "BOOLEAN";
    default: return "VARCHAR";
  }
}

std::string key_columns(const ViewHandle& view, const std::string& before) {
  std::string list;
  for (const catalog::JoinKey& key : view.keys) append(list, before + quoted_name(key.name));
  return list;
}

std::string event_columns(const ViewHandle& view, const std::string& before) {
  std::string list = key_columns(view, before);
  for (const char* time : {"event_time", "created_time", "arrived_at"}) append(list, before + time);
  for (std::size_t i = 0; i < view.windows->inputs.size(); ++i)
    append(list, before + input_name(i));
  return list;
}

std::string offline_statement(const ViewHandle& handle) {
  const FeatureView& view = handle.view;
  std::string inner, present = "isfinite(event_time) AND isfinite(created_time)", order;
  for (const catalog::JoinKey& key : handle.keys) {
    const std::string name = quoted_name(key.name);
    append(inner, "CAST(" + name + " AS " + std::string(engine_type(key.type)) + ") AS " + name);
    append(present, name + " IS NOT NULL", " AND ");
  }
  const std::string event = quoted_name(view.event_time);
  append(inner, "CAST(" + event + " AS TIMESTAMP) AS event_time");
  append(inner,
         "CAST(" +
             (view.created_time ? "coalesce(" + quoted_name(*view.created_time) + ", " + event + ")"
                                : event) +
             " AS TIMESTAMP) AS created_time");
  for (std::size_t i = 0; i < handle.windows->inputs.size(); ++i) {
    const Input& input = handle.windows->inputs[i];
    const std::string name = quoted_name(input.column);
    append(inner,
           (input.type ? "CAST(" + name + " AS " + std::string(engine_type(*input.type)) + ")"
                       : name) +
               " AS " + input_name(i));
    append(order, input_name(i) + " ASC NULLS FIRST");
  }
  std::string columns = event_columns(handle);
  const std::string plain = ", arrived_at";
  columns.replace(columns.find(plain), plain.size(),
                  ", greatest(event_time, created_time) AS arrived_at");
  return "SELECT " + columns + " FROM (SELECT " + inner + " FROM (\n" + view.sql + "\n)) WHERE " +
         present + " ORDER BY arrived_at, event_time, created_time, " + key_columns(handle) +
         (order.empty() ? "" : ", " + order);
}

EventReader::EventReader(const ViewHandle& view)
    : view_(view), key_(row_key(view, {})), begin_(key_.size()) {}

std::size_t EventReader::columns() const {
  return view_.keys.size() + 3 + view_.windows->inputs.size();
}

const std::string& EventReader::key(const olap::Chunk& chunk, std::size_t row) {
  key_.resize(begin_);
  for (std::size_t i = 0; i < view_.keys.size(); ++i)
    append_key(key_, key_at(view_.keys[i].type, chunk.columns[i], row));
  return key_;
}

Timestamp EventReader::arrived(const olap::Chunk& chunk, std::size_t row) const {
  return time_at(chunk.columns[view_.keys.size() + 2], row);
}

const Event& EventReader::event(const olap::Chunk& chunk, std::size_t row) {
  const std::size_t times = view_.keys.size();
  const auto& inputs = view_.windows->inputs;
  event_.event_time = time_at(chunk.columns[times], row);
  event_.created_time = time_at(chunk.columns[times + 1], row);
  event_.arrived_at = arrived(chunk, row);
  event_.values.resize(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    event_.values[i] = scalar_of(inputs[i].type, chunk.columns[times + 3 + i], row);
  return event_;
}

}  // namespace penstock::features::windows
