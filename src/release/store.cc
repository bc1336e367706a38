#include "release/store.h"

#include <algorithm>

namespace penstock::release::store {

Result<std::vector<Release>> find(sql::Tx& tx, const std::string& project, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<Release>() + " FROM releases WHERE project = $1 AND id = $2";
  return sql::select<Release>(tx, text, {project, id});
}

Result<std::vector<Release>> list(sql::Tx& tx, const std::string& project, std::int64_t limit) {
  static const std::string text = "SELECT " + columns<Release>() +
                                  " FROM releases WHERE project = $1 ORDER BY id DESC LIMIT $2";
  return sql::select<Release>(tx, text, {project, limit});
}

Result<std::vector<Release>> running(sql::Tx& tx) {
  static const std::string text =
      "SELECT " + columns<Release>() +
      " FROM releases WHERE state IN ('shadow', 'canary', 'bake', 'watch') ORDER BY id";
  return sql::select<Release>(tx, text, {});
}

Result<std::vector<Release>> of_route(sql::Tx& tx, const std::string& project,
                                      const std::string& route) {
  static const std::string text =
      "SELECT " + columns<Release>() +
      " FROM releases WHERE project = $1 AND route = $2 ORDER BY id DESC LIMIT 20";
  return sql::select<Release>(tx, text, {project, route});
}

Result<void> put(sql::Tx& tx, const Release& release) {
  TRY(tx.run("DELETE FROM releases WHERE project = $1 AND id = $2", {release.project, release.id}));
  return sql::insert(tx, "releases", release);
}

Result<std::vector<GuardState>> guards(sql::Tx& tx, const std::string& project,
                                       const std::string& id) {
  static const std::string text =
      "SELECT " + columns<GuardState>() +
      " FROM release_guards WHERE project = $1 AND release = $2 ORDER BY guard";
  return sql::select<GuardState>(tx, text, {project, id});
}

Result<void> put_guard(sql::Tx& tx, const GuardState& guard) {
  TRY(tx.run("DELETE FROM release_guards WHERE project = $1 AND release = $2 AND guard = $3",
             {guard.project, guard.release, guard.guard}));
  return sql::insert(tx, "release_guards", guard);
}

Result<std::vector<Look>> looks(sql::Tx& tx, const std::string& project, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<Look>() +
      " FROM release_looks WHERE project = $1 AND release = $2 ORDER BY guard, number";
  return sql::select<Look>(tx, text, {project, id});
}

Result<std::vector<Look>> last_looks(sql::Tx& tx, const std::string& project,
                                     const std::string& id) {
  static const std::string text =
      "SELECT " + columns<Look>() +
      " FROM release_looks AS l WHERE project = $1 AND release = $2 AND number = (SELECT "
      "max(number) FROM release_looks AS o WHERE o.project = l.project AND o.release = l.release "
      "AND o.guard = l.guard) ORDER BY guard";
  return sql::select<Look>(tx, text, {project, id});
}

Result<std::int64_t> position(sql::Tx& tx, const std::string& server, std::string_view topic) {
  const auto rows =
      TRY(tx.run("SELECT next_offset FROM release_positions WHERE server = $1 AND topic = $2",
                 {server, std::string(topic)}));
  return rows.empty() ? std::int64_t{0} : std::get<std::int64_t>(rows[0].at(0));
}

Result<void> set_position(sql::Tx& tx, const std::string& server, std::string_view topic,
                          std::int64_t offset) {
  TRY(tx.run(
      "INSERT INTO release_positions (server, topic, next_offset) VALUES ($1, $2, $3) ON CONFLICT "
      "(server, topic) DO UPDATE SET next_offset = excluded.next_offset",
      {server, std::string(topic), offset}));
  return {};
}

Result<void> begin_position(sql::Tx& tx, const std::string& server, std::string_view topic,
                            std::int64_t end) {
  const std::int64_t before = TRY(position(tx, "", topic));
  TRY(tx.run(
      "INSERT INTO release_positions (server, topic, next_offset) VALUES ($1, $2, $3) ON CONFLICT "
      "(server, topic) DO NOTHING",
      {server, std::string(topic), std::min(before, end)}));
  return {};
}

Result<bool> count_unit(sql::Tx& tx, const Release& release, const std::string& purpose,
                        const std::string& unit) {
  return !TRY(tx.run(
                  "INSERT INTO release_units (project, release, purpose, unit) VALUES ($1, $2, "
                  "$3, $4) ON CONFLICT (project, release, purpose, unit) DO NOTHING RETURNING unit",
                  {release.project, release.id, purpose, unit}))
              .empty();
}

}  // namespace penstock::release::store
