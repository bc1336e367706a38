// What people declare of their data: sources and entities.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/described.h"
#include "base/named.h"
#include "catalog/checks.h"

namespace penstock::catalog {

// From the least to the most protected; the strictest wins along lineage. In text: "public", ...
enum class Classification { open, internal, confidential, restricted };
inline constexpr std::array classification_names = {"public", "internal", "confidential",
                                                    "restricted"};
boost::mp11::mp_list<NamedEnumerator<Classification::open, classification_names>,
                     NamedEnumerator<Classification::internal, classification_names>,
                     NamedEnumerator<Classification::confidential, classification_names>,
                     NamedEnumerator<Classification::restricted, classification_names>>
boost_enum_descriptor_fn(Classification**);

// In text "double" for real, else as they are called here. Integers of every width are bigint,
// dates timestamps at midnight UTC. Lists (and arrays of one size) are as the file has them.
enum class ColumnType { boolean, bigint, real, text, timestamp, decimal, list };
inline constexpr std::array column_type_names = {"boolean",   "bigint",  "double", "text",
                                                 "timestamp", "decimal", "list"};
boost::mp11::mp_list<NamedEnumerator<ColumnType::boolean, column_type_names>,
                     NamedEnumerator<ColumnType::bigint, column_type_names>,
                     NamedEnumerator<ColumnType::real, column_type_names>,
                     NamedEnumerator<ColumnType::text, column_type_names>,
                     NamedEnumerator<ColumnType::timestamp, column_type_names>,
                     NamedEnumerator<ColumnType::decimal, column_type_names>,
                     NamedEnumerator<ColumnType::list, column_type_names>>
boost_enum_descriptor_fn(ColumnType**);

struct SourceColumn {
  std::string name;
  ColumnType type = ColumnType::text;
  Classification classification = Classification::internal;
  std::optional<std::string> unit, description;
  std::vector<std::string> tags;
  bool nullable = true;  // false: a null is a failed check, and readers may count on it
};
BOOST_DESCRIBE_STRUCT(SourceColumn, (),
                      (name, type, classification, unit, description, tags, nullable))
constexpr auto rules_of(const SourceColumn&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 200},
      Rule{.field = "unit", .doc = "\"minutes\"; a change of it is recorded.", .max = 50},
      Rule{.field = "nullable", .may_miss = true}};
}

enum class Format { parquet, csv, json };
BOOST_DESCRIBE_ENUM(Format, parquet, csv, json)

struct PostgresTable {
  std::string connection;
  std::string table;
};
BOOST_DESCRIBE_STRUCT(PostgresTable, (), (connection, table))
constexpr auto rules_of(const PostgresTable&) {
  return std::array{
      Rule{.field = "connection",
           .doc = "As libpq takes it, without a password; or ${ENV:NAME} or file:PATH, which may "
                  "hold one.",
           .min = 1,
           .max = 2000},
      Rule{.field = "table", .doc = "\"public.flights\".", .min = 1, .max = 200}};
}

enum class TopicFormat { json };
BOOST_DESCRIBE_ENUM(TopicFormat, json)

struct KafkaTopic {
  std::string connection;
  std::string topic;
  TopicFormat format = TopicFormat::json;
  std::int64_t messages_max = 1'000'000;
  std::optional<Micros> since;
};
BOOST_DESCRIBE_STRUCT(KafkaTopic, (), (connection, topic, format, messages_max, since))
constexpr auto rules_of(const KafkaTopic&) {
  return std::array{
      Rule{.field = "connection",
           .doc = "Which of the server's connections (penstock.yaml) names the brokers.",
           .min = 1,
           .max = 200},
      Rule{.field = "topic", .min = 1, .max = 249},
      Rule{.field = "format", .doc = "JSON objects, one a message.", .may_miss = true},
      Rule{.field = "messages_max",
           .doc = "Its rows are the newest messages, an even share of so many from each partition.",
           .min = 1,
           .max = 50'000'000,
           .may_miss = true},
      Rule{.field = "since", .doc = "\"7d\": and none of them older."}};
}

// What a new version may change, as schema registries define it. backward: who reads by the new
// version reads all rows of the one before. forward: who reads by the version before reads all rows
// of the new one. full: both. transitive: of every version before.
enum class Compatibility {
  none,
  backward,
  backward_transitive,
  forward,
  forward_transitive,
  full,
  full_transitive
};
BOOST_DESCRIBE_ENUM(Compatibility, none, backward, backward_transitive, forward, forward_transitive,
                    full, full_transitive)

struct FreshnessRule {
  Micros max_age{0};
  CheckSeverity severity = CheckSeverity::error;
};
BOOST_DESCRIBE_STRUCT(FreshnessRule, (), (max_age, severity))
constexpr auto rules_of(const FreshnessRule&) {
  return std::array{
      Rule{.field = "max_age", .doc = "\"24h\": of the newest event_time, or of the newest file."},
      Rule{.field = "severity", .may_miss = true}};
}

// `kind: source`. Where it is: `path`, a table of another system, or a topic.
struct Source {
  std::string name, owner, description;
  std::string path;
  std::optional<std::string> connection;
  std::optional<KafkaTopic> kafka;
  Format format = Format::parquet;
  std::optional<std::string> event_time;
  std::vector<SourceColumn> columns;
  std::vector<SourceCheck> checks;
  std::optional<PostgresTable> postgres;
  std::vector<std::string> primary_key;
  Compatibility compatibility = Compatibility::none;
  std::optional<FreshnessRule> freshness;
  std::optional<Micros> refresh_every;
  std::vector<std::string> tags;
  json::object contract;
};
BOOST_DESCRIBE_STRUCT(Source, (),
                      (name, owner, description, path, connection, kafka, format, event_time,
                       columns, checks, postgres, primary_key, compatibility, freshness,
                       refresh_every, tags, contract))
// Where its rows are, in the words of whoever asks.
inline std::string place_name(const Source& source) {
  if (source.postgres) return source.postgres->table;
  return source.kafka ? source.kafka->topic : source.path;
}
constexpr auto rules_of(const Source&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 200},
      Rule{.field = "owner", .min = 1, .max = 200},
      Rule{.field = "description", .max = 10'000, .may_miss = true},
      Rule{.field = "path",
           .doc =
               "A file, or a directory of such files (hive partitions are columns). Absolute, or "
               "below the data folder; never with \"..\". Or s3://BUCKET/PREFIX/, all such objects "
               "below it.",
           .max = 2000,
           .may_miss = true},
      Rule{.field = "format", .may_miss = true},
      Rule{.field = "event_time", .doc = "The column that says when a row happened.", .min = 1},
      Rule{.field = "columns", .min = 1, .max = 2000},
      Rule{.field = "checks", .max = 1000},
      Rule{.field = "primary_key", .doc = "Columns that together name a row.", .max = 16},
      Rule{.field = "compatibility",
           .doc = "What a new version may change; checked when it is applied.",
           .may_miss = true},
      Rule{.field = "refresh_every",
           .doc = "How often freshness, profile and checks are measured; none: a quarter of "
                  "freshness.max_age, and never where that is missing too."},
      Rule{.field = "tags", .max = 100},
      Rule{.field = "contract",
           .doc = "What a data contract said that has no field of its own here.",
           .may_miss = true},
      Rule{.field = "connection",
           .doc = "For s3://: which of the server's connections (penstock.yaml) holds the keys.",
           .min = 1,
           .max = 200}};
}

struct JoinKey {
  std::string name;
  ColumnType type = ColumnType::text;
};
BOOST_DESCRIBE_STRUCT(JoinKey, (), (name, type))
constexpr auto rules_of(const JoinKey&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 200},
                    Rule{.field = "type", .doc = "text, bigint or boolean."}};
}

// `kind: entity`
struct Entity {
  std::string name, owner, description;
  std::vector<JoinKey> join_keys;
};
BOOST_DESCRIBE_STRUCT(Entity, (), (name, owner, description, join_keys))
constexpr auto rules_of(const Entity&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 200},
                    Rule{.field = "owner", .min = 1, .max = 200},
                    Rule{.field = "description", .max = 10'000, .may_miss = true},
                    Rule{.field = "join_keys", .min = 1, .max = 16}};
}

// What a new version of a source changed of the old one. A row of source_changes.
struct SourceChange {
  std::string project, source;
  std::int64_t version = 0;  // the new one
  std::string what;          // "column arr_delay: unit minutes -> seconds"
  bool compatible = true;    // false: who reads the source may break or be wrong
  Timestamp at;
  std::string actor;
};
BOOST_DESCRIBE_STRUCT(SourceChange, (), (project, source, version, what, compatible, at, actor))

// Each difference of two declarations that a reader of the data can feel.
struct Difference {
  std::string what;
  bool compatible = true;
};
std::vector<Difference> differences(const Source& before, const Source& after);

}  // namespace penstock::catalog
