// Rows that come one by one, as JSON.
#include <algorithm>

#include "features/gates.h"
#include "features/online.h"
#include "features/operations.h"
#include "features/values.h"
#include "features/windows/read.h"

namespace penstock::features {
namespace {

constexpr std::size_t rejects_max = 1'000, value_max = 100, event_id_max = 1'000;

// One row of JSON as a row of the store; what is wrong with it is told field by field.
class RowReader {
 public:
  RowReader(const ViewHandle& view, bool naive_times)
      : view_(view), fields_(windows::pushed_fields(view)), naive_times_(naive_times) {}

  Online::Row read(const json::object& row) {
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
    return out;
  }

  // Of an entity that has no row any more.
  Online::Row read_delete(const json::object& row) {
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

  static constexpr std::string_view no_column = "is no column of the view";

  std::vector<RejectedRow> faults;  // of the row that was read last

 private:
  // What every row has: whose it is, and when.
  Online::Row read_head(const json::object& row, std::vector<std::string>& keys,
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
    const json::value* event = field(row, view_.view.event_time, known);
    if (!event || event->is_null()) fault(view_.view.event_time, event, "is missing");
    out.row.event_time = time(view_.view.event_time, event).value_or(Timestamp{});
    out.row.created_time = out.row.event_time;
    return out;
  }

  void read_values(const json::object& row, const std::vector<std::string>& keys,
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
  void read_event(const json::object& row, std::size_t& known, Online::Row& out) {
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

  static const json::value* field(const json::object& row, const std::string& name,
                                  std::size_t& known) {
    const json::value* given = row.if_contains(name);
    known += given ? 1 : 0;
    return given;
  }

  void fault(const std::string& name, const json::value* given, std::string reason) {
    std::string value = given ? json::serialize(*given) : "";
    if (value.size() > value_max) value.resize(value_max);
    faults.push_back({.field = name, .value = std::move(value), .reason = std::move(reason)});
  }

  static std::optional<std::string> spelling(const catalog::JoinKey& key,
                                             const json::value& given) {
    if (given.is_string()) return spelt(key, given.get_string());
    if (given.is_int64() && key.type != catalog::ColumnType::boolean)
      return std::to_string(given.get_int64());
    if (given.is_bool() && key.type == catalog::ColumnType::boolean)
      return given.get_bool() ? "true" : "false";
    return {};
  }

  std::optional<Timestamp> time(const std::string& name, const json::value* given) {
    if (!given || given->is_null()) return {};
    Timestamp at;
    if (Kind<Timestamp>::hear(from_json(*given), at)) return at;
    if (naive_times_ && given->is_string())
      if (const auto utc = from_rfc3339(std::string(given->get_string()) + "Z")) return utc;
    fault(name, given, "must be of type string (date-time)");
    return {};
  }

  // Whose vector it is: it is not in the row of who reads the fault.
  std::string of(const Feature& feature, const std::vector<std::string>& keys) const {
    if (feature.type != FeatureType::embedding) return {};
    std::string entity;
    for (std::size_t i = 0; i < keys.size(); ++i)
      entity += " " + view_.keys[i].name + "=" + keys[i];
    return " (" + view_.view.entity + entity + " of view " + view_.view.name + ")";
  }

  void tell_unknown(const json::object& row) {
    const FeatureView& view = view_.view;
    for (const auto& entry : row) {
      const std::string_view name = entry.key();
      const bool known =
          name == view.event_time || (view.created_time && name == *view.created_time) ||
          std::any_of(view_.keys.begin(), view_.keys.end(),
                      [&](const catalog::JoinKey& key) { return key.name == name; }) ||
          (view_.windows && name == windows::event_id_field) ||
          std::any_of(fields_.begin(), fields_.end(),
                      [&](const windows::Field& field) { return field.name == name; });
      if (!known && faults.size() < rejects_max)
        fault(std::string(name), &entry.value(), std::string(no_column));
    }
  }

  const ViewHandle& view_;
  const std::vector<windows::Field> fields_;
  const bool naive_times_;
};

// The rows that can be written, and which of the input's they are; the faults of the others.
struct Sorted {
  std::vector<Online::Row> rows;
  std::vector<std::size_t> places;
  std::vector<RejectedRow> rejects;
  std::int64_t rejected = 0;
};

Sorted sort(const ViewHandle& view, const PushInput& input, bool naive_times) {
  Sorted out;
  RowReader reader(view, naive_times);
  for (std::size_t i = 0; i < input.rows.size(); ++i) {
    auto row = reader.read(input.rows[i]);
    if (reader.faults.empty()) {
      out.rows.push_back(std::move(row));
      out.places.push_back(i);
      continue;
    }
    ++out.rejected;
    for (RejectedRow& fault : reader.faults) {
      if (out.rejects.size() >= rejects_max) break;
      fault.row = static_cast<std::int64_t>(i);
      out.rejects.push_back(std::move(fault));
    }
  }
  return out;
}

// An older version of the view may lack columns that the newest has, or need others: it takes what
// it can of the rows that the newest takes.
std::vector<Online::Row> of_older(const ViewHandle& view, const PushInput& input,
                                  const std::vector<std::size_t>& places, bool naive_times) {
  std::vector<Online::Row> out;
  RowReader reader(view, naive_times);
  for (const std::size_t place : places) {
    auto row = reader.read(input.rows[place]);
    if (std::all_of(reader.faults.begin(), reader.faults.end(),
                    [](const RejectedRow& fault) { return fault.reason == RowReader::no_column; }))
      out.push_back(std::move(row));
  }
  return out;
}

Error refusal(const std::vector<RejectedRow>& rejects, const std::string& of = "rows") {
  Error error{Code::invalid_argument};
  for (const RejectedRow& fault : rejects) {
    if (error.violations.size() >= 100) break;
    error.violations.push_back({of + "[" + std::to_string(fault.row) + "]" +
                                    (fault.field.empty() ? "" : "." + fault.field),
                                fault.reason});
  }
  error.message = error.violations.front().field + " " + error.violations.front().problem +
                  "; nothing was written";
  return error;
}

// All of them are good, or none is written.
Result<std::vector<Online::Row>> deletes_of(const ViewHandle& view, const PushInput& input,
                                            bool naive_times) {
  std::vector<Online::Row> out;
  std::vector<RejectedRow> rejects;
  RowReader reader(view, naive_times);
  for (std::size_t i = 0; i < input.deletes.size(); ++i) {
    out.push_back(reader.read_delete(input.deletes[i]));
    for (RejectedRow& fault : reader.faults) {
      if (rejects.size() >= rejects_max) break;
      fault.row = static_cast<std::int64_t>(i);
      rejects.push_back(std::move(fault));
    }
  }
  if (!rejects.empty()) return refusal(rejects, "deletes");
  return out;
}

}  // namespace

Result<PushOutput> Service::push(const Call& call, const PushInput& input, bool naive_times) {
  if (input.rows.empty() && input.deletes.empty())
    return Error{Code::invalid_argument,
                 "rows must have 1 to 10000 items, where there are no deletes",
                 {{"rows", "must have 1 to 10000 items"}}};
  const auto views = TRY(chosen(call, {input.view}));
  auto deletes = TRY(deletes_of(*views.back().handle, input, naive_times));
  Sorted good = sort(*views.back().handle, input, naive_times);
  // That all are bad is most likely not what was meant, and must not look like success.
  if (good.rejected > 0 && (good.rows.empty() || input.all_or_nothing))
    return refusal(good.rejects);
  good.rows.insert(good.rows.end(), std::make_move_iterator(deletes.begin()),
                   std::make_move_iterator(deletes.end()));
  for (std::size_t v = 0; v + 1 < views.size(); ++v) {
    const ViewHandle& older = *views[v].handle;
    auto rows = of_older(older, input, good.places, naive_times);
    RowReader reader(older, naive_times);
    for (const json::object& row : input.deletes)
      if (auto one = reader.read_delete(row); reader.faults.empty()) rows.push_back(std::move(one));
    operations_->pushed(call.project, older, rows, TRY(online_->push(call, older, rows)));
  }
  const auto written = TRY(online_->push(call, *views.back().handle, good.rows));
  operations_->pushed(call.project, *views.back().handle, good.rows, written);
  return PushOutput{.written = written.written,
                    .ignored = written.ignored,
                    .late = written.late,
                    .watermark = written.late > 0 ? std::optional(written.watermark) : std::nullopt,
                    .rejected = good.rejected,
                    .rejects = std::move(good.rejects)};
}

}  // namespace penstock::features
