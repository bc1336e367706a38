// Gates and profiles of windowed views: what their features are of entities as of an instant.
#include <algorithm>

#include "features/operations.h"
#include "features/staged.h"
#include "features/values.h"
#include "features/windows/events.h"
#include "features/windows/join.h"
#include "features/windows/read.h"

namespace penstock::features {
namespace {

constexpr std::int64_t entities_compared = 10'000;

std::string features_of(const ViewHandle& view) {
  std::string list;
  for (const Feature& feature : view.view.features) list += ", " + olap::quoted_name(feature.name);
  return list;
}

}  // namespace

Result<std::string> Operations::window_values(olap::Session& session, const ViewHandle& view,
                                              const std::string& events,
                                              const std::string& entities) {
  const std::string rows = TRY(windows::number_rows(session, entities));
  const std::string values = TRY(windows::join_windows(parts_.olap, session,
                                                       {.view = &view,
                                                        .events = events,
                                                        .rows = rows,
                                                        .scratch = parts_.offline.scratch_file(),
                                                        .known_as_of = {}}));
  return "SELECT " + windows::key_columns(view, "r.") +
         ", v.event_time, v.event_time AS created_time" + features_of(view) + " FROM " + rows +
         " AS r JOIN " + values + " AS v USING (penstock_row)";
}

// The gates of a windowed view are of the values that the entities with new events would have.
Result<void> Operations::check_window_gates(const Call& call, const ViewHandle& view,
                                            const OfflineTable& table,
                                            const std::optional<Watermark>& before, Timestamp until,
                                            Run& run) {
  const std::string scan = parts_.offline.scan(table), end = timestamp_literal(until),
                    arrived = " WHERE arrived_at <= " + end;
  const std::string fresh =
      arrived + (before ? " AND arrived_at > " + timestamp_literal(before->at) : "");
  const auto session = TRY(parts_.olap.session());
  const std::string values =
      TRY(window_values(*session, view, "(SELECT * FROM " + scan + arrived + ")",
                        "SELECT DISTINCT " + windows::key_columns(view) + ", " + end +
                            " AS event_time FROM " + scan + (run.renewed ? arrived : fresh)));
  const bool hidden = TRY(keys_hidden(call, view));
  GateInput input{.view = &view,
                  .moving = "SELECT *, true AS penstock_fresh FROM (" + values + ")",
                  .keys_hidden = hidden};
  input.arrived = count_of(TRY(session->query("SELECT count(*) FROM " + scan + fresh)));
  input.changed = [&](std::size_t feature) {
    return changed_in_windows(*session, view, values, before, until, feature);
  };
  return keep_gates(view, TRY(look(*session, input)), run);
}

// What is online as of `until` is what readers would see then without these rows.
Result<GateInput::Changed> Operations::changed_in_windows(olap::Session& session,
                                                          const ViewHandle& view,
                                                          const std::string& values,
                                                          const std::optional<Watermark>& before,
                                                          Timestamp until, std::size_t feature) {
  std::string keys;
  for (const catalog::JoinKey& key : view.keys)
    keys += (keys.empty() ? "CAST(" : ", CAST(") + olap::quoted_name(key.name) + " AS VARCHAR)";
  const auto rows = TRY(session.query("SELECT " + keys + ", " +
                                      olap::quoted_name(view.view.features[feature].name) +
                                      " FROM (" + values + ") USING SAMPLE reservoir(" +
                                      std::to_string(entities_compared) + " ROWS) REPEATABLE (7)"));
  std::vector<std::string> row_keys;
  for (const auto& row : rows.rows) {
    std::vector<std::string> texts;
    for (std::size_t k = 0; k < view.keys.size(); ++k)
      texts.push_back(std::get<std::string>(row.at(k)));
    row_keys.push_back(row_key(view, texts));
  }
  const auto there = TRY(parts_.online.stored(row_keys));
  const Timestamp watermark = before ? before->at : Timestamp::min();
  GateInput::Changed out;
  for (std::size_t i = 0; i < there.size(); ++i) {
    if (!there[i]) continue;  // a new entity has changed nothing
    const auto now = TRY(windows::value_at(view, *there[i], watermark, until, feature));
    if (!now) continue;
    ++out.compared;
    if (windows::order_of(*now, rows.rows[i].at(view.keys.size())) != 0) ++out.changed;
  }
  return out;
}

// One row for each entity that had an event on the day, as it was at its end.
Result<std::string> Operations::window_profile_rows(olap::Session& session, const ViewHandle& view,
                                                    const OfflineTable& table, Timestamp from,
                                                    Timestamp until) {
  std::int64_t oldest = windows::bounded(from);
  for (const windows::Series& series : view.windows->series)
    oldest = std::min(oldest, windows::oldest_read(series, until));
  const std::string scan = parts_.offline.scan(table), end = timestamp_literal(until),
                    arrived = " WHERE arrived_at <= " + end + " AND event_time >= ";
  return window_values(
      session, view,
      "(SELECT * FROM " + scan + arrived + timestamp_literal(Timestamp(Micros(oldest))) + ")",
      "SELECT DISTINCT " + windows::key_columns(view) + ", " + end + " AS event_time FROM " + scan +
          arrived + timestamp_literal(from) + " AND event_time <= " + end);
}

}  // namespace penstock::features
