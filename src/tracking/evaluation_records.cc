#include "tracking/evaluation_records.h"

#include <algorithm>

#include "base/digest.h"
#include "base/id.h"

namespace penstock::tracking::evaluation_records {
namespace {

constexpr std::size_t records_max = 10'000, record_max = 1'000'000;

Error faulty(std::size_t index, const std::string& problem) {
  const std::string field = "records[" + std::to_string(index) + "]";
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

const json::value* member(const json::object& said, const char* name) {
  const json::value* found = said.if_contains(name);
  return found && !found->is_null() ? found : nullptr;
}

std::optional<std::string> text_of(const json::object& said, const char* name) {
  const json::value* found = member(said, name);
  return found ? std::optional(json::serialize(*found)) : std::nullopt;
}

// Keys in their order, so that the same inputs have the same text.
json::value sorted(const json::value& value) {
  if (const json::array* list = value.if_array()) {
    json::array out;
    for (const json::value& one : *list) out.push_back(sorted(one));
    return out;
  }
  const json::object* fields = value.if_object();
  if (!fields) return value;
  std::vector<std::string> keys;
  for (const auto& [key, one] : *fields) keys.emplace_back(key);
  std::sort(keys.begin(), keys.end());
  json::object out;
  for (const std::string& key : keys) out[key] = sorted(fields->at(key));
  return out;
}

std::string string_of(const json::value* object, const char* name) {
  const json::object* fields = object ? object->if_object() : nullptr;
  const json::value* found = fields ? fields->if_contains(name) : nullptr;
  return found && found->is_string() ? std::string(found->as_string()) : "";
}

const char* type_of(const json::value& value) {
  if (value.is_null()) return "null";
  if (value.is_bool()) return "boolean";
  if (value.is_double()) return "float";
  if (value.is_number()) return "integer";
  if (value.is_string()) return "string";
  return value.is_array() ? "array" : "object";
}

void widen(json::value& schema, const json::value* values) {
  if (!values) return;
  const json::object* fields = values->if_object();
  if (!fields) {
    if (schema.is_object() && schema.as_object().empty()) schema = type_of(*values);
    return;
  }
  if (!schema.is_object()) return;
  for (const auto& [key, value] : *fields)
    if (!schema.as_object().contains(key)) schema.as_object()[key] = type_of(value);
}

json::object parsed(const std::optional<std::string>& text) {
  if (!text) return {};
  json::parse_options options;
  options.max_depth = 2'000;
  const json::value value = json::parse(*text, {}, options);
  return value.is_object() ? value.as_object() : json::object{};
}

void update(std::optional<std::string>& kept, const json::object& said, const char* name) {
  const json::value* more = member(said, name);
  if (!more || !more->is_object()) return;
  json::object merged = parsed(kept);
  for (const auto& [key, value] : more->as_object()) merged[key] = value;
  kept = json::serialize(merged);
}

}  // namespace

Result<void> check(const json::array& records) {
  if (records.size() > records_max)
    return Error{Code::invalid_argument, "records has " + std::to_string(records.size()) +
                                             " entries, and may have " +
                                             std::to_string(records_max) + "; send several"};
  for (std::size_t i = 0; i < records.size(); ++i) {
    const json::object* said = records[i].if_object();
    if (!said) return faulty(i, "must be an object");
    const json::value* inputs = member(*said, "inputs");
    if (!inputs || !inputs->is_object()) return faulty(i, "must have inputs, an object");
    for (const char* name : {"expectations", "tags", "source"})
      if (const json::value* one = member(*said, name); one && !one->is_object())
        return faulty(i, "must have " + std::string(name) + " that are an object, or none");
    const std::size_t size = json::serialize(records[i]).size();
    if (size > record_max)
      return faulty(
          i, "has " + std::to_string(size) + " bytes, and may have " + std::to_string(record_max));
  }
  return {};
}

EvaluationRecord read(const json::object& said, std::int64_t dataset, std::int64_t position,
                      Timestamp now) {
  const std::string inputs = json::serialize(sorted(said.at("inputs")));
  const json::value* source = member(said, "source");
  const std::string user = string_of(member(said, "tags"), "mlflow.user");
  const std::int64_t at = now.time_since_epoch().count() / 1'000;
  const json::value* data = source ? source->as_object().if_contains("source_data") : nullptr;
  return {.dataset = dataset,
          .position = position,
          .id = "dr-" + sha256_hex(new_ulid(now)).substr(0, 32),
          .input_hash = sha256_hex(inputs),
          .inputs = json::serialize(said.at("inputs")),
          .outputs = text_of(said, "outputs"),
          .expectations = text_of(said, "expectations"),
          .tags = text_of(said, "tags"),
          .source = text_of(said, "source"),
          .source_type = string_of(source, "source_type"),
          .source_id = string_of(data, "trace_id"),
          .created_at = at,
          .updated_at = at,
          .created_by = user,
          .updated_by = user};
}

Result<std::int64_t> last_position(sql::Tx& tx, std::int64_t dataset) {
  const auto rows = TRY(tx.run(
      "SELECT coalesce(max(position), 0) FROM evaluation_records WHERE dataset = $1", {dataset}));
  return std::get<std::int64_t>(rows.at(0).at(0));
}

Result<bool> merge(sql::Tx& tx, const EvaluationRecord& record, const json::object& said) {
  auto found = TRY(sql::select<EvaluationRecord>(
      tx,
      "SELECT " + columns<EvaluationRecord>() +
          " FROM evaluation_records WHERE dataset = $1 AND input_hash = $2",
      {record.dataset, record.input_hash}));
  if (found.empty()) return false;
  EvaluationRecord& kept = found.front();
  if (said.contains("outputs")) kept.outputs = record.outputs;
  update(kept.expectations, said, "expectations");
  update(kept.tags, said, "tags");
  TRY(
      tx.run("UPDATE evaluation_records SET outputs = $3, expectations = $4, tags = $5, updated_at "
             "= $6, updated_by = $7 WHERE dataset = $1 AND position = $2",
             {kept.dataset, kept.position, sql::to_sql(kept.outputs),
              sql::to_sql(kept.expectations), sql::to_sql(kept.tags), record.updated_at,
              record.updated_by.empty() ? kept.updated_by : record.updated_by}));
  return true;
}

std::string widened_schema(const std::string& text, const json::array& records) {
  if (text.empty() && records.empty()) return "";
  json::object schema = text.empty() ? json::object{{"inputs", json::object{}},
                                                    {"outputs", json::object{}},
                                                    {"expectations", json::object{}},
                                                    {"version", "1.0"}}
                                     : json::parse(text).as_object();
  for (const json::value& one : records)
    for (const char* name : {"inputs", "outputs", "expectations"})
      widen(schema[name], member(one.as_object(), name));
  return json::serialize(schema);
}

Result<std::string> profile(sql::Tx& tx, std::int64_t dataset) {
  const auto rows =
      TRY(tx.run("SELECT count(*) FROM evaluation_records WHERE dataset = $1", {dataset}));
  const auto count = std::get<std::int64_t>(rows.at(0).at(0));
  return count == 0 ? std::string() : json::serialize(json::object{{"num_records", count}});
}

}  // namespace penstock::tracking::evaluation_records
