#include "catalog/checks.h"

#include <algorithm>
#include <re2/re2.h>

#include "catalog/source.h"
#include "ports/olap.h"

namespace penstock::catalog {
namespace {

using olap::quoted_name;
using olap::quoted_text;

const SourceColumn* column_of(const Source& source, const std::string& name) {
  const auto found = std::ranges::find(source.columns, name, &SourceColumn::name);
  return found == source.columns.end() ? nullptr : &*found;
}

std::string joined(const std::vector<std::string>& parts, const std::string& between) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : between) + part;
  return out;
}

std::vector<std::string> quoted(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) out.push_back(quoted_name(name));
  return out;
}

// A value as the column's type reads it.
std::string literal(const json::value& value, ColumnType type) {
  if (value.is_bool()) return value.get_bool() ? "TRUE" : "FALSE";
  if (!value.is_string()) return json::serialize(value);
  const std::string text = quoted_text(std::string_view(value.get_string()));
  return type == ColumnType::timestamp ? "CAST(" + text + " AS TIMESTAMP)" : text;
}

// What is wrong with comparing a column of `type` with `value`; empty where nothing is.
std::string misfit(const json::value& value, ColumnType type) {
  switch (type) {
    case ColumnType::boolean: return value.is_bool() ? "" : "must be true or false";
    case ColumnType::bigint:
    case ColumnType::real:
    case ColumnType::decimal: return value.is_number() ? "" : "must be a number";
    case ColumnType::text: return value.is_string() ? "" : "must be a text";
    case ColumnType::timestamp:
      return value.is_string() && from_rfc3339(std::string_view(value.get_string()))
                 ? ""
                 : "must be a time such as \"2026-05-01T00:00:00Z\"";
    case ColumnType::list: return "must be left out: a list is not compared";
  }
  return "";
}

class Faults {
 public:
  Faults(const Source& source, std::string field) : source_(source), field_(std::move(field)) {}

  void add(const std::string& member, std::string problem) {
    all.push_back({field_ + (member.empty() ? "" : "." + member), std::move(problem)});
  }
  const SourceColumn* column(const std::string& name, const std::string& member) {
    const SourceColumn* found = column_of(source_, name);
    if (!found) add(member, name + " is not a column of " + source_.name);
    return found;
  }
  void columns(const std::vector<std::string>& names, const std::string& member) {
    for (std::size_t i = 0; i < names.size(); ++i)
      column(names[i], member + "[" + std::to_string(i) + "]");
  }
  void value(const json::value& value, ColumnType type, const std::string& member) {
    if (const std::string problem = misfit(value, type); !problem.empty()) add(member, problem);
  }

  std::vector<Violation> all;

 private:
  const Source& source_;
  const std::string field_;
};

int given(const SourceCheck& check) {
  return !check.sql.empty() + !check.not_null.empty() + !check.unique.empty() +
         check.accepted_values.has_value() + check.range.has_value() + check.pattern.has_value() +
         check.row_count.has_value() + check.freshness.has_value() + check.references.has_value();
}

void check_range(const ValueRange& range, Faults& faults) {
  if (range.min.is_null() && range.max.is_null()) faults.add("range", "must give min, max or both");
  const SourceColumn* column = faults.column(range.column, "range.column");
  if (!column) return;
  if (column->type == ColumnType::boolean)
    faults.add("range.column", "must not be a boolean: use accepted_values");
  if (!range.min.is_null()) faults.value(range.min, column->type, "range.min");
  if (!range.max.is_null()) faults.value(range.max, column->type, "range.max");
}

void check_pattern(const ValuePattern& pattern, Faults& faults) {
  const SourceColumn* column = faults.column(pattern.column, "pattern.column");
  if (column && column->type != ColumnType::text)
    faults.add("pattern.column", "must be a column of type text");
  const re2::RE2 regex(pattern.regex, re2::RE2::Quiet);
  if (!regex.ok()) faults.add("pattern.regex", "is no regular expression: " + regex.error());
}

void check_freshness(const Freshness& freshness, const Source& source, Faults& faults) {
  if (freshness.max_age <= Micros{0}) faults.add("freshness.max_age", "must be more than 0");
  const auto& name = freshness.column ? freshness.column : source.event_time;
  if (!name) return faults.add("freshness.column", "must be given: the source has no event_time");
  const SourceColumn* column = faults.column(*name, "freshness.column");
  if (column && column->type != ColumnType::timestamp)
    faults.add("freshness.column", "must be a column of type timestamp");
}

std::string accepted_sql(const AcceptedValues& accepted, const Source& source,
                         const std::string& rows) {
  std::vector<std::string> values;
  for (const json::value& value : accepted.values)
    values.push_back(literal(value, column_of(source, accepted.column)->type));
  const std::string column = quoted_name(accepted.column);
  return rows + column + " IS NOT NULL AND " + column + " NOT IN (" + joined(values, ", ") + ")";
}

std::string range_sql(const ValueRange& range, const Source& source, const std::string& rows) {
  const ColumnType type = column_of(source, range.column)->type;
  std::vector<std::string> outside;
  if (!range.min.is_null())
    outside.push_back(quoted_name(range.column) + " < " + literal(range.min, type));
  if (!range.max.is_null())
    outside.push_back(quoted_name(range.column) + " > " + literal(range.max, type));
  return rows + joined(outside, " OR ");
}

// One whole number: 1 where the count is outside, so that it is not read as a count of violations.
std::string count_sql(const RowCount& count, const Source& source) {
  std::vector<std::string> outside;
  if (count.min) outside.push_back("count(*) < " + std::to_string(*count.min));
  if (count.max) outside.push_back("count(*) > " + std::to_string(*count.max));
  return "SELECT CAST(" + joined(outside, " OR ") + " AS BIGINT) AS violations FROM " +
         quoted_name(source.name);
}

std::string freshness_sql(const Freshness& freshness, const Source& source, Timestamp now) {
  const std::string column =
      quoted_name(freshness.column ? *freshness.column : source.event_time.value_or(""));
  return "SELECT CAST(coalesce(max(" + column + ") < make_timestamp(" +
         std::to_string((now - freshness.max_age).time_since_epoch().count()) +
         "), TRUE) AS BIGINT) AS violations FROM " + quoted_name(source.name);
}

std::string references_sql(const References& references, const Source& source) {
  const auto& to = references.to_columns.empty() ? references.columns : references.to_columns;
  std::vector<std::string> present, equal;
  for (std::size_t i = 0; i < references.columns.size(); ++i) {
    const std::string mine = "referring." + quoted_name(references.columns[i]);
    present.push_back(mine + " IS NOT NULL");
    equal.push_back("referred." + quoted_name(to[i]) + " = " + mine);
  }
  return "SELECT * FROM " + quoted_name(source.name) + " AS referring WHERE " +
         joined(present, " AND ") + " AND NOT EXISTS (SELECT 1 FROM " +
         quoted_name(references.source) + " AS referred WHERE " + joined(equal, " AND ") + ")";
}

}  // namespace

std::vector<Violation> faults_of(const SourceCheck& check, const Source& source,
                                 const std::string& field) {
  Faults faults(source, field);
  if (given(check) != 1)
    faults.add("",
               "must give exactly one of sql, not_null, unique, accepted_values, range, pattern, "
               "row_count, freshness, references");
  faults.columns(check.not_null, "not_null");
  faults.columns(check.unique, "unique");
  if (const auto& accepted = check.accepted_values)
    if (const SourceColumn* column = faults.column(accepted->column, "accepted_values.column"))
      for (std::size_t i = 0; i < accepted->values.size(); ++i)
        faults.value(accepted->values[i], column->type,
                     "accepted_values.values[" + std::to_string(i) + "]");
  if (check.range) check_range(*check.range, faults);
  if (check.pattern) check_pattern(*check.pattern, faults);
  if (check.row_count) {
    if (!check.row_count->min && !check.row_count->max)
      faults.add("row_count", "must give min, max or both");
    if (check.row_count->min.value_or(0) < 0 || check.row_count->max.value_or(0) < 0)
      faults.add("row_count", "must not be negative");
  }
  if (check.freshness) check_freshness(*check.freshness, source, faults);
  if (check.references) {
    faults.columns(check.references->columns, "references.columns");
    if (!check.references->to_columns.empty() &&
        check.references->to_columns.size() != check.references->columns.size())
      faults.add("references.to_columns", "must be as many as references.columns");
  }
  return std::move(faults.all);
}

std::string sql_of(const SourceCheck& check, const Source& source, Timestamp now) {
  const std::string rows = "SELECT * FROM " + quoted_name(source.name) + " WHERE ";
  if (!check.not_null.empty())
    return rows + joined(quoted(check.not_null), " IS NULL OR ") + " IS NULL";
  if (!check.unique.empty()) {
    const std::string names = joined(quoted(check.unique), ", ");
    return "SELECT " + names + ", count(*) AS rows_of_it FROM " + quoted_name(source.name) +
           " WHERE " + joined(quoted(check.unique), " IS NOT NULL AND ") +
           " IS NOT NULL GROUP BY " + names + " HAVING count(*) > 1";
  }
  if (check.accepted_values) return accepted_sql(*check.accepted_values, source, rows);
  if (check.range) return range_sql(*check.range, source, rows);
  if (check.pattern) {
    const std::string column = quoted_name(check.pattern->column);
    return rows + column + " IS NOT NULL AND NOT regexp_full_match(" + column + ", " +
           quoted_text(check.pattern->regex) + ")";
  }
  if (check.row_count) return count_sql(*check.row_count, source);
  if (check.freshness) return freshness_sql(*check.freshness, source, now);
  if (check.references) return references_sql(*check.references, source);
  return check.sql;
}

std::vector<SourceCheck> implied_checks(const Source& source) {
  std::vector<SourceCheck> out;
  SourceCheck present{.name = "not nullable"};
  for (const SourceColumn& column : source.columns)
    if (!column.nullable) present.not_null.push_back(column.name);
  for (const std::string& name : source.primary_key)
    if (std::ranges::find(present.not_null, name) == present.not_null.end())
      present.not_null.push_back(name);
  if (!present.not_null.empty()) out.push_back(std::move(present));
  if (!source.primary_key.empty())
    out.push_back({.name = "primary key", .unique = source.primary_key});
  return out;
}

}  // namespace penstock::catalog
