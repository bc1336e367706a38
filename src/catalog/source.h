// What people declare of their data: sources, entities and policies.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/described.h"
#include "catalog/named.h"

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
// dates timestamps at midnight UTC.
enum class ColumnType { boolean, bigint, real, text, timestamp, decimal };
inline constexpr std::array column_type_names = {"boolean", "bigint",    "double",
                                                 "text",    "timestamp", "decimal"};
boost::mp11::mp_list<NamedEnumerator<ColumnType::boolean, column_type_names>,
                     NamedEnumerator<ColumnType::bigint, column_type_names>,
                     NamedEnumerator<ColumnType::real, column_type_names>,
                     NamedEnumerator<ColumnType::text, column_type_names>,
                     NamedEnumerator<ColumnType::timestamp, column_type_names>,
                     NamedEnumerator<ColumnType::decimal, column_type_names>>
boost_enum_descriptor_fn(ColumnType**);

struct SourceColumn {
  std::string name;
  ColumnType type = ColumnType::text;
  Classification classification = Classification::internal;
  std::optional<std::string> unit, description;
  std::vector<std::string> tags;
};
BOOST_DESCRIBE_STRUCT(SourceColumn, (), (name, type, classification, unit, description, tags))
constexpr auto rules_of(const SourceColumn&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 200},
      Rule{.field = "unit", .doc = "\"minutes\"; a change of it is recorded.", .max = 50}};
}

enum class CheckSeverity { warning, error };
BOOST_DESCRIBE_ENUM(CheckSeverity, warning, error)

struct SourceCheck {
  std::string name;
  std::string sql;
  CheckSeverity severity = CheckSeverity::error;
};
BOOST_DESCRIBE_STRUCT(SourceCheck, (), (name, sql, severity))
constexpr auto rules_of(const SourceCheck&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 200},
      Rule{.field = "sql",
           .doc =
               "SELECT over sources by their names: the rows that break the rule, or their count.",
           .min = 1,
           .max = 100'000},
      Rule{.field = "severity", .may_miss = true}};
}

enum class Format { parquet, csv };
BOOST_DESCRIBE_ENUM(Format, parquet, csv)

// `kind: source`
struct Source {
  std::string name, owner, description;
  std::string path;
  Format format = Format::parquet;
  std::optional<std::string> event_time;
  std::vector<SourceColumn> columns;
  std::vector<SourceCheck> checks;
};
BOOST_DESCRIBE_STRUCT(Source, (),
                      (name, owner, description, path, format, event_time, columns, checks))
constexpr auto rules_of(const Source&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 200},
      Rule{.field = "owner", .min = 1, .max = 200},
      Rule{.field = "description", .max = 10'000, .may_miss = true},
      Rule{.field = "path",
           .doc = "Absolute, or below the data folder; never with \"..\".",
           .min = 1,
           .max = 2000},
      Rule{.field = "format", .may_miss = true},
      Rule{.field = "event_time", .doc = "The column that says when a row happened.", .min = 1},
      Rule{.field = "columns", .min = 1, .max = 2000},
      Rule{.field = "checks", .max = 1000}};
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

enum class AppliesTo { register_, approve, release, read };
inline constexpr std::array applies_to_names = {"register", "approve", "release", "read"};
boost::mp11::mp_list<NamedEnumerator<AppliesTo::register_, applies_to_names>,
                     NamedEnumerator<AppliesTo::approve, applies_to_names>,
                     NamedEnumerator<AppliesTo::release, applies_to_names>,
                     NamedEnumerator<AppliesTo::read, applies_to_names>>
boost_enum_descriptor_fn(AppliesTo**);

enum class PolicySeverity { warn, block };
BOOST_DESCRIBE_ENUM(PolicySeverity, warn, block)

// `kind: policy`: a SELECT over metadata whose rows are violations. $1 is the subject's URN, $2 the
// project, which it must name: a policy never sees another project's rows by accident.
struct Policy {
  std::string name, owner, description;
  std::string sql;
  AppliesTo applies_to = AppliesTo::release;
  PolicySeverity severity = PolicySeverity::block;
  std::string message;
};
BOOST_DESCRIBE_STRUCT(Policy, (), (name, owner, description, sql, applies_to, severity, message))
constexpr auto rules_of(const Policy&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 200},
                    Rule{.field = "owner", .min = 1, .max = 200},
                    Rule{.field = "description", .max = 10'000, .may_miss = true},
                    Rule{.field = "sql",
                         .doc = "SELECT ... with $1 the subject, $2 the project.",
                         .min = 1,
                         .max = 20'000},
                    Rule{.field = "severity", .may_miss = true},
                    Rule{.field = "message", .min = 1, .max = 2000}};
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
