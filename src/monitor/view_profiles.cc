#include "monitor/view_profiles.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "features/feature_view.h"
#include "features/profiles.h"
#include "resources/service.h"

namespace penstock::monitor {
namespace {

// "true" and "false" count as 1 and 0, as in what models read.
std::optional<double> number_from(const std::string& text) {
  if (text == "true") return 1;
  if (text == "false") return 0;
  double number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc{} || end != text.data() + text.size()) return {};
  return number;
}

// Which share of the values is not above `value`.
double share_until(const catalog::ColumnProfile& column, double value) {
  std::vector<std::pair<double, double>> points;  // value, share
  if (column.min)
    if (const auto least = number_from(*column.min)) points.emplace_back(*least, 0);
  for (std::size_t i = 0; i < column.quantiles.size(); ++i)
    points.emplace_back(column.quantiles[i], catalog::quantile_points[i]);
  if (column.max)
    if (const auto greatest = number_from(*column.max)) points.emplace_back(*greatest, 1);
  const auto above = std::ranges::find_if(points, [&](const auto& p) { return p.first > value; });
  if (above == points.begin()) return 0;
  if (above == points.end()) return 1;
  const auto& [from, less] = *(above - 1);
  const auto& [to, more] = *above;
  return less + (more - less) * (value - from) / (to - from);
}

bool names_every_value(const catalog::ColumnProfile& column, std::int64_t values) {
  std::int64_t named = 0;
  for (const catalog::TopValue& top : column.top) {
    if (!number_from(top.value)) return false;
    named += top.rows;
  }
  return values > 0 && named == values;
}

bool count(const features::ViewProfile& day, const catalog::ColumnProfile& column,
           const std::vector<double>& edges, Counts& into) {
  const std::int64_t values = day.sampled_rows - column.nulls;
  if (names_every_value(column, values)) {
    for (const catalog::TopValue& top : column.top)
      into[bin_of(edges, *number_from(top.value))] += top.rows;
    return true;
  }
  if (column.quantiles.size() != catalog::quantile_points.size()) return false;
  std::int64_t before = 0;
  for (std::size_t bin = 0; bin <= edges.size(); ++bin) {
    const double share = bin == edges.size() ? 1 : share_until(column, edges[bin]);
    const auto until = std::llround(share * static_cast<double>(values));
    into[bin] += until - before;
    before = until;
  }
  return true;
}

}  // namespace

Result<std::optional<Counts>> view_counts(sql::Tx& tx, const Profile& profile,
                                          const std::string& feature,
                                          const std::vector<double>& edges, std::int64_t first,
                                          std::int64_t last) {
  const std::size_t at = profile.feature_schema.find('@');
  if (at == std::string::npos) return std::optional<Counts>();
  std::int64_t version = 0;
  std::from_chars(profile.feature_schema.data() + at + 1,
                  profile.feature_schema.data() + profile.feature_schema.size(), version);
  const auto schema = resources::declared<features::FeatureSchema>(
      tx, profile.project, "feature_schema", profile.feature_schema.substr(0, at), version);
  if (!schema) {
    if (schema.error().code == Code::not_found) return std::optional<Counts>();
    return schema.error();
  }
  Counts counts(edges.size() + 1);
  bool any = false;
  for (const features::FeatureReference& reference : schema->features) {
    const auto pin = schema->views.find(reference.view);
    if (reference.name.value_or(reference.feature) != feature || pin == schema->views.end())
      continue;
    for (const features::ViewProfile& day : TRY(features::profiles_between(
             tx, profile.project, reference.view, pin->second, start_of(first), start_of(last))))
      for (const catalog::ColumnProfile& column : day.columns)
        if (column.name == reference.feature) any = count(day, column, edges, counts) || any;
  }
  return any ? std::optional(std::move(counts)) : std::nullopt;
}

}  // namespace penstock::monitor
