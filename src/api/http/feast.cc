#include "api/http/feast.h"

#include <charconv>
#include <deque>

#include "api/http/feast_answer.h"
#include "features/batch.h"

namespace penstock::api {
namespace {

Error fault(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

std::string text_of(const json::object& in, std::string_view field) {
  const json::value* value = in.if_contains(field);
  return value && value->is_string() ? std::string(value->get_string()) : "";
}

Result<bool> truth_of(const json::object& in, const std::string& field, bool otherwise) {
  const json::value* value = in.if_contains(field);
  if (!value) return otherwise;
  if (!value->is_bool()) return fault(field, "must be true or false");
  return value->get_bool();
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

// The entities' values as text; what is no text already is kept in `texts`.
Result<features::EntityColumns> entities_of(const Columns& columns,
                                            std::deque<std::string>& texts) {
  features::EntityColumns out{.form = features::EntityColumns::Form::columns, .rows = columns.rows};
  out.names.assign(columns.names.begin(), columns.names.end());
  out.cells.reserve(columns.rows * columns.names.size());
  for (std::size_t column = 0; column < columns.values.size(); ++column)
    for (const json::value& value : *columns.values[column]) {
      if (value.is_structured()) {
        const std::size_t row = out.cells.size() - column * columns.rows;
        return out.fault(columns.names[column], row, "must be a text, a number, true or false");
      }
      if (value.is_null())
        out.cells.emplace_back();
      else if (value.is_string())
        out.cells.emplace_back(value.get_string().data(), value.get_string().size());
      else
        out.cells.emplace_back(texts.emplace_back(json::serialize(value)));
    }
  return out;
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

Result<std::string> feast_online(features::Service& features, const Call& call,
                                 const json::object& in) {
  const bool full_names = TRY(truth_of(in, "full_feature_names", false));
  const auto schema = TRY(schema_of(features, call, in));
  const Columns columns = TRY(columns_of(in, "entities"));
  std::deque<std::string> texts;
  const auto entities = TRY(entities_of(columns, texts));
  TRY(features.check_entities(call, *schema, entities, 0));
  const auto found = TRY(features.read_many(*schema, entities, features.now()));
  std::vector<GivenColumn> given;
  for (std::size_t i = 0; i < columns.names.size(); ++i)
    given.push_back({columns.names[i], columns.values[i]});
  return feast_answer(*schema, given, found, full_names);
}

Result<json::object> feast_push(features::Service& features, const Call& call,
                                const json::object& in) {
  features::PushInput input{.view = text_of(in, "push_source_name")};
  if (input.view.empty()) return fault("push_source_name", "must name a feature view");
  const json::value* to = in.if_contains("to");
  if (to && !Kind<features::PushTo>::hear(from_json(*to), input.to))
    return fault("to", "must be online, offline or online_and_offline");
  // Feast's own: this registry is never stale, and rows are transformed by the view's SQL alone.
  TRY(truth_of(in, "allow_registry_cache", true));
  TRY(truth_of(in, "transform_on_write", true));
  input.all_or_nothing = TRY(truth_of(in, "all_or_nothing", true));
  const Columns columns = TRY(columns_of(in, "df"));
  for (std::size_t row = 0; row < columns.rows; ++row) {
    json::object& out = input.rows.emplace_back();
    for (std::size_t i = 0; i < columns.names.size(); ++i)
      out[columns.names[i]] = (*columns.values[i])[row];
  }
  return encode(TRY(features.push(call, input, true))).as_object();
}

}  // namespace penstock::api
