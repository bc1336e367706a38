#include "monitor/turn.h"

#include <algorithm>
#include <cmath>

#include "monitor/evaluate.h"

namespace penstock::monitor {
namespace {

DayStats key_of(const serving::InferenceEvent& event) {
  return {.project = event.project,
          .route = event.route,
          .model = event.model,
          .version = event.version,
          .arm = event.arm,
          .feature_schema = event.feature_schema,
          .day = day_of(event.event_time)};
}

}  // namespace

Result<RouteState*> Turn::route(const serving::InferenceEvent& event) {
  const RouteKey key{event.project, event.route};
  auto found = routes_.find(key);
  if (found == routes_.end()) {
    auto stored = TRY(store::route(tx_, event.project, event.route));
    if (!stored)
      stored = RouteState{.project = event.project,
                          .route = event.route,
                          .last_day = day_of(event.event_time),
                          .last_at = event.at};
    found = routes_.emplace(key, std::move(*stored)).first;
  }
  return &found->second;
}

Result<Profile*> Turn::profile(const DayStats& stats, std::size_t features) {
  const ProfileKey key{stats.project, stats.route, stats.feature_schema};
  auto found = profiles_.find(key);
  if (found == profiles_.end()) {
    auto stored = TRY(store::profile(tx_, stats.project, stats.route, stats.feature_schema));
    if (!stored)
      stored = Profile{
          .project = stats.project, .route = stats.route, .feature_schema = stats.feature_schema};
    found = profiles_.emplace(key, std::move(*stored)).first;
  }
  Profile& profile = found->second;
  if (!profile.complete && profile.feature_edges.size() < features)
    profile.feature_edges.resize(features);
  return &profile;
}

Result<DayStats*> Turn::series(DayStats key) {
  const SeriesKey place{key.project, key.route, key.day,           key.model,
                        key.version, key.arm,   key.feature_schema};
  auto found = series_.find(place);
  if (found == series_.end()) {
    auto stored = TRY(store::find(tx_, key));
    if (!stored) {
      auto& count = series_counts_[{key.project, key.route, key.day}];
      if (count == 0) count = TRY(store::series_of_day(tx_, key));
      if (count >= options_.series_max) return nullptr;
      ++count;
      stored = std::move(key);
    }
    found = series_.emplace(place, std::move(*stored)).first;
  }
  return &found->second;
}

Result<void> Turn::add(const serving::InferenceEvent& event) {
  RouteState* state = TRY(route(event));
  state->last_at = std::max(state->last_at, event.at);
  const std::int64_t day = day_of(event.event_time);
  // Callers choose the event time. One from the future would end every day to come, and ones from
  // long ago would fill the disk.
  if (event.event_time > event.at + std::chrono::days(1) ||
      day < state->last_day - options_.keep_days) {
    ++state->refused;
    return {};
  }
  if (day > state->last_day) {
    const std::int64_t ended = std::exchange(state->last_day, day);
    TRY(look(*state, ended - 1, true));  // its labels had a day to come
    TRY(look(*state, ended, false));
    if (day - 1 > ended) TRY(look(*state, day - 1, false));
    state->calls_since = state->labels_since = 0;
    TRY(store::forget_before(tx_, state->project, state->route, day - options_.keep_days));
  }
  DayStats* stats = TRY(series(key_of(event)));
  if (!stats) {
    ++state->refused;
    return {};
  }
  count_call(stats->tally, event);
  if (event.error.empty()) TRY(cut(*stats, event));
  if (++state->calls_since >= options_.evaluate_every) {
    state->calls_since = 0;
    TRY(look(*state, state->last_day, false));
  }
  return {};
}

Result<void> Turn::cut(const DayStats& of, const serving::InferenceEvent& event) {
  Profile* profile_of = TRY(profile(of, event.features.size()));
  if (profile_of->complete) {
    Edges edges{.score = profile_of->score_edges};
    for (const auto& feature : profile_of->feature_edges)
      edges.features.push_back(feature.value_or(std::vector<double>()));
    DayStats* stats = TRY(series(key_of(event)));
    if (stats) count_bins(stats->tally, edges, event.features, event.score);
    return {};
  }
  TRY(store::add_sample(tx_, *profile_of,
                        {of.model, of.version, of.arm, of.day, event.features, event.score}));
  if (++profile_of->samples >= options_.samples) return complete(*profile_of);
  return {};
}

Result<void> Turn::complete(Profile& profile) {
  const auto samples = TRY(store::samples(tx_, profile));
  const auto edges_from = [&](const auto& value_of) {
    std::vector<double> values;
    for (const Sample& sample : samples)
      if (const std::optional<double> value = value_of(sample); value && std::isfinite(*value))
        values.push_back(*value);
    return quantile_edges(std::move(values), bins_max);
  };
  profile.score_edges = edges_from([](const Sample& sample) { return sample.score; });
  Edges edges{.score = profile.score_edges};
  for (std::size_t at = 0; at < profile.feature_edges.size(); ++at) {
    auto& feature = profile.feature_edges[at];
    if (!feature)
      feature = edges_from([at](const Sample& sample) {
        return at < sample.features.size() ? sample.features[at] : std::nullopt;
      });
    edges.features.push_back(*feature);
  }
  for (const Sample& sample : samples) {
    DayStats* stats = TRY(series({.project = profile.project,
                                  .route = profile.route,
                                  .model = sample.model,
                                  .version = sample.version,
                                  .arm = sample.arm,
                                  .feature_schema = profile.feature_schema,
                                  .day = sample.day}));
    if (stats) count_bins(stats->tally, edges, sample.features, sample.score);
  }
  profile.complete = true;
  return store::drop_samples(tx_, profile);
}

Result<void> Turn::add(const JoinedLabel& label) {
  RouteState* state = TRY(route(label.event));
  DayStats* stats = TRY(series(key_of(label.event)));
  if (!stats) {
    ++state->refused;
    return {};
  }
  count_label(stats->tally, label.event, label.value);
  if (++state->labels_since >= options_.evaluate_every) {
    state->labels_since = 0;
    TRY(look(*state, state->last_day, true));
  }
  return {};
}

Result<void> Turn::look(const RouteState& route, std::int64_t day, bool labels_only) {
  TRY(flush());
  const Call call{.actor = "service:monitor", .project = route.project};
  return evaluate(tx_, call, now_, route.route, day, labels_only);
}

// Series that were written are read again where more of them comes: pointers into series_ end here.
Result<void> Turn::flush() {
  for (const auto& [key, stats] : series_) TRY(store::put(tx_, stats));
  for (const auto& [key, profile] : profiles_) TRY(store::put(tx_, profile));
  series_.clear();
  series_counts_.clear();
  return {};
}

Result<void> Turn::finish() {
  TRY(flush());
  for (const auto& [key, route] : routes_) TRY(store::put(tx_, route));
  return {};
}

}  // namespace penstock::monitor
