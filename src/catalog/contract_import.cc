#include <algorithm>
#include <set>

#include "base/urn.h"
#include "catalog/contract.h"

namespace penstock::catalog {

namespace loose {

std::string text(const json::object& object, std::string_view field) {
  const json::value* value = object.if_contains(field);
  if (!value) return "";
  if (value->is_string()) return std::string(value->get_string());
  return value->is_number() ? json::serialize(*value) : "";
}
const json::array& list(const json::object& object, std::string_view field) {
  static const json::array none;
  const json::value* value = object.if_contains(field);
  return value && value->is_array() ? value->get_array() : none;
}
bool truth(const json::object& object, std::string_view field) {
  const json::value* value = object.if_contains(field);
  return value && value->is_bool() && value->get_bool();
}
std::optional<Micros> age_asked(const json::object& sla) {
  const std::string property = text(sla, "property"), unit = text(sla, "unit");
  if (property != "latency" && property != "ly" && property != "freshness") return {};
  const auto span = duration_from(
      text(sla, "value") + (unit == "ms" ? "ms" : std::string(1, unit.empty() ? 'd' : unit[0])));
  return span && *span > Micros{0} ? span : std::nullopt;
}

}  // namespace loose

namespace {

constexpr std::size_t objects_max = 200;

std::string usable_name(std::string text) {
  for (char& letter : text)
    if (letter == '/' || !Urn::is_name_letter(letter)) letter = '_';
  return text.substr(0, 200);
}

const json::object* object_of(const json::value& value) { return value.if_object(); }

// What a column is called where its rows are.
std::string column_name(const json::object& property) {
  const std::string physical = loose::text(property, "physicalName");
  return physical.empty() ? loose::text(property, "name") : physical;
}

class Import {
 public:
  Import(const json::object& contract, std::string owner)
      : contract_(contract), owner_(std::move(owner)) {}

  ContractSources run() && {
    for (const json::value& one : loose::list(contract_, "schema"))
      if (const json::object* object = object_of(one)) out_.sources.push_back(source_of(*object));
    return std::move(out_);
  }

 private:
  void warn(const std::string& text) { out_.warnings.push_back(text); }

  Source source_of(const json::object& object) {
    Source source{.name = usable_name(loose::text(object, "name")), .owner = owner_};
    source.description = loose::text(object, "description");
    if (source.description.empty())
      if (const json::value* whole = contract_.if_contains("description");
          whole && whole->is_object())
        source.description = loose::text(whole->get_object(), "purpose");
    for (const json::object* from : {&contract_, &object})
      for (const json::value& tag : loose::list(*from, "tags"))
        if (tag.is_string() &&
            std::ranges::find(source.tags, std::string(tag.get_string())) == source.tags.end())
          source.tags.emplace_back(tag.get_string());
    const ContractExtras extras = extras_of(object);
    source.postgres = extras.postgres;
    source.connection = extras.connection;
    source.kafka = extras.kafka;
    source.compatibility = extras.compatibility;
    source.refresh_every = extras.refresh_every;
    take_columns(object, source);
    take_place(object, source);
    take_freshness(object, source);
    if (source.freshness) source.freshness->severity = extras.freshness_severity;
    if (extras.event_time) source.event_time = extras.event_time;
    // Rules come last: they may need the columns and the event time.
    take_rules(object, source);
    source.contract = contract_;
    source.contract["schema"] = json::array{kept_};
    return source;
  }

  void take_columns(const json::object& object, Source& source) {
    std::vector<std::pair<std::int64_t, std::string>> key;
    std::set<std::string> seen;
    for (const json::value& one : loose::list(object, "properties")) {
      const json::object* property = object_of(one);
      if (!property || !seen.insert(column_name(*property)).second) continue;
      source.columns.push_back(column_of(*property, source.name));
      if (!loose::truth(*property, "primaryKey")) continue;
      const json::value* position = property->if_contains("primaryKeyPosition");
      key.emplace_back(position && position->is_int64() ? position->get_int64() : 1,
                       source.columns.back().name);
    }
    std::ranges::stable_sort(key, {}, &std::pair<std::int64_t, std::string>::first);
    for (auto& [position, name] : key) source.primary_key.push_back(name);
    if (source.columns.empty()) warn(source.name + " has no properties: add its columns");
  }

  SourceColumn column_of(const json::object& property, const std::string& source) {
    SourceColumn column{.name = column_name(property)};
    const std::string where = source + "." + column.name,
                      type = loose::text(property, "logicalType"),
                      physical = loose::text(property, "physicalType");
    if (type == "integer")
      column.type = ColumnType::bigint;
    else if (type == "number")
      column.type = physical.find("ec") != std::string::npos ||
                            physical.find("EC") != std::string::npos ||
                            physical.starts_with("num") || physical.starts_with("NUM")
                        ? ColumnType::decimal
                        : ColumnType::real;
    else if (type == "boolean")
      column.type = ColumnType::boolean;
    else if (type == "date" || type == "timestamp")
      column.type = ColumnType::timestamp;
    else if (type.empty())
      warn(where + " has no logicalType: read as text");
    else if (type != "string")
      warn(where + " is " + type + ": read as text");
    const std::string classification = loose::text(property, "classification");
    if (classification.empty()) {
      warn(where + " has no classification: internal until somebody says so");
    } else if (!Kind<Classification>::hear(classification, column.classification)) {
      column.classification = Classification::restricted;
      warn(where + " has the classification \"" + classification + "\": read as restricted");
    }
    if (const std::string text = loose::text(property, "description"); !text.empty())
      column.description = text;
    for (const json::value& tag : loose::list(property, "tags"))
      if (tag.is_string()) column.tags.emplace_back(tag.get_string());
    for (const json::value& custom : loose::list(property, "customProperties"))
      if (custom.is_object() && loose::text(custom.get_object(), "property") == "unit")
        if (const std::string unit = loose::text(custom.get_object(), "value"); !unit.empty())
          column.unit = unit;
    column.nullable = !loose::truth(property, "required");
    return column;
  }

  // Rules get a name where they have none, in what is kept too: that is how they are found again.
  void take_rules(const json::object& object, Source& source) {
    kept_ = object;
    std::set<std::string> names;
    for (const SourceCheck& implied : implied_checks(source)) names.insert(implied.name);
    take_list(kept_, source, "", names);
    json::value* properties = kept_.if_contains("properties");
    if (!properties || !properties->is_array()) return;
    for (json::value& one : properties->get_array()) {
      json::object* property = one.if_object();
      if (!property) continue;
      const std::string column = column_name(*property);
      if (loose::truth(*property, "unique"))
        source.checks.push_back({.name = column + " unique", .unique = {column}});
      names.insert(column + " unique");
      take_list(*property, source, column, names);
    }
  }

  void take_list(json::object& holder, Source& source, const std::string& column,
                 std::set<std::string>& names) {
    json::value* list = holder.if_contains("quality");
    if (!list || !list->is_array()) return;
    for (json::value& one : list->get_array()) {
      json::object* quality = one.if_object();
      if (!quality) continue;
      ContractRule rule = rule_of(*quality, source, column);
      const std::string place = source.name + (column.empty() ? "" : "." + column);
      if (rule.check && !faults_of(*rule.check, source, "").empty() && !rule.check->name.empty())
        rule = {{}, "rule " + rule.check->name + " does not fit its columns"};
      if (!rule.check) {
        warn(place + ": " + rule.warning);
        continue;
      }
      std::string name = rule.check->name;
      if (name.empty()) name = loose::text(*quality, "id");
      if (name.empty()) name = loose::text(*quality, "description").substr(0, 100);
      if (name.empty()) name = place + " " + loose::text(*quality, "metric");
      const std::string base = name;
      for (int number = 2; !names.insert(name).second; ++number)
        name = base + " " + std::to_string(number);
      rule.check->name = name;
      (*quality)["name"] = name;
      source.checks.push_back(std::move(*rule.check));
    }
  }

  static ContractExtras extras_of(const json::object& object) {
    for (const json::value& custom : loose::list(object, "customProperties"))
      if (custom.is_object() && loose::text(custom.get_object(), "property") == extras_property)
        if (const json::value* said = custom.get_object().if_contains("value"))
          if (auto extras = decode<ContractExtras>(*said)) return std::move(extras).take();
    return {};
  }

  void take_place(const json::object& object, Source& source) {
    if (source.postgres || source.kafka) return;
    const std::string physical = loose::text(object, "physicalName").empty()
                                     ? loose::text(object, "name")
                                     : loose::text(object, "physicalName");
    for (const json::value& one : loose::list(contract_, "servers")) {
      const json::object* server = object_of(one);
      if (!server) continue;
      const std::string type = loose::text(*server, "type");
      if (type == "local" || type == "s3") {
        source.path = loose::text(*server, type == "s3" ? "location" : "path");
        const std::string format = loose::text(*server, "format");
        if (!format.empty() && !Kind<Format>::hear(format, source.format))
          warn(source.name + ": format " + format + " is none that is read here");
        if (type == "s3") take_objects(source);
        return;
      }
      if (type == "kafka") {
        source.kafka = KafkaTopic{.connection = loose::text(*server, "server"), .topic = physical};
        warn(source.name + ": kafka.connection must be the name in penstock.yaml of " +
             loose::text(*server, "host"));
        return;
      }
      if (type != "postgres" && type != "postgresql") continue;
      const std::string schema = loose::text(*server, "schema"),
                        port = loose::text(*server, "port");
      source.postgres = PostgresTable{
          "host=" + loose::text(*server, "host") + (port.empty() ? "" : " port=" + port) +
              " dbname=" + loose::text(*server, "database"),
          schema.empty() || physical.find('.') != std::string::npos ? physical
                                                                    : schema + "." + physical};
      warn(source.name + ": the contract names no user; write its connection as ${ENV:NAME}");
      return;
    }
    warn(source.name +
         " is on no server that is read here (local, s3, postgres, kafka): add path, postgres or "
         "kafka");
  }

  // "s3://lake/trips/*.parquet" is all that lies below "s3://lake/trips/".
  void take_objects(Source& source) {
    if (const std::size_t pattern = source.path.find_first_of("*?[{");
        pattern != std::string::npos) {
      const std::size_t slash = source.path.find_last_of('/', pattern);
      source.path.resize(slash == std::string::npos ? 0 : slash + 1);
      warn(source.name + ": its location is a pattern; read as all below " + source.path);
    }
    if (!source.connection)
      warn(source.name + ": the contract names no keys; add connection, a name in penstock.yaml");
  }

  void take_freshness(const json::object& object, Source& source) {
    for (const json::value& one : loose::list(contract_, "slaProperties")) {
      const json::object* sla = object_of(one);
      if (!sla) continue;
      const std::string property = loose::text(*sla, "property");
      std::string element = loose::text(*sla, "element");
      if (const std::size_t dot = element.find('.'); dot != std::string::npos) {
        if (element.substr(0, dot) != loose::text(object, "name")) continue;
        element = element.substr(dot + 1);
      }
      const auto span = loose::age_asked(*sla);
      if (!span) {
        warn(source.name + ": " + property + " is kept and not measured");
        continue;
      }
      source.freshness = FreshnessRule{.max_age = *span};
      for (const SourceColumn& column : source.columns)
        if (column.name == element && column.type == ColumnType::timestamp)
          source.event_time = element;
    }
  }

  const json::object& contract_;
  const std::string owner_;
  json::object kept_;
  ContractSources out_;
};

std::string owner_in(const json::object& contract) {
  const json::value* team = contract.if_contains("team");
  if (!team) return loose::text(contract, "domain");
  if (team->is_object()) {
    if (const std::string name = loose::text(team->get_object(), "name"); !name.empty())
      return name;
  }
  const json::array& members = team->is_array()    ? team->get_array()
                               : team->is_object() ? loose::list(team->get_object(), "members")
                                                   : loose::list(contract, "team");
  std::string first;
  for (const json::value& member : members) {
    if (!member.is_object()) continue;
    const std::string name = loose::text(member.get_object(), "username");
    if (loose::text(member.get_object(), "role") == "owner" && !name.empty()) return name;
    if (first.empty()) first = name;
  }
  return first.empty() ? loose::text(contract, "domain") : first;
}

}  // namespace

Result<ContractSources> import_contract(const Call& call, const ContractInput& input) {
  std::vector<Violation> faults;
  const auto fault = [&](const char* field, std::string problem) {
    faults.push_back({std::string("contract.") + field, std::move(problem)});
  };
  if (loose::text(input.contract, "kind") != "DataContract") fault("kind", "must be DataContract");
  if (!loose::text(input.contract, "apiVersion").starts_with("v3."))
    fault("apiVersion", "must be a version 3 of the Open Data Contract Standard, as v3.1.0");
  const json::array& schema = loose::list(input.contract, "schema");
  if (schema.empty()) fault("schema", "must hold at least one object");
  if (schema.size() > objects_max) fault("schema", "must hold at most 200 objects");
  for (std::size_t i = 0; i < schema.size() && i < objects_max; ++i)
    if (!schema[i].is_object() || loose::text(schema[i].get_object(), "name").empty())
      faults.push_back({"contract.schema[" + std::to_string(i) + "].name", "is missing"});
  if (!faults.empty()) {
    std::string message = faults.front().field + " " + faults.front().problem;
    return Error{Code::invalid_argument, std::move(message), std::move(faults)};
  }
  std::string owner = input.owner.empty() ? owner_in(input.contract) : input.owner;
  if (owner.empty()) owner = call.actor.substr(call.actor.find(':') + 1);
  return Import(input.contract, std::move(owner)).run();
}

}  // namespace penstock::catalog
