// Rows that come one by one, as JSON.
#include <algorithm>

#include "features/online.h"
#include "features/values.h"

namespace penstock::features {
namespace {

// One row of JSON as a row of the store; faults name the field by its path.
class RowReader {
 public:
  RowReader(const ViewHandle& view, std::vector<Violation>& faults)
      : view_(view), faults_(faults) {}

  Online::Row read(const json::object& row, const std::string& path) {
    Online::Row out;
    std::vector<std::string> keys;
    for (const catalog::JoinKey& key : view_.keys) {
      const json::value* given = row.if_contains(key.name);
      const auto text = given ? spelling(key, *given) : std::nullopt;
      if (!given || given->is_null())
        fault(path, key.name, "is missing");
      else if (!text)
        fault(path, key.name, "must be of type " + std::string(name_of(key.type)));
      keys.push_back(text.value_or(""));
    }
    out.key = row_key(view_, keys);
    const auto event = time(row, path, view_.view.event_time);
    if (!event && !row.contains(view_.view.event_time))
      fault(path, view_.view.event_time, "is missing");
    out.row.event_time = event.value_or(Timestamp{});
    out.row.created_time = out.row.event_time;
    if (view_.view.created_time)
      if (const auto created = time(row, path, *view_.view.created_time))
        out.row.created_time = *created;
    for (const Feature& feature : view_.view.features) {
      const json::value* given = row.if_contains(feature.name);
      auto value = given ? value_of(feature, *given) : Result<Scalar>(Scalar{});
      if (value)
        out.row.values.push_back(std::move(value).take());
      else
        fault(path, feature.name, value.error().message + of(feature, keys));
    }
    for (const auto& entry : row)
      if (!known(entry.key())) fault(path, std::string(entry.key()), "is no column of the view");
    return out;
  }

 private:
  void fault(const std::string& path, const std::string& field, const std::string& problem) {
    if (faults_.size() < 100) faults_.push_back({path + "." + field, problem});
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

  std::optional<Timestamp> time(const json::object& row, const std::string& path,
                                const std::string& field) {
    const json::value* given = row.if_contains(field);
    if (!given || given->is_null()) return {};
    Timestamp at;
    if (Kind<Timestamp>::hear(from_json(*given), at)) return at;
    fault(path, field, "must be of type string (date-time)");
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

  bool known(std::string_view name) const {
    const FeatureView& view = view_.view;
    return name == view.event_time || (view.created_time && name == *view.created_time) ||
           std::any_of(view_.keys.begin(), view_.keys.end(),
                       [&](const catalog::JoinKey& key) { return key.name == name; }) ||
           std::any_of(view.features.begin(), view.features.end(),
                       [&](const Feature& feature) { return feature.name == name; });
  }

  const ViewHandle& view_;
  std::vector<Violation>& faults_;
};

}  // namespace

Result<PushOutput> Service::push(const Call& call, const PushInput& input) {
  const auto views = TRY(chosen(call, {input.view}));
  std::vector<Violation> faults;
  std::vector<std::vector<Online::Row>> rows(views.size());
  for (std::size_t v = 0; v < views.size(); ++v) {
    // An older version may lack what the newest has: it takes what it knows of rows that the newest
    // takes.
    const bool newest = v + 1 == views.size();
    std::vector<Violation> of_older;
    RowReader reader(*views[v].handle, newest ? faults : of_older);
    for (std::size_t i = 0; i < input.rows.size(); ++i) {
      const std::size_t before = of_older.size();
      auto row = reader.read(input.rows[i], "rows[" + std::to_string(i) + "]");
      const bool usable = std::all_of(
          of_older.begin() + static_cast<std::ptrdiff_t>(before), of_older.end(),
          [](const Violation& fault) { return fault.problem == "is no column of the view"; });
      if (usable) rows[v].push_back(std::move(row));
    }
  }
  if (!faults.empty()) {
    std::string message =
        faults.front().field + " " + faults.front().problem + "; nothing was written";
    return Error{Code::invalid_argument, std::move(message), std::move(faults)};
  }
  PushOutput out;
  for (std::size_t v = 0; v < views.size(); ++v) {
    const auto written = TRY(online_->push(*views[v].handle, rows[v]));
    if (v + 1 == views.size()) out = {written.written, written.ignored};
  }
  return out;
}

}  // namespace penstock::features
