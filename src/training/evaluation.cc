#include "training/evaluation.h"

#include <algorithm>
#include <cmath>

#include <boost/math/distributions/normal.hpp>

namespace penstock::training {
namespace {

double real(const Scalar& value) {
  double out = 0;
  Kind<double>::hear(value, out);
  return out;
}

std::string aggregate(const std::string& slice, const std::string& from, double threshold,
                      const std::string& group) {
  // log_loss clips at 1e-15, as scikit-learn did until it took the float's own epsilon.
  return "SELECT " + slice +
         " AS slice, count(*), avg(y), avg((s - y) * (s - y)), avg((b - y) * (b - y)), "
         "avg(-ln(CASE WHEN y = 1 THEN greatest(s, 1e-15) ELSE greatest(1 - s, 1e-15) END)), "
         "avg(CASE WHEN (s >= " +
         std::to_string(threshold) +
         ") = (y = 1) THEN 1.0 ELSE 0.0 END), "
         "coalesce(stddev_samp((b - y) * (b - y) - (s - y) * (s - y)), 0) FROM (" +
         from + ") " + group;
}

SliceMetrics metrics_of(const std::vector<Scalar>& row, const Gate& gate, bool overall) {
  SliceMetrics out;
  out.slice = std::get<std::string>(row.at(0));
  out.rows = std::get<std::int64_t>(row.at(1));
  out.positive_rate = real(row.at(2));
  out.brier = real(row.at(3));
  out.baseline_brier = real(row.at(4));
  out.log_loss = real(row.at(5));
  out.accuracy = real(row.at(6));
  out.improvement = out.baseline_brier - out.brier;
  const double z = quantile(boost::math::normal(), 0.5 + gate.confidence / 2);
  const double half = z * real(row.at(7)) / std::sqrt(static_cast<double>(out.rows));
  out.lower = out.improvement - half;
  out.upper = out.improvement + half;
  if (overall) {
    out.passed = out.lower > gate.margin;
  } else {
    out.judged = out.rows >= gate.slice_rows;
    out.passed = !out.judged || out.upper >= -gate.slice_margin;
  }
  return out;
}

Result<void> check_columns(olap::Session& session, const std::string& from, const Gate& gate) {
  std::vector<std::string> needed{"label", "score", "baseline"};
  needed.insert(needed.end(), gate.slices.begin(), gate.slices.end());
  const auto columns = TRY(session.describe("SELECT * FROM " + from));
  for (const std::string& name : needed)
    if (std::none_of(columns.begin(), columns.end(),
                     [&](const olap::Column& column) { return column.name == name; }))
      return Error{Code::invalid_argument,
                   "the predictions have no column " + name,
                   {{"predictions", "must have a column " + name}}};
  const auto bad = TRY(session.query(
      "SELECT count(*) FROM " + from +
      " WHERE score IS NULL OR label IS NULL OR baseline IS NULL OR NOT (score BETWEEN 0 AND 1) "
      "OR NOT (baseline BETWEEN 0 AND 1)"));
  const auto count = std::get<std::int64_t>(bad.rows.at(0).at(0));
  if (count == 0) return {};
  return Error{Code::invalid_argument,
               std::to_string(count) +
                   " predictions have no label, or a score or baseline that is "
                   "no probability"};
}

}  // namespace

Result<std::vector<SliceMetrics>> evaluate(olap::Session& session, const std::string& path,
                                           const Gate& gate) {
  const std::string from = "read_parquet(" + olap::quoted_text(path) + ")";
  TRY(check_columns(session, from, gate));
  const std::string rows =
      "SELECT *, CAST(label AS DOUBLE) AS y, CAST(score AS DOUBLE) AS s, CAST(baseline AS DOUBLE) "
      "AS b FROM " +
      from;
  std::vector<SliceMetrics> out;
  const auto all = TRY(session.query(aggregate("'all'", rows, gate.threshold, "")));
  if (std::get<std::int64_t>(all.rows.at(0).at(1)) == 0)
    return Error{Code::invalid_argument, "there are no predictions to evaluate"};
  out.push_back(metrics_of(all.rows[0], gate, true));
  for (const std::string& column : gate.slices) {
    const std::string name = olap::quoted_name(column);
    const auto slices = TRY(session.query(aggregate(
        olap::quoted_text(column + "=") + " || coalesce(CAST(" + name + " AS VARCHAR), 'null')",
        rows, gate.threshold, "GROUP BY " + name + " ORDER BY slice")));
    for (const auto& row : slices.rows) out.push_back(metrics_of(row, gate, false));
  }
  return out;
}

bool passed(const std::vector<SliceMetrics>& slices) {
  return !slices.empty() && std::all_of(slices.begin(), slices.end(),
                                        [](const SliceMetrics& slice) { return slice.passed; });
}

}  // namespace penstock::training
