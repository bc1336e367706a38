#include "features/windows/plan.h"

#include <algorithm>

namespace penstock::features::windows {
namespace {

constexpr std::int64_t tiles_in_longer = 16;

template <class T>
std::size_t place_of(std::vector<T>& all, const T& one) {
  const auto found = std::find(all.begin(), all.end(), one);
  if (found != all.end()) return static_cast<std::size_t>(found - all.begin());
  all.push_back(one);
  return all.size() - 1;
}

std::optional<FeatureType> input_type(const Feature& feature) {
  switch (*feature.aggregate) {
    case Aggregate::sum:
    case Aggregate::min:
    case Aggregate::max:
    case Aggregate::last: return feature.type;
    case Aggregate::mean:
    case Aggregate::quantile: return FeatureType::real;
    default: return {};
  }
}

Fold fold_of(const Feature& feature) {
  switch (*feature.aggregate) {
    case Aggregate::count: return Fold::count;
    case Aggregate::sum: return feature.type == FeatureType::bigint ? Fold::whole_sum : Fold::sum;
    case Aggregate::mean: return Fold::sum;
    case Aggregate::min: return Fold::least;
    case Aggregate::max: return Fold::greatest;
    case Aggregate::last: return Fold::last;
    case Aggregate::distinct: return Fold::distinct;
    case Aggregate::quantile: return Fold::sketch;
  }
  return Fold::count;
}

Series& series_of(Plan& plan, std::int64_t hop) {
  for (Series& series : plan.series)
    if (series.hop == hop) return series;
  return plan.series.emplace_back(Series{.hop = hop});
}

}  // namespace

bool windowed(const FeatureView& view) {
  return std::any_of(view.features.begin(), view.features.end(),
                     [](const Feature& feature) { return feature.aggregate.has_value(); });
}

Micros hop_of(const Feature& feature) {
  const Micros window = feature.window.value_or(Micros(0));
  if (feature.kind == WindowKind::tumbling) return window;
  if (feature.hop) return *feature.hop;
  for (const std::int64_t minutes : {1, 5, 15, 60, 360, 1440})
    if (window <= 60 * std::chrono::minutes(minutes)) return std::chrono::minutes(minutes);
  return std::chrono::hours(24);
}

std::shared_ptr<const Plan> plan_of(const FeatureView& view) {
  if (!windowed(view)) return nullptr;
  auto plan = std::make_shared<Plan>();
  for (const Feature& feature : view.features) {
    StateSpec state{.fold = fold_of(feature)};
    if (feature.column)
      state.input = place_of(plan->inputs, Input{*feature.column, input_type(feature)});
    if (feature.where)
      state.where = place_of(plan->inputs, Input{*feature.where, FeatureType::boolean});
    const std::int64_t window = feature.window->count();
    const bool tumbling = feature.kind == WindowKind::tumbling;
    Series& series = series_of(*plan, hop_of(feature).count());
    series.kept = std::max(series.kept, tumbling ? 2 * window : window);
    plan->features.push_back({.aggregate = *feature.aggregate,
                              .kind = tumbling ? WindowKind::tumbling : WindowKind::sliding,
                              .type = feature.type,
                              .window = window,
                              .quantile = feature.quantile.value_or(0),
                              .series = static_cast<std::size_t>(&series - plan->series.data()),
                              .state = place_of(series.states, state)});
  }
  for (Series& series : plan->series)
    for (std::int64_t length = series.hop; length == series.hop || 2 * length <= series.kept;
         length *= tiles_in_longer)
      series.lengths.push_back(length);
  return plan;
}

std::vector<std::string> columns_read(const Feature& feature) {
  if (!feature.aggregate) return {feature.name};
  std::vector<std::string> out;
  if (feature.column) out.push_back(*feature.column);
  if (feature.where) out.push_back(*feature.where);
  return out;
}

std::int64_t bounded(Timestamp at) {
  return std::clamp(at.time_since_epoch().count(), -time_max, time_max);
}

std::int64_t floor_to(std::int64_t value, std::int64_t step) {
  const std::int64_t rest = value % step;
  return value - (rest < 0 ? rest + step : rest);
}

Range range_of(const WindowedFeature& feature, const Series& series, Timestamp at) {
  const std::int64_t step = floor_to(bounded(at), series.hop);
  if (feature.kind == WindowKind::tumbling) return {step - feature.window, step};
  return {step + series.hop - feature.window, {}};
}

std::int64_t oldest_read(const Series& series, Timestamp at) {
  return floor_to(bounded(at), series.hop) + series.hop - series.kept;
}

}  // namespace penstock::features::windows
