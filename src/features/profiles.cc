// What the values of a view look like, day by day of their event time.
#include <algorithm>

#include "base/log.h"
#include "base/urn.h"
#include "features/operations.h"

namespace penstock::features {
namespace {

constexpr Micros day_length = std::chrono::hours(24);
constexpr std::int64_t days_max = 400;
// Where the sources are others than before, what changed is not known: these are made again.
constexpr std::int64_t days_renewed = 31;

Timestamp day_of(Timestamp at) { return std::chrono::floor<std::chrono::days>(at); }

std::string features_of(const ViewHandle& view) {
  std::string list;
  for (const Feature& feature : view.view.features)
    list += (list.empty() ? "" : ", ") + olap::quoted_name(feature.name);
  return list;
}

std::string on_day(Timestamp day) {
  return "event_time >= " + timestamp_literal(day) + " AND event_time < " +
         timestamp_literal(day + day_length);
}

Result<std::vector<Timestamp>> days_in(olap::Session& session, const std::string& table,
                                       const std::string& condition, std::int64_t limit) {
  std::vector<Timestamp> out;
  const auto found = TRY(session.query(
      "SELECT DISTINCT CAST(date_trunc('day', event_time) AS TIMESTAMP) AS day FROM " + table +
      " WHERE " + condition + " ORDER BY day DESC LIMIT " + std::to_string(limit)));
  for (const auto& row : found.rows)
    out.push_back(Timestamp(Micros(std::get<std::int64_t>(row.at(0)))));
  return out;
}

}  // namespace

Result<ViewProfile> Operations::make_profile(const Call& call, const BoundView& bound,
                                             const OfflineTable& table, Timestamp until,
                                             Timestamp day) {
  const ViewHandle& view = *bound.handle;
  const auto session = TRY(parts_.olap.session());
  const std::string rows =
      view.windows ? "(" +
                         TRY(window_profile_rows(*session, view, table, day,
                                                 std::min(until, day + day_length - Micros(1)))) +
                         ")"
                   : parts_.offline.scan(table) + " WHERE " + on_day(day) +
                         " AND arrived_at <= " + timestamp_literal(until);
  catalog::TableProfile made =
      TRY(catalog::profile_of(*session, "SELECT " + features_of(view) + " FROM " + rows));
  ViewProfile profile{.project = call.project,
                      .view = view.view.name,
                      .version = view.version,
                      .day = day,
                      .digest = table.digest,
                      .at = parts_.clock.now(),
                      .row_count = made.row_count,
                      .sampled_rows = made.sampled_rows,
                      .columns = std::move(made.columns)};
  TRY(redact(call, bound, profile));
  TRY(parts_.db.write(call, [&](sql::Tx& tx) { return states::put_profile(tx, profile); }));
  return profile;
}

// A feature is as protected as the strictest column that it is made from; one of which that is not
// known shows no single value.
Result<void> Operations::redact(const Call& call, const BoundView& bound, ViewProfile& profile) {
  std::vector<catalog::ColumnClass> classes;
  TRY(parts_.db.read(call, [&](sql::Tx& tx) -> Result<void> {
    std::map<std::string, std::vector<catalog::ColumnClass>> of_source;
    for (const Feature& feature : bound.handle->view.features) {
      catalog::ColumnClass of_feature{.column = feature.name,
                                      .classification = catalog::Classification::open};
      bool known = false;
      for (const catalog::Edge& edge : TRY(catalog::edges_from(
               tx, call.project, catalog::column_urn(bound.handle->urn(), feature.name)))) {
        const auto to = catalog::column_urn(edge.to_urn);
        const auto source = Urn::parse(to.object);
        if (!source || source->kind != "source" || to.column.empty()) continue;
        if (!of_source.contains(source->name)) {
          const auto declared =
              resources::declared<catalog::Source>(tx, call.project, "source", source->name);
          if (!declared) continue;
          of_source[source->name] = TRY(catalog::column_classes(tx, call.project, *declared));
        }
        for (const catalog::ColumnClass& column : of_source[source->name]) {
          if (column.column != to.column) continue;
          known = true;
          of_feature.classification = std::max(of_feature.classification, column.classification);
        }
      }
      if (known) classes.push_back(of_feature);
    }
    return {};
  }));
  catalog::redact(profile.columns, classes);
  return {};
}

Result<bool> Operations::profile_due() {
  const std::string in = TRY(store());
  const auto waiting = TRY(parts_.db.read({.actor = "service:features"},
                                          [&](sql::Tx& tx) { return states::unprofiled(tx, in); }));
  for (const ViewWork& work : waiting) {
    const Call call{.actor = "service:features", .project = work.project};
    const states::Key key{in, work.project, work.view, work.version};
    const auto done = [&](const std::string& digest) {
      return parts_.db.write(call, [&](sql::Tx& tx) {
        return states::change(tx, key, [&](ViewWork& now) {
          // What was moved meanwhile has its own turn.
          if (now.last_run == work.last_run) now.profile_from.reset();
          if (!digest.empty()) now.profiled_digest = digest;
        });
      });
    };
    auto used = parts_.in_use(call);
    const auto views = used ? std::move(used).take() : std::vector<BoundView>();
    const auto view = std::ranges::find_if(views, [&](const BoundView& one) {
      return one.handle->view.name == work.view && one.handle->version == work.version;
    });
    const auto watermark = view == views.end() ? std::optional<Watermark>()
                                               : TRY(parts_.online.watermark(*view->handle));
    if (!watermark) {
      TRY(done(""));
      return true;
    }
    const auto make = [&]() -> Result<std::string> {
      const OfflineTable table = TRY(parts_.offline.table(call, *view));
      const std::string scan = parts_.offline.scan(table);
      const auto session = TRY(parts_.olap.session());
      std::string moved = "arrived_at <= " + timestamp_literal(watermark->at);
      const std::string all = moved;
      if (*work.profile_from != Timestamp::min())
        moved += " AND arrived_at > " + timestamp_literal(*work.profile_from);
      auto days = TRY(days_in(*session, scan, moved, days_max));
      if (work.profiled_digest != table.digest)
        for (const Timestamp day : TRY(days_in(*session, scan, all, days_renewed)))
          if (std::ranges::find(days, day) == days.end()) days.push_back(day);
      for (const Timestamp day : days) TRY(make_profile(call, *view, table, watermark->at, day));
      return table.digest;
    };
    const auto made = make();
    if (!made)
      log::warn("feature_view_not_profiled", {{"project", work.project},
                                              {"view", view->handle->reference()},
                                              {"error", made.error().message}});
    TRY(done(made ? *made : ""));
    return true;
  }
  return false;
}

Result<ViewProfileOutput> Operations::profile(const Call& call, const BoundView& view,
                                              const std::optional<Timestamp>& asked) {
  const ViewHandle& handle = *view.handle;
  ViewProfile key{
      .project = call.project, .view = handle.view.name, .version = handle.version, .day = {}};
  ViewProfileOutput out;
  const auto find = [&]() {
    return parts_.db.read(call, [&](sql::Tx& tx) -> Result<std::optional<ViewProfile>> {
      out.days = TRY(states::profile_days(tx, key));
      if (!asked && out.days.empty()) return std::optional<ViewProfile>();
      key.day = asked ? day_of(*asked) : out.days.front();
      return states::profile(tx, key);
    });
  };
  if (auto found = TRY(find())) {
    out.profile = std::move(*found);
    TRY(redact(call, view, out.profile));  // a class may have become stricter since
    return out;
  }
  const OfflineTable table = TRY(parts_.offline.table(call, view));
  const auto watermark = TRY(parts_.online.watermark(handle));
  const Timestamp until = watermark ? watermark->at : parts_.clock.now();
  const auto session = TRY(parts_.olap.session());
  const std::string arrived = "arrived_at <= " + timestamp_literal(until);
  const auto days = TRY(days_in(*session, parts_.offline.scan(table),
                                asked ? arrived + " AND " + on_day(key.day) : arrived, 1));
  if (days.empty())
    return Error{Code::not_found,
                 "feature view " + handle.reference() + " has no rows" +
                     (asked ? " on " + to_rfc3339(key.day).substr(0, 10) : std::string()) +
                     " that arrived until " + to_rfc3339(until),
                 {{"day", "has no rows"}}};
  out.profile = TRY(make_profile(call, view, table, until, days.front()));
  if (std::ranges::find(out.days, days.front()) == out.days.end()) {
    out.days.push_back(days.front());
    std::ranges::sort(out.days, std::greater());
  }
  return out;
}

}  // namespace penstock::features
