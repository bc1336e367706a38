#include "features/row_reader.h"

#include <algorithm>

#include "features/gates.h"
#include "features/values.h"

namespace penstock::features {
namespace {

constexpr std::size_t rejects_max = 1'000, value_max = 100, event_id_max = 1'000;
// What is more, no store takes: one such row that is kept would stop its whole view. Names of later
// versions of the view may be some characters longer.
constexpr std::size_t key_max = kv::max_key - 64, row_max = kv::max_value / 2;
constexpr std::string_view no_column = "is no column of the view";

const json::value* field(const json::object& row, const std::string& name, std::size_t& known) {
  const json::value* given = row.if_contains(name);
  known += given ? 1 : 0;
  return given;
}

std::optional<std::string> spelling(const catalog::JoinKey& key, const json::value& given) {
  if (given.is_string()) return spelt(key, given.get_string());
  if (given.is_int64() && key.type != catalog::ColumnType::boolean)
    return std::to_string(given.get_int64());
  if (given.is_bool() && key.type == catalog::ColumnType::boolean)
    return given.get_bool() ? "true" : "false";
  return {};
}

}  // namespace

Online::Row RowReader::read(const json::object& row) {
  std::size_t known = 0;  // of the row's fields
  std::vector<std::string> keys;
  Online::Row out = read_head(row, keys, known);
  if (view_.view.created_time)
    out.row.created_time =
        time(*view_.view.created_time, field(row, *view_.view.created_time, known))
            .value_or(out.row.event_time);
  if (view_.windows)
    read_event(row, known, out);
  else
    read_values(row, keys, known, out);
  if (known < row.size()) tell_unknown(row);
  std::size_t bytes = 0;
  for (const Scalar& value : out.row.values)
    if (const auto* text = std::get_if<std::string>(&value)) bytes += text->size();
  if (bytes > row_max)
    faults.push_back({.field = "",
                      .value = "",
                      .reason = "has " + std::to_string(bytes) +
                                " bytes of values, over the limit of " + std::to_string(row_max)});
  return out;
}

// Of an entity that has no row any more.
Online::Row RowReader::read_delete(const json::object& row) {
  std::size_t known = 0;
  std::vector<std::string> keys;
  Online::Row out = read_head(row, keys, known);
  out.deleted = true;
  if (view_.windows)
    faults.push_back({.field = "",
                      .value = "",
                      .reason = "cannot be of view " + view_.view.name +
                                ": its rows are events, and what happened stays; features erase "
                                "takes an entity out"});
  else if (known < row.size())
    faults.push_back({.field = "",
                      .value = "",
                      .reason = "must have join keys and " + view_.view.event_time + " alone"});
  return out;
}

// What every row has: whose it is, and when.
Online::Row RowReader::read_head(const json::object& row, std::vector<std::string>& keys,
                                 std::size_t& known) {
  faults.clear();
  Online::Row out;
  for (const catalog::JoinKey& key : view_.keys) {
    const json::value* given = field(row, key.name, known);
    const auto text = given ? spelling(key, *given) : std::nullopt;
    if (!given || given->is_null())
      fault(key.name, given, "is missing");
    else if (!text)
      fault(key.name, given, "must be of type " + std::string(name_of(key.type)));
    keys.push_back(text.value_or(""));
  }
  out.key = row_key(view_, keys);
  if (out.key.size() > key_max)
    fault(view_.keys.front().name, row.if_contains(view_.keys.front().name),
          "makes, with the other join keys, a key of " + std::to_string(out.key.size()) +
              " bytes, over the limit of " + std::to_string(key_max));
  const json::value* event = field(row, view_.view.event_time, known);
  if (!event || event->is_null()) fault(view_.view.event_time, event, "is missing");
  out.row.event_time = time(view_.view.event_time, event).value_or(Timestamp{});
  out.row.created_time = out.row.event_time;
  return out;
}

void RowReader::read_values(const json::object& row, const std::vector<std::string>& keys,
                            std::size_t& known, Online::Row& out) {
  for (const Feature& feature : view_.view.features) {
    const json::value* given = field(row, feature.name, known);
    auto value = given ? value_of(feature, *given) : Result<Scalar>(Scalar{});
    if (!value) fault(feature.name, given, value.error().message + of(feature, keys));
    out.row.values.push_back(value ? std::move(value).take() : Scalar{});
  }
  if (!faults.empty()) return;
  for (const std::string& gate : broken_gates(view_.view, out.row.values)) {
    const std::string name = gate.substr(0, gate.rfind(' '));
    fault(name, row.if_contains(name), "breaks check " + gate + ", which rejects rows");
  }
}

// Of a windowed view: what its aggregates read.
void RowReader::read_event(const json::object& row, std::size_t& known, Online::Row& out) {
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    const windows::Field& one = fields_[i];
    // Two aggregates may read one column, each as another type.
    const bool again =
        std::any_of(fields_.begin(), fields_.begin() + static_cast<std::ptrdiff_t>(i),
                    [&](const windows::Field& f) { return f.name == one.name; });
    const json::value* given = row.if_contains(one.name);
    known += given && !again ? 1 : 0;
    const Scalar said = given ? from_json(*given) : Scalar{};
    auto value = said.index() == 0 ? std::optional(Scalar{}) : windows::input_of(one.type, said);
    if (!value || (given && given->is_structured()))
      fault(one.name, given,
            one.type ? "must be of type " + std::string(name_of(*one.type))
                     : "must be a number, a text or a boolean");
    out.row.values.push_back(value.value_or(Scalar{}));
  }
  const json::value* id = field(row, std::string(windows::event_id_field), known);
  if (!id || id->is_null()) return;
  if (id->is_string() && id->get_string().size() <= event_id_max)
    out.event_id = std::string(id->get_string());
  else
    fault(std::string(windows::event_id_field), id, "must be a text of at most 1000 bytes");
}

void RowReader::fault(const std::string& name, const json::value* given, std::string reason) {
  std::string value = given ? json::serialize(*given) : "";
  if (value.size() > value_max) value.resize(value_max);
  faults.push_back({.field = name, .value = std::move(value), .reason = std::move(reason)});
}

std::optional<Timestamp> RowReader::time(const std::string& name, const json::value* given) {
  if (!given || given->is_null()) return {};
  Timestamp at;
  if (Kind<Timestamp>::hear(from_json(*given), at)) return at;
  if (naive_times_ && given->is_string())
    if (const auto utc = from_rfc3339(std::string(given->get_string()) + "Z")) return utc;
  fault(name, given, "must be of type string (date-time)");
  return {};
}

// Whose vector it is: it is not in the row of who reads the fault.
std::string RowReader::of(const Feature& feature, const std::vector<std::string>& keys) const {
  if (feature.type != FeatureType::embedding) return {};
  std::string entity;
  for (std::size_t i = 0; i < keys.size(); ++i) entity += " " + view_.keys[i].name + "=" + keys[i];
  return " (" + view_.view.entity + entity + " of view " + view_.view.name + ")";
}

void RowReader::tell_unknown(const json::object& row) {
  const FeatureView& view = view_.view;
  for (const auto& entry : row) {
    const std::string_view name = entry.key();
    const bool known = name == view.event_time ||
                       (view.created_time && name == *view.created_time) ||
                       std::any_of(view_.keys.begin(), view_.keys.end(),
                                   [&](const catalog::JoinKey& key) { return key.name == name; }) ||
                       (view_.windows && name == windows::event_id_field) ||
                       std::any_of(fields_.begin(), fields_.end(),
                                   [&](const windows::Field& field) { return field.name == name; });
    if (!known && faults.size() < rejects_max)
      fault(std::string(name), &entry.value(), std::string(no_column));
  }
}

bool RowReader::fits_but_for_columns() const {
  return std::ranges::all_of(faults,
                             [](const RejectedRow& fault) { return fault.reason == no_column; });
}

}  // namespace penstock::features
