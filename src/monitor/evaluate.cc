#include "monitor/evaluate.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "catalog/service.h"
#include "incidents/service.h"
#include "monitor/view_profiles.h"

namespace penstock::monitor {
namespace {

constexpr std::int64_t keep_days = 400;
constexpr std::size_t suspects_max = 20;
constexpr auto suspect_age = std::chrono::days(30);

Judgement undecided(std::int64_t calls, std::string reason) {
  return {.verdict = Verdict::undecided, .calls = calls, .reason = std::move(reason)};
}

std::int64_t total(const Counts& counts) {
  std::int64_t sum = 0;
  for (const std::int64_t count : counts) sum += count;
  return sum;
}

Judgement against(const MonitorDeclaration& monitor, std::optional<double> value,
                  std::int64_t calls) {
  if (calls < monitor.min_calls || !value)
    return undecided(calls, std::to_string(calls) + " of " + std::to_string(monitor.min_calls) +
                                " that it needs");
  return {.verdict = *value > monitor.threshold ? Verdict::breach : Verdict::ok,
          .value = value,
          .calls = calls};
}

Judgement share(const MonitorDeclaration& monitor, std::int64_t part, std::int64_t whole) {
  return against(monitor,
                 whole > 0 ? std::optional(static_cast<double>(part) / static_cast<double>(whole))
                           : std::nullopt,
                 whole);
}

Judgement drift(const MonitorDeclaration& monitor, const Counts& reference, const Counts& current) {
  const std::int64_t calls = total(current);
  if (calls >= monitor.min_calls && total(reference) < monitor.min_calls)
    return undecided(calls, "the reference has " + std::to_string(total(reference)) + " of " +
                                std::to_string(monitor.min_calls) + " values that it needs");
  return against(monitor,
                 monitor.distance == Distance::psi ? population_stability_index(reference, current)
                                                   : jensen_shannon_distance(reference, current),
                 calls);
}

Judgement feature(const MonitorDeclaration& monitor, const Window& window) {
  const std::int64_t calls = window.current->calls;
  const auto& names = window.profile ? window.profile->names : std::vector<std::string>();
  const auto found = std::find(names.begin(), names.end(), monitor.feature.value_or(""));
  const auto at = static_cast<std::size_t>(found - names.begin());
  if (found == names.end() || at >= window.current->features.size())
    return undecided(calls, "its calls carry no feature " + monitor.feature.value_or(""));
  const FeatureTally& now = window.current->features[at];
  if (monitor.quantity == Quantity::missing) return share(monitor, now.nulls, now.count);
  if (!window.profile->complete)
    return undecided(calls, "too few calls so far to cut values into bins");
  Counts reference;
  if (monitor.reference == Reference::training) {
    if (!window.training) return undecided(calls, "the data that it was trained on is not known");
    if (!window.training->fault.empty()) return undecided(calls, window.training->fault);
    if (at < window.training->features.size()) reference = window.training->features[at];
  } else if (monitor.reference == Reference::view_profile) {
    if (!window.view) return undecided(calls, "its view has no profile of the days before");
    reference = *window.view;
  } else if (at < window.features_before->features.size()) {
    reference = window.features_before->features[at].bins;
  }
  return drift(monitor, reference, now.bins);
}

Judgement decision_rate(const MonitorDeclaration& monitor, const Window& window) {
  const Tally& now = *window.current;
  const Tally& before = *window.same_before;
  if (before.decided < monitor.min_calls)
    return undecided(now.decided, "the days before have " + std::to_string(before.decided) +
                                      " of " + std::to_string(monitor.min_calls) + " decisions");
  const auto rate = [](const Tally& tally) {
    return static_cast<double>(tally.decisions) / static_cast<double>(tally.decided);
  };
  if (now.decided == 0) return against(monitor, {}, 0);
  return against(monitor, std::abs(rate(now) - rate(before)), now.decided);
}

// The feature as the profiles of its view have it on the days before; nothing where the monitor
// does not ask for it, or there are none.
Result<std::optional<Counts>> of_view(sql::Tx& tx, const MonitorDeclaration& monitor,
                                      const std::optional<Profile>& profile, std::int64_t first) {
  if (monitor.reference != Reference::view_profile || !monitor.feature || !profile)
    return std::optional<Counts>();
  const auto found = std::ranges::find(profile->names, *monitor.feature);
  const auto at = static_cast<std::size_t>(found - profile->names.begin());
  if (at >= profile->feature_edges.size() || !profile->feature_edges[at])
    return std::optional<Counts>();
  return view_counts(tx, *profile, *monitor.feature, *profile->feature_edges[at],
                     first - monitor.window_days, first - 1);
}

// The rows of one window, and what is compared with them.
class Days {
 public:
  Days(const std::vector<DayStats>& rows, std::int64_t first, std::int64_t last)
      : rows_(rows), first_(first), last_(last) {}

  std::set<std::pair<std::string, std::int64_t>> versions() const {
    std::set<std::pair<std::string, std::int64_t>> out;
    for (const DayStats& row : rows_)
      if (counts(row) && row.tally.calls > 0) out.emplace(row.model, row.version);
    return out;
  }
  // That the version used last.
  std::string schema_of(const std::string& model, std::int64_t version) const {
    std::string schema;
    for (const DayStats& row : rows_)
      if (counts(row) && row.model == model && row.version == version) schema = row.feature_schema;
    return schema;
  }
  Tally sum(const std::string& schema, const std::string& model = "",
            std::int64_t version = 0) const {
    Tally out;
    for (const DayStats& row : rows_)
      if (counts(row) && row.feature_schema == schema &&
          (model.empty() || (row.model == model && row.version == version)))
        out.merge(row.tally);
    return out;
  }

 private:
  bool counts(const DayStats& row) const {
    return row.day >= first_ && row.day <= last_ && row.arm != serving::Arm::shadow;
  }
  const std::vector<DayStats>& rows_;
  std::int64_t first_, last_;
};

Result<void> open_incident(sql::Tx& tx, const Call& call, Timestamp now,
                           const MonitorDeclaration& monitor, const MonitorResult& result) {
  const std::string version = result.model + "@v" + std::to_string(result.version);
  incidents::Opening opening{
      .dedup_key = "monitor:" + monitor.name + ":v" + std::to_string(result.version) + ":" +
                   day_text(*result.breach_since),
      .title = monitor.name + ": " + std::string(name_of(monitor.quantity)) +
               (monitor.feature ? " of " + *monitor.feature : "") + " of " + version + " is " +
               json::serialize(json::value(std::round(*result.value * 1e4) / 1e4)) + ", above " +
               json::serialize(json::value(monitor.threshold)),
      .severity = monitor.severity,
      .subject = "model:" + version,
      .owner = monitor.owner,
      .detail = {{"monitor", monitor.name},
                 {"route", monitor.route},
                 {"day", day_text(result.day)},
                 {"window_days", monitor.window_days},
                 {"value", *result.value},
                 {"threshold", monitor.threshold},
                 {"calls", result.calls}}};
  for (const catalog::SourceChange& change :
       TRY(catalog::changes_upstream(tx, call, opening.subject, now - suspect_age))) {
    if (opening.suspects.size() == suspects_max) break;
    opening.suspects.push_back("source:" + change.source + "@" + std::to_string(change.version) +
                               " " + change.what + ", applied " + to_rfc3339(change.at));
  }
  TRY(incidents::open(tx, call, now, opening));
  return {};
}

Result<void> keep(sql::Tx& tx, const Call& call, Timestamp now, const MonitorDeclaration& monitor,
                  MonitorResult result) {
  const auto earlier = TRY(store::same(tx, result));
  if (result.verdict == Verdict::breach) {
    const auto before = TRY(store::before(tx, result));
    result.breach_since = before && before->breach_since ? before->breach_since : result.day;
    if (!earlier || earlier->verdict != Verdict::breach)
      TRY(open_incident(tx, call, now, monitor, result));
  }
  return store::put(tx, result, keep_days);
}

}  // namespace

Judgement judge(const MonitorDeclaration& monitor, const Window& window) {
  const Tally& now = *window.current;
  if (now.calls == 0) return {.reason = "no calls in the window"};
  switch (monitor.quantity) {
    case Quantity::feature_drift:
    case Quantity::missing: return feature(monitor, window);
    case Quantity::score_drift:
      if (!window.profile || !window.profile->complete)
        return undecided(now.calls, "too few calls so far to cut values into bins");
      return drift(monitor, window.same_before->score_bins, now.score_bins);
    case Quantity::latency: {
      const auto p99 = now.micros.quantile(0.99);
      return against(monitor, p99 ? std::optional(*p99 / 1e3) : std::nullopt, now.micros.total());
    }
    case Quantity::error_rate: return share(monitor, now.errors, now.calls);
    case Quantity::label_quality: return share(monitor, now.wrong, now.labels);
    case Quantity::freshness: {
      const auto p99 = now.age_seconds.quantile(0.99);
      return against(monitor, p99 ? std::optional(*p99 - 1) : std::nullopt,
                     now.age_seconds.total());
    }
    case Quantity::decision_rate: return decision_rate(monitor, window);
  }
  return {};
}

Result<void> evaluate(sql::Tx& tx, const Call& call, Timestamp now, const std::string& route,
                      std::int64_t day, bool labels_only) {
  std::vector<MonitorDeclaration> monitors;
  std::int64_t longest = 0;
  for (const MonitorDeclaration& monitor : TRY(store::monitors(tx, call.project))) {
    if (monitor.route != route || (labels_only && monitor.quantity != Quantity::label_quality))
      continue;
    longest = std::max(longest, monitor.window_days);
    monitors.push_back(monitor);
  }
  if (monitors.empty()) return {};
  const auto rows = TRY(store::stats(tx, call.project, route, day - 2 * longest + 1, day));
  for (const MonitorDeclaration& monitor : monitors) {
    const std::int64_t first = day - monitor.window_days + 1;
    const Days window(rows, first, day), before(rows, first - monitor.window_days, first - 1);
    MonitorResult result{
        .project = call.project, .monitor = monitor.name, .day = day, .evaluated_at = now};
    const auto versions = window.versions();
    if (versions.empty() && !labels_only) {
      result.reason = "no calls in the window";
      TRY(keep(tx, call, now, monitor, result));
    }
    for (const auto& [model, version] : versions) {
      const std::string schema = window.schema_of(model, version);
      const Tally current = window.sum(schema, model, version), all = before.sum(schema),
                  same = before.sum(schema, model, version);
      const auto profile = TRY(store::profile(tx, call.project, route, schema));
      const auto training = TRY(store::reference(tx, {.project = call.project,
                                                      .route = route,
                                                      .feature_schema = schema,
                                                      .model = model,
                                                      .version = version}));
      const auto view = TRY(of_view(tx, monitor, profile, first));
      const Judgement judgement = judge(monitor, {.current = &current,
                                                  .features_before = &all,
                                                  .same_before = &same,
                                                  .profile = profile ? &*profile : nullptr,
                                                  .training = training ? &*training : nullptr,
                                                  .view = view ? &*view : nullptr});
      result.model = model;
      result.version = version;
      result.verdict = judgement.verdict;
      result.value = judgement.value;
      result.calls = judgement.calls;
      result.reason = judgement.reason;
      TRY(keep(tx, call, now, monitor, result));
    }
  }
  return {};
}

}  // namespace penstock::monitor
