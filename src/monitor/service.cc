#include "monitor/service.h"

#include <cmath>
#include <map>

#include "catalog/lineage.h"
#include "features/feature_view.h"
#include "monitor/store.h"
#include "serving/route.h"

namespace penstock::monitor {
namespace {

constexpr std::int64_t results_max = 1'000;

std::optional<double> ratio(double part, std::int64_t whole) {
  if (whole == 0) return {};
  return part / static_cast<double>(whole);
}
std::optional<double> ratio(std::int64_t part, std::int64_t whole) {
  return ratio(static_cast<double>(part), whole);
}

std::optional<double> times(std::optional<double> value, double factor) {
  return value ? std::optional(*value * factor) : value;
}

RouteStats stats_of(const DayStats& row) {
  const Tally& tally = row.tally;
  RouteStats out{.model = row.model,
                 .version = row.version,
                 .arm = row.arm,
                 .calls = tally.calls,
                 .errors = tally.errors,
                 .error_rate = ratio(tally.errors, tally.calls),
                 .p50_ms = times(tally.micros.quantile(0.5), 1e-3),
                 .p99_ms = times(tally.micros.quantile(0.99), 1e-3),
                 .mean_score = ratio(tally.score_sum, tally.scored),
                 .decision_rate = ratio(tally.decisions, tally.decided),
                 .labels = tally.labels,
                 .wrong_rate = ratio(tally.wrong, tally.labels),
                 .positive_rate = ratio(tally.positives, tally.labels),
                 .brier = ratio(tally.brier_sum, tally.labels),
                 .p50_age_seconds = tally.age_seconds.quantile(0.5),
                 .p99_age_seconds = tally.age_seconds.quantile(0.99)};
  for (auto* age : {&out.p50_age_seconds, &out.p99_age_seconds})
    if (*age) **age -= 1;
  if (const auto squares = ratio(tally.score_squares, tally.scored))
    out.score_deviation = std::sqrt(std::max(*squares - *out.mean_score * *out.mean_score, 0.0));
  return out;
}

// The lower, the worse.
int rank(Verdict verdict) {
  switch (verdict) {
    case Verdict::breach: return 0;
    case Verdict::no_data: return 1;
    case Verdict::undecided: return 2;
    case Verdict::ok: return 3;
  }
  return 0;
}

Result<void> check(sql::Tx& tx, const Call& call, const MonitorDeclaration& monitor) {
  std::vector<Violation> faults;
  const bool of_feature =
      monitor.quantity == Quantity::feature_drift || monitor.quantity == Quantity::missing;
  if (of_feature != monitor.feature.has_value())
    faults.push_back(
        {"feature",
         of_feature ? "is missing: " + std::string(name_of(monitor.quantity)) + " is of one feature"
                    : "is only of feature_drift and missing"});
  if (monitor.reference != Reference::previous_days && monitor.quantity != Quantity::feature_drift)
    faults.push_back({"reference", "may be " + std::string(name_of(monitor.reference)) +
                                       " for feature_drift alone"});
  if (!(monitor.threshold >= 0)) faults.push_back({"threshold", "must be at least 0"});
  const auto route =
      resources::declared<serving::RouteDeclaration>(tx, call.project, "route", monitor.route);
  if (!route)
    faults.push_back({"route", "is not declared: " + monitor.route});
  else if (monitor.feature && !route->feature_schema.empty()) {
    const auto schema = resources::declared<features::FeatureSchema>(
        tx, call.project, "feature_schema",
        route->feature_schema.substr(0, route->feature_schema.find('@')));
    bool known =
        !schema;  // an older version of the schema may be in force: that is not our fault to find
    if (schema)
      for (const features::FeatureReference& feature : schema->features)
        known = known || feature.name.value_or(feature.feature) == *monitor.feature;
    if (!known)
      faults.push_back({"feature", "is not in " + route->feature_schema + ": " + *monitor.feature});
  }
  if (faults.empty()) return {};
  return Error{Code::invalid_argument,
               "monitor " + monitor.name + ": " + faults[0].field + " " + faults[0].problem,
               faults};
}

}  // namespace

std::int64_t day_of(Timestamp at) {
  return std::chrono::floor<std::chrono::days>(at).time_since_epoch().count();
}
Timestamp start_of(std::int64_t day) { return Timestamp(std::chrono::days(day)); }
std::string day_text(std::int64_t day) { return to_rfc3339(start_of(day)).substr(0, 10); }

std::vector<resources::KindHandler> kinds() {
  return {{.kind = "monitor",
           .check = resources::checked_as<MonitorDeclaration>(check),
           .applied = [](sql::Tx& tx, const Call& call,
                         const resources::Resource& resource) -> Result<void> {
             const auto monitor = TRY(decode<MonitorDeclaration>(resource.declaration));
             return catalog::add_edge(tx, call, resource.applied_at, "monitor:" + monitor.name,
                                      "route:" + monitor.route, "watches");
           }}};
}

Result<StatsOutput> Service::stats(const Call& call, const StatsInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<StatsOutput> {
    StatsOutput out{.route = input.name};
    const auto route = TRY(store::route(tx, call.project, input.name));
    if (!route) {
      TRY(resources::get(tx, call.project, "route", input.name));
      return out;
    }
    out.refused = route->refused;
    std::map<std::tuple<std::int64_t, std::string, std::int64_t, serving::Arm>, DayStats> sums;
    const bool by_day = input.by == StatsBy::day;
    // Features add up within one schema; of several, the last one's are shown.
    for (DayStats& row :
         TRY(store::stats(tx, call.project, input.name, std::numeric_limits<std::int64_t>::min(),
                          std::numeric_limits<std::int64_t>::max()))) {
      auto [at, added] = sums.try_emplace({by_day ? row.day : 0, row.model, row.version, row.arm});
      if (by_day) row.tally.features.clear();
      if (!added && at->second.feature_schema != row.feature_schema)
        at->second.tally.features.clear();
      row.tally.merge(at->second.tally);
      at->second = std::move(row);
    }
    for (const auto& [key, row] : sums) {
      RouteStats& one = out.stats.emplace_back(stats_of(row));
      if (by_day) one.day = day_text(row.day);
      const auto profile = TRY(store::profile(tx, call.project, input.name, row.feature_schema));
      for (std::size_t at = 0; at < row.tally.features.size(); ++at) {
        const FeatureTally& feature = row.tally.features[at];
        one.features.push_back(
            {profile && at < profile->names.size() ? profile->names[at]
                                                   : "[" + std::to_string(at) + "]",
             feature.count, feature.nulls, ratio(feature.sum, feature.count - feature.nulls)});
      }
    }
    return out;
  });
}

Result<MonitorView> Service::view(sql::Tx& tx, const Call& call, const MonitorDeclaration& monitor,
                                  bool whole) {
  MonitorView out{.monitor = monitor, .verdict = Verdict::no_data};
  out.reason = "no day has ended yet";
  const auto results = TRY(store::results(tx, call.project, monitor.name, results_max));
  bool first = true;
  for (const MonitorResult& result : results) {
    const bool last = result.day == results.front().day;
    if (!last && !whole) break;
    out.results.push_back({result.model, result.version, day_text(result.day), result.verdict,
                           result.value, result.calls, result.reason, result.evaluated_at});
    if (!last || (!first && rank(result.verdict) >= rank(out.verdict))) continue;
    first = false;
    out.verdict = result.verdict;
    out.value = result.value;
    out.day = day_text(result.day);
    out.reason = result.reason;
  }
  // Days end by calls alone, so a route that went quiet would stay what it was for ever.
  const auto route = TRY(store::route(tx, call.project, monitor.route));
  if (!route || clock_.now() - route->last_at > std::chrono::days(monitor.window_days)) {
    out.verdict = Verdict::no_data;
    out.value.reset();
    out.reason = route ? "no calls since " + to_rfc3339(route->last_at) : "no calls yet";
  }
  return out;
}

Result<MonitorList> Service::list(const Call& call) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<MonitorList> {
    MonitorList out;
    for (const MonitorDeclaration& monitor : TRY(store::monitors(tx, call.project)))
      out.monitors.push_back(TRY(view(tx, call, monitor, false)));
    return out;
  });
}

Result<MonitorView> Service::show(const Call& call, const MonitorName& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<MonitorView> {
    return view(
        tx, call,
        TRY(resources::declared<MonitorDeclaration>(tx, call.project, "monitor", name.name)), true);
  });
}

}  // namespace penstock::monitor
