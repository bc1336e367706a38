#include "api/http/feast.h"

namespace penstock::api {
namespace {

Error fault(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

std::string text_of(const json::object& in, std::string_view field) {
  const json::value* value = in.if_contains(field);
  return value && value->is_string() ? std::string(value->get_string()) : "";
}

bool is_true(const json::object& in, std::string_view field) {
  const json::value* value = in.if_contains(field);
  return value && value->is_bool() && value->get_bool();
}

// {"driver_id": [1, 2]} as rows; every column must have as many values.
struct Columns {
  std::vector<std::string> names;
  std::vector<const json::array*> values;
  std::size_t rows = 0;
};
Result<Columns> columns_of(const json::object& in, const std::string& field) {
  const json::value* given = in.if_contains(field);
  if (!given || !given->is_object() || given->get_object().empty())
    return fault(field, "must be an object of lists");
  Columns out;
  for (const auto& entry : given->get_object()) {
    const std::string path = field + "." + std::string(entry.key());
    if (!entry.value().is_array()) return fault(path, "must be a list");
    const json::array& values = entry.value().get_array();
    if (!out.values.empty() && values.size() != out.rows)
      return fault(path, "must have as many values as the other columns");
    out.rows = values.size();
    out.names.emplace_back(entry.key());
    out.values.push_back(&values);
  }
  if (out.rows == 0 || out.rows > 10'000) return fault(field, "must have 1 to 10000 rows");
  return out;
}

// Feast's statuses and times of a value that came with the request.
json::object given_column(const json::array& values) {
  json::array statuses, times;
  for (std::size_t i = 0; i < values.size(); ++i) {
    statuses.push_back("PRESENT");
    times.push_back("1970-01-01T00:00:00Z");
  }
  return {{"values", values}, {"statuses", statuses}, {"event_timestamps", times}};
}

Result<std::shared_ptr<const features::SchemaHandle>> schema_of(features::Service& features,
                                                                const Call& call,
                                                                const json::object& in) {
  const std::string service = text_of(in, "feature_service");
  if (!service.empty()) return features.open_schema(call, service);
  const json::value* given = in.if_contains("features");
  if (!given || !given->is_array() || given->get_array().size() > 2000)
    return fault("features", "must be a list of view:feature, unless a feature_service is named");
  std::vector<std::string> names;
  for (const json::value& name : given->get_array()) {
    if (!name.is_string()) return fault("features", "must be a list of texts");
    names.emplace_back(name.get_string());
  }
  return features.open_features(call, names);
}

}  // namespace

Result<json::object> feast_online(features::Service& features, const Call& call,
                                  const json::object& in) {
  const auto schema = TRY(schema_of(features, call, in));
  const Columns entities = TRY(columns_of(in, "entities"));
  const bool full_names = is_true(in, "full_feature_names");

  features::OnlineInput input;
  if (schema->version > 0)
    input.feature_schema = schema->reference();
  else
    for (const features::Slot& slot : schema->slots)
      input.features.push_back(schema->views[slot.view]->view.name + ":" +
                               schema->views[slot.view]->view.features[slot.feature].name);
  for (std::size_t row = 0; row < entities.rows; ++row) {
    auto& entity = input.entities.emplace_back();
    for (std::size_t i = 0; i < entities.names.size(); ++i) {
      const json::value& value = (*entities.values[i])[row];
      entity[entities.names[i]] =
          value.is_string() ? std::string(value.get_string()) : json::serialize(value);
    }
  }
  const auto found = TRY(features.online(call, input));

  json::array names, results;
  for (std::size_t i = 0; i < entities.names.size(); ++i) {
    names.push_back(json::value(entities.names[i]));
    results.push_back(given_column(*entities.values[i]));
  }
  for (std::size_t f = 0; f < schema->names.size(); ++f) {
    const std::string& view = schema->views[schema->slots[f].view]->view.name;
    names.push_back(json::value(full_names ? view + "__" + schema->names[f] : schema->names[f]));
    json::array values, statuses, times;
    for (const features::OnlineRow& row : found.rows) {
      values.push_back(row.values[f]);
      statuses.push_back(json::value(name_of(row.statuses[f])));
      times.push_back(json::value(to_rfc3339(row.event_times[f].value_or(Timestamp{}))));
    }
    results.push_back({{"values", values}, {"statuses", statuses}, {"event_timestamps", times}});
  }
  return json::object{{"metadata", {{"feature_names", names}}}, {"results", results}};
}

Result<json::object> feast_push(features::Service& features, const Call& call,
                                const json::object& in) {
  const std::string view = text_of(in, "push_source_name");
  if (view.empty()) return fault("push_source_name", "must name a feature view");
  const std::string to = in.contains("to") ? text_of(in, "to") : "online";
  if (to != "online") return fault("to", "must be online: offline rows are what the sources hold");
  const Columns columns = TRY(columns_of(in, "df"));
  features::PushInput input{.view = view};
  for (std::size_t row = 0; row < columns.rows; ++row) {
    json::object& out = input.rows.emplace_back();
    for (std::size_t i = 0; i < columns.names.size(); ++i)
      out[columns.names[i]] = (*columns.values[i])[row];
  }
  TRY(features.push(call, input));
  return json::object{};
}

}  // namespace penstock::api
