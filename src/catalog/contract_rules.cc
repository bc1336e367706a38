// Rules of a data contract as checks of a source, and back.
#include "catalog/contract.h"
#include "ports/olap.h"

namespace penstock::catalog {
namespace {

using olap::quoted_name;
using olap::quoted_text;

constexpr const char* check_property = "penstockCheck";

struct Operator {
  const char* name;
  const char* sql;
};
constexpr Operator operators[] = {{"mustBe", "="},
                                  {"mustNotBe", "<>"},
                                  {"mustBeGreaterThan", ">"},
                                  {"mustBeGreaterOrEqualTo", ">="},
                                  {"mustBeLessThan", "<"},
                                  {"mustBeLessOrEqualTo", "<="}};

std::string literal(const json::value& value) {
  if (value.is_string()) return quoted_text(std::string_view(value.get_string()));
  if (value.is_bool()) return value.get_bool() ? "TRUE" : "FALSE";
  return json::serialize(value);
}

// What `value` must be, as a condition on it; empty where the rule does not say.
std::string condition(const json::object& quality) {
  for (const Operator& one : operators)
    if (const json::value* bound = quality.if_contains(one.name);
        bound && (bound->is_number() || bound->is_string() || bound->is_bool()))
      return std::string("value ") + one.sql + " " + literal(*bound);
  for (const auto& [name, not_] :
       {std::pair{"mustBeBetween", ""}, std::pair{"mustNotBeBetween", "NOT "}})
    if (const auto& ends = loose::list(quality, name);
        ends.size() == 2 && ends[0].is_number() && ends[1].is_number())
      return std::string(not_) + "value BETWEEN " + literal(ends[0]) + " AND " + literal(ends[1]);
  return "";
}

bool must_be_zero(const json::object& quality) {
  const json::value* bound = quality.if_contains("mustBe");
  return bound && bound->is_number() && bound->to_number<double>() == 0 &&
         loose::text(quality, "unit") != "percent";
}

// A violation where the measured value is not as it must be, or there is none.
std::string judged(const std::string& measured, const std::string& condition) {
  return "SELECT CAST(NOT coalesce(" + condition + ", FALSE) AS BIGINT) AS violations FROM (" +
         measured + ") AS measured (value)";
}

std::string replaced(std::string text, const std::string& mark, const std::string& with) {
  for (std::size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += with.size())
    text.replace(at, mark.size(), with);
  return text;
}

std::string without_end(std::string sql) {
  while (!sql.empty() &&
         (sql.back() == ';' || std::isspace(static_cast<unsigned char>(sql.back()))))
    sql.pop_back();
  return sql;
}

std::vector<std::string> texts(const json::array& list) {
  std::vector<std::string> out;
  for (const json::value& item : list)
    if (item.is_string()) out.emplace_back(item.get_string());
  return out;
}

// The rows that break a metric, as a condition on them; empty for a metric of no rows.
std::string broken_rows(const std::string& metric, const json::object& arguments,
                        const std::string& column) {
  const std::string name = quoted_name(column);
  if (metric == "nullValues") return name + " IS NULL";
  std::string values;
  bool null = false;
  const bool missing = metric == "missingValues";
  for (const json::value& value : loose::list(arguments, missing ? "missingValues" : "validValues"))
    if (value.is_null())
      null = true;
    else
      values +=
          (values.empty() ? "" : ", ") +
          quoted_text(value.is_string() ? std::string(value.get_string()) : json::serialize(value));
  const std::string text = "CAST(" + name + " AS VARCHAR)";
  if (missing) {
    const std::string among = values.empty() ? "" : text + " IN (" + values + ")";
    if (!null) return among;
    return name + " IS NULL" + (among.empty() ? "" : " OR " + among);
  }
  if (metric != "invalidValues") return "";
  if (!values.empty()) return name + " IS NOT NULL AND " + text + " NOT IN (" + values + ")";
  const std::string pattern = loose::text(arguments, "pattern");
  if (pattern.empty()) return "";
  return name + " IS NOT NULL AND NOT regexp_full_match(" + text + ", " + quoted_text(pattern) +
         ")";
}

// "rowCount" and the like with its bound, as SQL; empty where it cannot be.
std::string metric_sql(const std::string& metric, const json::object& quality, const Source& source,
                       const std::vector<std::string>& columns) {
  const std::string bound = condition(quality), from = " FROM " + quoted_name(source.name);
  if (bound.empty()) return "";
  if (metric == "rowCount") return judged("SELECT count(*)" + from, bound);
  const bool percent = loose::text(quality, "unit") == "percent";
  const auto share = [&](const std::string& count) {
    return percent ? "SELECT coalesce(100.0 * " + count + " / nullif(count(*), 0), 0)" + from
                   : "SELECT " + count + from;
  };
  if (columns.empty()) return "";
  if (metric == "duplicateValues") {
    std::string names;
    for (const std::string& column : columns)
      names += (names.empty() ? "" : ", ") + quoted_name(column);
    return judged(share("(count(*) - count(DISTINCT (" + names + ")))"), bound);
  }
  const json::value* given = quality.if_contains("arguments");
  const std::string rows = broken_rows(
      metric, given && given->is_object() ? given->get_object() : json::object(), columns.front());
  return rows.empty() ? "" : judged(share("count(*) FILTER (WHERE " + rows + ")"), bound);
}

// Where a rule is one of the common checks, it is that one: it reads better, and says which rows.
bool common_check(const std::string& metric, const json::object& quality,
                  const std::vector<std::string>& columns, SourceCheck& check) {
  if (metric == "rowCount") {
    const auto whole = [&](const char* name) -> std::optional<std::int64_t> {
      const json::value* value = quality.if_contains(name);
      return value && value->is_int64() ? std::optional(value->get_int64()) : std::nullopt;
    };
    RowCount count{.min = whole("mustBeGreaterOrEqualTo"), .max = whole("mustBeLessOrEqualTo")};
    if (const auto more = whole("mustBeGreaterThan")) count.min = *more + 1;
    if (const auto less = whole("mustBeLessThan")) count.max = *less - 1;
    if (const auto& ends = loose::list(quality, "mustBeBetween");
        ends.size() == 2 && ends[0].is_int64() && ends[1].is_int64())
      count = {ends[0].get_int64(), ends[1].get_int64()};
    if ((!count.min && !count.max) || count.min.value_or(0) < 0 || count.max.value_or(0) < 0)
      return false;
    check.row_count = count;
    return true;
  }
  if (!must_be_zero(quality) || columns.empty()) return false;
  if (metric == "nullValues") check.not_null = columns;
  if (metric == "duplicateValues") check.unique = columns;
  return metric == "nullValues" || metric == "duplicateValues";
}

ContractRule from_library(const json::object& quality, const Source& source,
                          const std::string& column, SourceCheck check) {
  std::string metric = loose::text(quality, "metric");
  if (metric.empty()) metric = loose::text(quality, "rule");
  std::vector<std::string> columns;
  if (!column.empty()) columns.push_back(column);
  if (const json::value* arguments = quality.if_contains("arguments");
      columns.empty() && arguments && arguments->is_object())
    columns = texts(loose::list(arguments->get_object(), "properties"));
  if (common_check(metric, quality, columns, check)) return {std::move(check), ""};
  check.sql = metric_sql(metric, quality, source, columns);
  if (!check.sql.empty()) return {std::move(check), ""};
  return {{}, "metric " + (metric.empty() ? "(none)" : metric) + " with these bounds is not run"};
}

ContractRule from_sql(const json::object& quality, const Source& source, const std::string& column,
                      SourceCheck check) {
  std::string sql = without_end(loose::text(quality, "query"));
  for (const char* mark : {"${object}", "{object}", "${table}"})
    sql = replaced(sql, mark, quoted_name(source.name));
  for (const char* mark : {"${property}", "{property}", "${column}"})
    sql = replaced(sql, mark, quoted_name(column));
  const std::string bound = condition(quality);
  if (sql.empty() || bound.empty()) return {{}, "a query without a bound is not run"};
  check.sql = must_be_zero(quality) ? sql : judged(sql, bound);
  return {std::move(check), ""};
}

}  // namespace

ContractRule rule_of(const json::object& quality, const Source& source, const std::string& column) {
  for (const json::value& custom : loose::list(quality, "customProperties"))
    if (custom.is_object() && loose::text(custom.get_object(), "property") == check_property)
      if (const json::value* ours = custom.get_object().if_contains("value"))
        if (auto check = decode<SourceCheck>(*ours)) return {std::move(check).take(), ""};
  SourceCheck check{.name = loose::text(quality, "name")};
  if (loose::text(quality, "severity") == "warning" || loose::text(quality, "severity") == "info")
    check.severity = CheckSeverity::warning;
  const std::string type = loose::text(quality, "type");
  if (type == "sql") return from_sql(quality, source, column, std::move(check));
  if (type.empty() || type == "library")
    return from_library(quality, source, column, std::move(check));
  return {{}, "a rule of type " + type + " is kept and not run"};
}

namespace {

// A check without the members that it leaves empty.
json::object short_form(const SourceCheck& check) {
  json::object out;
  const json::value whole = encode(check);
  for (const auto& [key, value] : whole.as_object())
    if (!value.is_null() && !(value.is_array() && value.get_array().empty()) &&
        !(value.is_string() && value.get_string().empty()))
      out[key] = value;
  return out;
}

std::string query_of(const SourceCheck& check, const Source& source,
                     const std::function<bool(const std::string& sql)>& counts) {
  if (check.freshness) {
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(check.freshness->max_age).count();
    const std::string column = check.freshness->column.value_or(source.event_time.value_or(""));
    return "SELECT COUNT(*) FROM (SELECT max(" + quoted_name(column) + ") AS newest FROM " +
           quoted_name(source.name) + ") AS t WHERE newest < now() - INTERVAL '" +
           std::to_string(seconds) + " seconds'";
  }
  const std::string sql = sql_of(check, source, Timestamp{});
  if (!check.sql.empty() && counts(sql)) return sql;
  return "SELECT COUNT(*) FROM (\n" + sql + "\n) AS violations";
}

}  // namespace

json::object quality_of(const SourceCheck& check, const Source& source,
                        const std::function<bool(const std::string& sql)>& counts) {
  json::object out{{"name", check.name},
                   {"severity", name_of(check.severity)},
                   {"type", "library"},
                   {"customProperties",
                    json::array{{{"property", check_property}, {"value", short_form(check)}}}}};
  if (check.row_count) {
    out["metric"] = "rowCount";
    if (check.row_count->min && check.row_count->min == check.row_count->max)
      out["mustBe"] = *check.row_count->min;
    else if (check.row_count->min && check.row_count->max)
      out["mustBeBetween"] = json::array{*check.row_count->min, *check.row_count->max};
    else if (check.row_count->min)
      out["mustBeGreaterOrEqualTo"] = *check.row_count->min;
    else
      out["mustBeLessOrEqualTo"] = *check.row_count->max;
  } else if (!check.unique.empty()) {
    out["metric"] = "duplicateValues";
    out["mustBe"] = 0;
    out["arguments"] = json::object{{"properties", encode(check.unique)}};
  } else {
    out["type"] = "sql";
    out["query"] = query_of(check, source, counts);
    out["mustBe"] = 0;
  }
  return out;
}

}  // namespace penstock::catalog
