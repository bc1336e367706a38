#include <algorithm>

#include "catalog/contract.h"
#include "catalog/objects.h"

namespace penstock::catalog {
namespace {

using Counts = std::function<bool(const std::string& sql)>;

const char* logical_type(ColumnType type) {
  switch (type) {
    case ColumnType::boolean: return "boolean";
    case ColumnType::bigint: return "integer";
    case ColumnType::real:
    case ColumnType::decimal: return "number";
    case ColumnType::text: return "string";
    case ColumnType::timestamp: return "timestamp";
    case ColumnType::list: return "array";
  }
  return "string";
}

// Sets or removes a field that says no more than its absence.
void set_or_erase(json::object& object, const char* field, json::value value, bool set) {
  if (set)
    object[field] = std::move(value);
  else
    object.erase(field);
}

json::array texts(const std::vector<std::string>& list) {
  json::array out;
  for (const std::string& text : list) out.push_back(json::value(text));
  return out;
}

json::object kept_object(const Source& source) {
  for (const json::value& one : loose::list(source.contract, "schema"))
    if (one.is_object()) return one.get_object();
  if (source.kafka)
    return {
        {"name", source.name}, {"physicalName", source.kafka->topic}, {"physicalType", "topic"}};
  return {{"name", source.name}, {"physicalType", source.postgres ? "table" : "file"}};
}

json::object kept_property(const json::object& object, const std::string& column) {
  for (const json::value& one : loose::list(object, "properties"))
    if (one.is_object()) {
      const std::string physical = loose::text(one.get_object(), "physicalName");
      if ((physical.empty() ? loose::text(one.get_object(), "name") : physical) == column)
        return one.get_object();
    }
  return {{"name", column}};
}

void put_unit(json::object& property, const std::optional<std::string>& unit) {
  json::array customs;
  for (const json::value& custom : loose::list(property, "customProperties"))
    if (!custom.is_object() || loose::text(custom.get_object(), "property") != "unit")
      customs.push_back(custom);
  if (unit) customs.push_back({{"property", "unit"}, {"value", *unit}});
  const bool any = !customs.empty();
  set_or_erase(property, "customProperties", std::move(customs), any);
}

// Rules as they were written, where they still mean their check, and those that are not run.
json::array kept_rules(const json::object& holder, const Source& source, const std::string& column,
                       std::vector<SourceCheck>& left) {
  json::array out;
  for (const json::value& one : loose::list(holder, "quality")) {
    if (!one.is_object()) continue;
    const ContractRule rule = rule_of(one.get_object(), source, column);
    const auto same = std::ranges::find_if(left, [&](const SourceCheck& check) {
      return rule.check && encode(check) == encode(*rule.check);
    });
    if (rule.check && same == left.end()) continue;  // it was changed or taken out since
    if (rule.check) left.erase(same);
    out.push_back(one);
  }
  return out;
}

json::object property_of(const Source& source, const SourceColumn& column,
                         const json::object& object, std::vector<SourceCheck>& left) {
  json::object out = kept_property(object, column.name);
  // "date" is a timestamp here, and stays what it was called.
  const std::string type = loose::text(out, "logicalType");
  const bool same =
      (type == "date" && column.type == ColumnType::timestamp) ||
      (column.type == ColumnType::text && (type == "object" || type == "array" || type == "time"));
  if (!same) out["logicalType"] = logical_type(column.type);
  if (!out.contains("physicalType") ||
      (!same && !type.empty() && type != logical_type(column.type)))
    out["physicalType"] = name_of(column.type);
  set_or_erase(out, "required", true, !column.nullable);
  const auto key = std::ranges::find(source.primary_key, column.name);
  set_or_erase(out, "primaryKey", true, key != source.primary_key.end());
  set_or_erase(out, "primaryKeyPosition", key - source.primary_key.begin() + 1,
               key != source.primary_key.end());
  const auto unique = std::ranges::find_if(left, [&](const SourceCheck& check) {
    return check.name == column.name + " unique" &&
           check.unique == std::vector<std::string>{column.name};
  });
  set_or_erase(out, "unique", true, unique != left.end());
  if (unique != left.end()) left.erase(unique);
  Classification read{};
  const std::string said = loose::text(out, "classification");
  // A word of their own was read as restricted, and is theirs while it still is.
  if (Kind<Classification>::hear(said, read) || said.empty() ||
      column.classification != Classification::restricted)
    out["classification"] = name_of(column.classification);
  set_or_erase(out, "description", json::value(column.description.value_or("")),
               column.description.has_value());
  set_or_erase(out, "tags", texts(column.tags), !column.tags.empty());
  put_unit(out, column.unit);
  json::array rules = kept_rules(out, source, column.name, left);
  const bool any = !rules.empty();
  set_or_erase(out, "quality", std::move(rules), any);
  return out;
}

void put_server(const Source& source, const std::string& host, json::object& contract) {
  if (!loose::list(contract, "servers").empty()) return;
  json::object server{{"server", source.name}};
  if (source.postgres) {
    server["type"] = "custom";  // its connection is the name of a secret here
  } else if (source.kafka) {
    server["type"] = "kafka";
    server["host"] = host;
    server["format"] = name_of(source.kafka->format);
  } else if (is_object_path(source.path)) {
    server["type"] = "s3";
    server["location"] = source.path;
    server["format"] = name_of(source.format);
  } else {
    server["type"] = "local";
    server["path"] = source.path;
    server["format"] = name_of(source.format);
  }
  contract["servers"] = json::array{server};
}

void put_extras(const Source& source, json::object& object) {
  const ContractExtras extras{
      .event_time = source.event_time,
      .postgres = source.postgres,
      .connection = source.connection,
      .kafka = source.kafka,
      .compatibility = source.compatibility,
      .refresh_every = source.refresh_every,
      .freshness_severity = source.freshness ? source.freshness->severity : CheckSeverity::error};
  json::array customs;
  for (const json::value& custom : loose::list(object, "customProperties"))
    if (!custom.is_object() || loose::text(custom.get_object(), "property") != extras_property)
      customs.push_back(custom);
  customs.push_back({{"property", extras_property}, {"value", encode(extras)}});
  object["customProperties"] = std::move(customs);
}

void put_freshness(const Source& source, json::object& contract) {
  json::array kept;
  bool said = false;
  for (const json::value& one : loose::list(contract, "slaProperties")) {
    const auto asked = one.is_object() ? loose::age_asked(one.get_object()) : std::nullopt;
    const bool same = asked && source.freshness && *asked == source.freshness->max_age;
    said = said || same;
    if (!asked || same) kept.push_back(one);
  }
  if (source.freshness && !said) {
    const std::string span = std::get<std::string>(Kind<Micros>::say(source.freshness->max_age));
    json::object sla{{"property", "latency"},
                     {"value", std::strtoll(span.c_str(), nullptr, 10)},
                     {"unit", span.substr(span.find_first_not_of("0123456789"))}};
    if (source.event_time)
      sla["element"] = loose::text(kept_object(source), "name") + "." + *source.event_time;
    kept.push_back(std::move(sla));
  }
  const bool any = !kept.empty();
  set_or_erase(contract, "slaProperties", std::move(kept), any);
}

}  // namespace

json::object export_contract(const Source& source, std::int64_t version, const Counts& counts,
                             const std::string& host) {
  json::object out = source.contract;
  out["apiVersion"] = "v3.1.0";
  out["kind"] = "DataContract";
  for (const auto& [field, value] :
       {std::pair{"id", "source:" + source.name}, std::pair{"name", source.name},
        std::pair{"version", std::to_string(version) + ".0.0"},
        std::pair{"status", std::string("active")}})
    if (!out.contains(field)) out[field] = value;
  if (!out.contains("team")) out["team"] = json::object{{"name", source.owner}};
  put_server(source, host, out);
  put_freshness(source, out);

  json::object object = kept_object(source);
  object["logicalType"] = "object";
  set_or_erase(object, "description", json::value(source.description), !source.description.empty());
  std::vector<std::string> own;  // those that are not the whole contract's
  const json::array& whole = loose::list(out, "tags");
  for (const std::string& tag : source.tags)
    if (std::ranges::find(whole, json::value(tag)) == whole.end()) own.push_back(tag);
  set_or_erase(object, "tags", texts(own), !own.empty());
  put_extras(source, object);
  std::vector<SourceCheck> left = source.checks;
  json::array rules = kept_rules(object, source, "", left);
  json::array properties;
  for (const SourceColumn& column : source.columns)
    properties.push_back(property_of(source, column, object, left));
  object["properties"] = std::move(properties);
  for (const SourceCheck& check : left) rules.push_back(quality_of(check, source, counts));
  const bool any = !rules.empty();
  set_or_erase(object, "quality", std::move(rules), any);
  out["schema"] = json::array{std::move(object)};
  return out;
}

}  // namespace penstock::catalog
