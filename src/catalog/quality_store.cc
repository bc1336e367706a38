#include "catalog/store.h"

namespace penstock::catalog::store {

Result<void> schedule(sql::Tx& tx, const std::string& project, const Source& source,
                      Timestamp now) {
  std::optional<Micros> every = source.refresh_every;
  if (!every && source.freshness)
    every = std::max<Micros>(source.freshness->max_age / 4, std::chrono::minutes(1));
  TRY(tx.run("DELETE FROM source_schedules WHERE project = $1 AND source = $2",
             {project, source.name}));
  if (!every) return {};
  return sql::insert(tx, "source_schedules", Schedule{project, source.name, *every, now});
}

Result<std::vector<Schedule>> due(sql::Tx& tx, Timestamp now) {
  static const std::string text = "SELECT " + columns<Schedule>() +
                                  " FROM source_schedules WHERE next_at <= $1 ORDER BY next_at, "
                                  "project, source LIMIT 1";
  return sql::select<Schedule>(tx, text, {sql::to_sql(now)});
}

Result<bool> claim(sql::Tx& tx, const Schedule& schedule, Timestamp now) {
  const auto rows =
      TRY(tx.run("UPDATE source_schedules SET next_at = $4 WHERE project = $1 AND source = $2 AND "
                 "next_at = $3 RETURNING source",
                 {schedule.project, schedule.source, sql::to_sql(schedule.next_at),
                  sql::to_sql(now + schedule.every)}));
  return !rows.empty();
}

Result<std::vector<Measure>> measures(sql::Tx& tx, const std::string& project,
                                      const std::string& source, std::int64_t limit) {
  static const std::string text =
      "SELECT " + columns<Measure>() +
      " FROM source_measures WHERE project = $1 AND source = $2 ORDER BY at DESC LIMIT $3";
  return sql::select<Measure>(tx, text, {project, source, limit});
}

Result<std::vector<SourceProfile>> profile(sql::Tx& tx, const std::string& project,
                                           const std::string& source, const std::string& snapshot) {
  static const std::string text =
      "SELECT " + columns<SourceProfile>() +
      " FROM source_profiles WHERE project = $1 AND source = $2 AND substr(snapshot_digest, 1, "
      "length(CAST($3 AS TEXT))) = $3 ORDER BY at DESC, version DESC LIMIT 1";
  return sql::select<SourceProfile>(tx, text, {project, source, snapshot});
}

Result<void> prune(sql::Tx& tx, const std::string& project, const std::string& source,
                   std::int64_t measures_kept, std::int64_t profiles_kept) {
  const auto beyond = [&](const std::string& table, std::int64_t kept) -> Result<void> {
    TRY(tx.run("DELETE FROM " + table +
                   " WHERE project = $1 AND source = $2 AND at < (SELECT at FROM " + table +
                   " WHERE project = $1 AND source = $2 ORDER BY at DESC LIMIT 1 OFFSET $3)",
               {project, source, kept - 1}));
    return {};
  };
  TRY(beyond("source_measures", measures_kept));
  return beyond("source_profiles", profiles_kept);
}

}  // namespace penstock::catalog::store
