// What people ask of the rows of a source, as SQL of their own or as one of the common checks.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/described.h"

namespace penstock::catalog {

enum class CheckSeverity { warning, error };
BOOST_DESCRIBE_ENUM(CheckSeverity, warning, error)

struct AcceptedValues {
  std::string column;
  std::vector<json::value> values;
};
BOOST_DESCRIBE_STRUCT(AcceptedValues, (), (column, values))
constexpr auto rules_of(const AcceptedValues&) {
  return std::array{Rule{.field = "column", .min = 1, .max = 200},
                    Rule{.field = "values", .min = 1, .max = 10'000}};
}

// Both ends are allowed; a text is read as the column's type.
struct ValueRange {
  std::string column;
  json::value min, max;
};
BOOST_DESCRIBE_STRUCT(ValueRange, (), (column, min, max))
constexpr auto rules_of(const ValueRange&) {
  return std::array{Rule{.field = "column", .min = 1, .max = 200},
                    Rule{.field = "min", .may_miss = true}, Rule{.field = "max", .may_miss = true}};
}

struct ValuePattern {
  std::string column, regex;
};
BOOST_DESCRIBE_STRUCT(ValuePattern, (), (column, regex))
constexpr auto rules_of(const ValuePattern&) {
  return std::array{
      Rule{.field = "column", .min = 1, .max = 200},
      Rule{.field = "regex", .doc = "RE2; the whole value must match.", .min = 1, .max = 1000}};
}

struct RowCount {
  std::optional<std::int64_t> min, max;
};
BOOST_DESCRIBE_STRUCT(RowCount, (), (min, max))
constexpr auto rules_of(const RowCount&) {
  return std::array{Rule{.field = "min", .min = 0}, Rule{.field = "max", .min = 0}};
}

struct Freshness {
  Micros max_age{0};
  std::optional<std::string> column;  // a timestamp; none: the source's event_time
};
BOOST_DESCRIBE_STRUCT(Freshness, (), (max_age, column))

// Each value of `columns` is one of `to_columns` of `source`.
struct References {
  std::vector<std::string> columns;
  std::string source;
  std::vector<std::string> to_columns;  // empty: of the same names
};
BOOST_DESCRIBE_STRUCT(References, (), (columns, source, to_columns))
constexpr auto rules_of(const References&) {
  return std::array{Rule{.field = "columns", .min = 1, .max = 16},
                    Rule{.field = "source", .min = 1, .max = 200},
                    Rule{.field = "to_columns", .max = 16}};
}

// Exactly one of `sql` and what follows `severity`. A null breaks not_null and nothing else.
struct SourceCheck {
  std::string name;
  std::string sql;
  CheckSeverity severity = CheckSeverity::error;
  std::vector<std::string> not_null;  // columns
  std::vector<std::string> unique;    // columns that together are a key
  std::optional<AcceptedValues> accepted_values;
  std::optional<ValueRange> range;
  std::optional<ValuePattern> pattern;
  std::optional<RowCount> row_count;
  std::optional<Freshness> freshness;
  std::optional<References> references;
};
BOOST_DESCRIBE_STRUCT(SourceCheck, (),
                      (name, sql, severity, not_null, unique, accepted_values, range, pattern,
                       row_count, freshness, references))
constexpr auto rules_of(const SourceCheck&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 200},
      Rule{.field = "sql",
           .doc =
               "SELECT over sources by their names: the rows that break the rule, or their count.",
           .max = 100'000,
           .may_miss = true},
      Rule{.field = "severity", .may_miss = true}, Rule{.field = "not_null", .max = 2000},
      Rule{.field = "unique", .max = 16}};
}

struct Source;

// What of a check does not fit its source: fields below `field`.
std::vector<Violation> faults_of(const SourceCheck& check, const Source& source,
                                 const std::string& field);
// The rows that break the check, or one count of violations, for a check without faults. Ages are
// measured from `now`.
std::string sql_of(const SourceCheck& check, const Source& source, Timestamp now);
// What nullable: false and primary_key ask, as checks.
std::vector<SourceCheck> implied_checks(const Source& source);

}  // namespace penstock::catalog
