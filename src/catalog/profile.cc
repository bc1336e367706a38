#include "catalog/profile.h"

#include <algorithm>

namespace penstock::catalog {
namespace {

constexpr std::size_t columns_a_pass = 50;
constexpr std::int64_t distinct_max = 1'000;
constexpr int top_max = 10;
constexpr std::size_t value_length_max = 200;

using olap::quoted_name;

bool is_number(olap::Type type) {
  return type == olap::Type::bigint || type == olap::Type::real || type == olap::Type::decimal;
}

// What a pass asks of a column, and where its answers stand.
class Pass {
 public:
  explicit Pass(std::string rows) : rows_(std::move(rows)) {}

  void add(const olap::Column& column) {
    const std::string name = quoted_name(column.name);
    ask("count(*) - count(" + name + ")");
    ask("approx_count_distinct(" + name + ")");
    const bool ordered = column.type != olap::Type::other;
    ask(ordered ? "min(" + name + ")::VARCHAR" : "NULL");
    ask(ordered ? "max(" + name + ")::VARCHAR" : "NULL");
    // stddev fails on infinity, and JSON has no NaN.
    const std::string number = "CAST(" + name + " AS DOUBLE)";
    const std::string finite = "CASE WHEN isfinite(" + number + ") THEN " + number + " END";
    ask(is_number(column.type) ? "avg(" + finite + ")" : "NULL");
    ask(is_number(column.type) ? "stddev_samp(" + finite + ")" : "NULL");
    std::string points;
    for (const double point : quantile_points)
      points += (points.empty() ? "" : ", ") + json::serialize(json::value(point));
    ask(is_number(column.type)
            ? "to_json(approx_quantile(" + finite + ", [" + points + "]::FLOAT[]))::VARCHAR"
            : "NULL");
    const bool text = column.type == olap::Type::text;
    ask(text ? "min(length(" + name + "))" : "NULL");
    ask(text ? "max(length(" + name + "))" : "NULL");
    ask(text ? "avg(length(" + name + "))" : "NULL");
  }
  std::string statement() const { return "SELECT " + asked_ + " FROM (" + rows_ + ") AS t"; }

 private:
  void ask(const std::string& expression) {
    asked_ += (asked_.empty() ? "" : ", ") + expression + " AS a" + std::to_string(count_++);
  }

  const std::string rows_;
  std::string asked_;
  int count_ = 0;
};

template <class T>
std::optional<T> maybe(const Scalar& cell) {
  const T* found = std::get_if<T>(&cell);
  return found ? std::optional<T>(*found) : std::nullopt;
}

std::string shortened(std::string text) {
  if (text.size() <= value_length_max) return text;
  std::size_t cut = value_length_max;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
  return text.substr(0, cut) + "…";
}

ColumnProfile read(const olap::Column& column, const std::vector<Scalar>& row, std::size_t at) {
  ColumnProfile out{.name = column.name, .type = column.declared};
  out.nulls = maybe<std::int64_t>(row.at(at)).value_or(0);
  out.distinct = maybe<std::int64_t>(row.at(at + 1)).value_or(0);
  out.min = maybe<std::string>(row.at(at + 2));
  out.max = maybe<std::string>(row.at(at + 3));
  for (auto* value : {&out.min, &out.max})
    if (*value) *value = shortened(**value);
  out.mean = maybe<double>(row.at(at + 4));
  out.stddev = maybe<double>(row.at(at + 5));
  if (const auto text = maybe<std::string>(row.at(at + 6))) {
    boost::system::error_code fault;
    const json::value points = json::parse(*text, fault);
    if (!fault && points.is_array())
      for (const json::value& point : points.get_array())
        if (point.is_number()) out.quantiles.push_back(point.to_number<double>());
  }
  out.shortest = maybe<std::int64_t>(row.at(at + 7));
  out.longest = maybe<std::int64_t>(row.at(at + 8));
  out.mean_length = maybe<double>(row.at(at + 9));
  return out;
}
constexpr std::size_t answers_a_column = 10;

Result<void> add_top(olap::Session& session, const std::string& rows, std::int64_t count,
                     std::vector<ColumnProfile>& columns) {
  const std::int64_t values_max = std::max<std::int64_t>(count / 2, 10);
  for (std::size_t begin = 0; begin < columns.size(); begin += columns_a_pass) {
    std::string statement;
    const std::size_t end = std::min(columns.size(), begin + columns_a_pass);
    for (std::size_t i = begin; i < end; ++i) {
      // Values that hardly come twice are no categories.
      if (columns[i].distinct == 0 || columns[i].distinct > std::min(distinct_max, values_max))
        continue;
      const std::string name = quoted_name(columns[i].name);
      statement += (statement.empty() ? "" : " UNION ALL ") + std::string("(SELECT ") +
                   std::to_string(i) + "::BIGINT AS place, CAST(" + name +
                   " AS VARCHAR) AS value, count(*) AS n FROM t WHERE " + name +
                   " IS NOT NULL GROUP BY value ORDER BY n DESC, value LIMIT " +
                   std::to_string(top_max) + ")";
    }
    if (statement.empty()) continue;
    const auto table = TRY(session.query("WITH t AS (" + rows + ") SELECT * FROM (" + statement +
                                         ") ORDER BY place, n DESC, value"));
    for (const auto& row : table.rows)
      columns[static_cast<std::size_t>(std::get<std::int64_t>(row.at(0)))].top.push_back(
          {shortened(std::get<std::string>(row.at(1))), std::get<std::int64_t>(row.at(2))});
  }
  return {};
}

}  // namespace

Result<TableProfile> profile_of(olap::Session& session, const std::string& rows) {
  TableProfile out;
  const auto counted = TRY(session.query("SELECT count(*) FROM (" + rows + ") AS t"));
  out.row_count = std::get<std::int64_t>(counted.rows.at(0).at(0));
  out.sampled_rows = std::min(out.row_count, rows_profiled);
  const std::string looked_at = out.sampled_rows == out.row_count
                                    ? rows
                                    : "SELECT * FROM (" + rows +
                                          ") AS whole USING SAMPLE reservoir(" +
                                          std::to_string(rows_profiled) + " ROWS) REPEATABLE (1)";
  const auto columns = TRY(session.describe(rows));
  for (std::size_t begin = 0; begin < columns.size(); begin += columns_a_pass) {
    Pass pass(looked_at);
    const std::size_t end = std::min(columns.size(), begin + columns_a_pass);
    for (std::size_t i = begin; i < end; ++i) pass.add(columns[i]);
    const auto table = TRY(session.query(pass.statement()));
    for (std::size_t i = begin; i < end; ++i)
      out.columns.push_back(read(columns[i], table.rows.at(0), (i - begin) * answers_a_column));
  }
  TRY(add_top(session, looked_at, out.sampled_rows, out.columns));
  return out;
}

void redact(std::vector<ColumnProfile>& columns, const std::vector<ColumnClass>& classes) {
  for (ColumnProfile& column : columns) {
    const auto known = std::ranges::find(classes, column.name, &ColumnClass::column);
    if (known != classes.end() && known->classification <= Classification::internal) continue;
    column.min = column.max = std::nullopt;
    column.quantiles.clear();
    column.top.clear();
  }
}

}  // namespace penstock::catalog
