// What the values of a table look like, column by column.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/classes.h"
#include "ports/olap.h"

namespace penstock::catalog {

struct TopValue {
  std::string value;
  std::int64_t rows = 0;
};
BOOST_DESCRIBE_STRUCT(TopValue, (), (value, rows))

// Numbers of the rows that were looked at. What a type has not (the mean of a text) is missing, and
// so are single values of columns whose class protects them.
struct ColumnProfile {
  std::string name, type;  // the engine's own word: "DECIMAL(12,2)"
  std::int64_t nulls = 0;
  std::int64_t distinct = 0;  // HyperLogLog, about 2% off
  std::optional<std::string> min, max;
  std::optional<double> mean, stddev;             // of finite values; the sample's
  std::vector<double> quantiles;                  // t-digest, at quantile_points
  std::optional<std::int64_t> shortest, longest;  // characters of texts
  std::optional<double> mean_length;
  std::vector<TopValue> top;  // at most 10, of at most 1,000 values that mostly come twice
};
BOOST_DESCRIBE_STRUCT(ColumnProfile, (),
                      (name, type, nulls, distinct, min, max, mean, stddev, quantiles, shortest,
                       longest, mean_length, top))
inline constexpr std::array quantile_points = {0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99};

struct TableProfile {
  std::int64_t row_count = 0;
  std::int64_t sampled_rows = 0;  // that the numbers are of; equal to row_count up to rows_profiled
  std::vector<ColumnProfile> columns;
};
BOOST_DESCRIBE_STRUCT(TableProfile, (), (row_count, sampled_rows, columns))
inline constexpr std::int64_t rows_profiled = 5'000'000;

// `rows` is a SELECT over what the session has. One pass for each 50 columns, and one for the top
// values; of more than rows_profiled rows a sample that is the same each time.
Result<TableProfile> profile_of(olap::Session& session, const std::string& rows);

// Without single values (min, max, quantiles, top) of columns that are confidential or restricted,
// and of those that `classes` does not name.
void redact(std::vector<ColumnProfile>& columns, const std::vector<ColumnClass>& classes);

}  // namespace penstock::catalog
