#include "monitor/store.h"

#include <algorithm>

#include "resources/service.h"

namespace penstock::monitor::store {
namespace {

template <Struct T>
Result<std::optional<T>> one(sql::Tx& tx, const std::string& from_where, const sql::Row& row) {
  auto found = TRY(sql::select<T>(tx, "SELECT " + columns<T>() + " FROM " + from_where, row));
  if (found.empty()) return std::optional<T>();
  return std::optional<T>(std::move(found.front()));
}

constexpr const char* stats_key =
    " WHERE project = $1 AND route = $2 AND day = $3 AND model = $4 AND version = $5 AND arm = $6 "
    "AND feature_schema = $7";
sql::Row key_of(const DayStats& stats) {
  return {stats.project,          stats.route,         stats.day, stats.model, stats.version,
          sql::to_sql(stats.arm), stats.feature_schema};
}

constexpr const char* profile_key = " WHERE project = $1 AND route = $2 AND feature_schema = $3";
sql::Row key_of(const Profile& profile) {
  return {profile.project, profile.route, profile.feature_schema};
}

constexpr const char* reference_key =
    " WHERE project = $1 AND route = $2 AND feature_schema = $3 AND model = $4 AND version = $5";
sql::Row key_of(const TrainingReference& reference) {
  return {reference.project, reference.route, reference.feature_schema, reference.model,
          reference.version};
}

constexpr const char* result_key =
    " WHERE project = $1 AND monitor = $2 AND model = $3 AND version = $4 AND day ";
sql::Row key_of(const MonitorResult& result) {
  return {result.project, result.monitor, result.model, result.version, result.day};
}

template <Struct T>
Result<void> replace(sql::Tx& tx, const std::string& table, const std::string& where,
                     const sql::Row& key, const T& value) {
  TRY(tx.run("DELETE FROM " + table + where, key));
  return sql::insert(tx, table, value);
}

}  // namespace

Result<std::vector<MonitorDeclaration>> monitors(sql::Tx& tx, const std::string& project) {
  std::vector<MonitorDeclaration> out;
  for (const resources::Resource& resource : TRY(resources::list(tx, project, "monitor")))
    out.push_back(TRY(decode<MonitorDeclaration>(resource.declaration)));
  return out;
}

Result<std::int64_t> position(sql::Tx& tx, const std::string& server, std::string_view topic) {
  const auto rows =
      TRY(tx.run("SELECT next_offset FROM monitor_positions WHERE server = $1 AND topic = $2",
                 {server, std::string(topic)}));
  return rows.empty() ? std::int64_t{0} : std::get<std::int64_t>(rows[0].at(0));
}

Result<void> set_position(sql::Tx& tx, const std::string& server, std::string_view topic,
                          std::int64_t next_offset) {
  TRY(tx.run(
      "INSERT INTO monitor_positions (server, topic, next_offset) VALUES ($1, $2, $3) ON CONFLICT "
      "(server, topic) DO UPDATE SET next_offset = excluded.next_offset",
      {server, std::string(topic), next_offset}));
  return {};
}

Result<void> begin_position(sql::Tx& tx, const std::string& server, std::string_view topic,
                            std::int64_t end) {
  const std::int64_t before = TRY(position(tx, "", topic));
  TRY(tx.run(
      "INSERT INTO monitor_positions (server, topic, next_offset) VALUES ($1, $2, $3) ON CONFLICT "
      "(server, topic) DO NOTHING",
      {server, std::string(topic), std::min(before, end)}));
  return {};
}

Result<std::vector<DayStats>> stats(sql::Tx& tx, const std::string& project,
                                    const std::string& route, std::int64_t from,
                                    std::int64_t until) {
  static const std::string text = "SELECT " + columns<DayStats>() +
                                  " FROM monitor_stats WHERE project = $1 AND route = $2 AND day "
                                  ">= $3 AND day <= $4 ORDER BY day, model, version, arm";
  return sql::select<DayStats>(tx, text, {project, route, from, until});
}

Result<std::optional<DayStats>> find(sql::Tx& tx, const DayStats& key) {
  return one<DayStats>(tx, std::string("monitor_stats") + stats_key, key_of(key));
}

Result<std::int64_t> series_of_day(sql::Tx& tx, const DayStats& key) {
  const auto rows = TRY(
      tx.run("SELECT count(*) FROM monitor_stats WHERE project = $1 AND route = $2 AND day = $3",
             {key.project, key.route, key.day}));
  return std::get<std::int64_t>(rows[0].at(0));
}

Result<void> put(sql::Tx& tx, const DayStats& stats) {
  return replace(tx, "monitor_stats", stats_key, key_of(stats), stats);
}

Result<void> forget_before(sql::Tx& tx, const std::string& project, const std::string& route,
                           std::int64_t day) {
  TRY(tx.run("DELETE FROM monitor_stats WHERE project = $1 AND route = $2 AND day < $3",
             {project, route, day}));
  return {};
}

Result<std::optional<Profile>> profile(sql::Tx& tx, const std::string& project,
                                       const std::string& route, const std::string& schema) {
  return one<Profile>(tx, std::string("monitor_profiles") + profile_key, {project, route, schema});
}

Result<void> put(sql::Tx& tx, const Profile& profile) {
  return replace(tx, "monitor_profiles", profile_key, key_of(profile), profile);
}

Result<void> add_sample(sql::Tx& tx, const Profile& profile, const Sample& sample) {
  sql::Row row = key_of(profile);
  row.emplace_back(profile.samples);
  row.push_back(sql::to_sql(sample));
  TRY(
      tx.run("INSERT INTO monitor_samples (project, route, feature_schema, number, sample) VALUES "
             "($1, $2, $3, $4, $5)",
             row));
  return {};
}

Result<std::vector<Sample>> samples(sql::Tx& tx, const Profile& profile) {
  const auto rows = TRY(
      tx.run(std::string("SELECT sample FROM monitor_samples") + profile_key + " ORDER BY number",
             key_of(profile)));
  std::vector<Sample> out;
  for (const sql::Row& row : rows) sql::from_sql(row.at(0), out.emplace_back());
  return out;
}

Result<void> drop_samples(sql::Tx& tx, const Profile& profile) {
  TRY(tx.run(std::string("DELETE FROM monitor_samples") + profile_key, key_of(profile)));
  return {};
}

Result<std::optional<TrainingReference>> reference(sql::Tx& tx, const TrainingReference& key) {
  return one<TrainingReference>(tx, std::string("monitor_references") + reference_key, key_of(key));
}

Result<void> put(sql::Tx& tx, const TrainingReference& reference) {
  return replace(tx, "monitor_references", reference_key, key_of(reference), reference);
}

Result<std::optional<RouteState>> route(sql::Tx& tx, const std::string& project,
                                        const std::string& name) {
  return one<RouteState>(tx, "monitor_routes WHERE project = $1 AND route = $2", {project, name});
}

Result<void> put(sql::Tx& tx, const RouteState& route) {
  return replace(tx, "monitor_routes", " WHERE project = $1 AND route = $2",
                 {route.project, route.route}, route);
}

Result<std::vector<MonitorResult>> results(sql::Tx& tx, const std::string& project,
                                           const std::string& monitor, std::int64_t limit) {
  static const std::string text = "SELECT " + columns<MonitorResult>() +
                                  " FROM monitor_results WHERE project = $1 AND monitor = $2 ORDER "
                                  "BY day DESC, model, version LIMIT $3";
  return sql::select<MonitorResult>(tx, text, {project, monitor, limit});
}

Result<std::optional<MonitorResult>> before(sql::Tx& tx, const MonitorResult& key) {
  return one<MonitorResult>(
      tx, std::string("monitor_results") + result_key + "< $5 ORDER BY day DESC LIMIT 1",
      key_of(key));
}

Result<std::optional<MonitorResult>> same(sql::Tx& tx, const MonitorResult& key) {
  return one<MonitorResult>(tx, std::string("monitor_results") + result_key + "= $5", key_of(key));
}

Result<void> put(sql::Tx& tx, const MonitorResult& result, std::int64_t keep_days) {
  TRY(tx.run("DELETE FROM monitor_results WHERE project = $1 AND monitor = $2 AND day < $3",
             {result.project, result.monitor, result.day - keep_days}));
  return replace(tx, "monitor_results", std::string(result_key) + "= $5", key_of(result), result);
}

}  // namespace penstock::monitor::store
