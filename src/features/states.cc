#include "features/states.h"

#include "features/profiles.h"

namespace penstock::features::states {
namespace {

constexpr std::int64_t profiles_kept = 400;

// "a = excluded.a, ..." of every column.
template <Struct T>
std::string replaced() {
  std::string text;
  for_each_member(T{}, [&](auto name, auto&, auto&) {
    text += (text.empty() ? "" : ", ") + std::string(name) + " = excluded." + name;
  });
  return text;
}

}  // namespace

Result<void> put_plan(sql::Tx& tx, const std::string& project, const FeatureView& view) {
  TRY(tx.run("DELETE FROM feature_schedules WHERE project = $1 AND view = $2",
             {project, view.name}));
  if (!view.schedule && !view.freshness && !view.verify_every) return {};
  return sql::insert(tx, "feature_schedules",
                     Plan{project, view.name, view.schedule, view.freshness, view.verify_every});
}

Result<std::vector<Plan>> plans(sql::Tx& tx) {
  return sql::select<Plan>(
      tx, "SELECT " + columns<Plan>() + " FROM feature_schedules ORDER BY project, view", {});
}

Result<Plan> plan(sql::Tx& tx, const std::string& project, const std::string& view) {
  const auto found = TRY(sql::select<Plan>(
      tx, "SELECT " + columns<Plan>() + " FROM feature_schedules WHERE project = $1 AND view = $2",
      {project, view}));
  return found.empty() ? Plan{.project = project, .view = view} : found.front();
}

Result<std::optional<ViewWork>> find(sql::Tx& tx, const Key& key) {
  static const std::string text = "SELECT " + columns<ViewWork>() +
                                  " FROM feature_view_states WHERE store = $1 AND project = $2 "
                                  "AND view = $3 AND version = $4";
  const auto found =
      TRY(sql::select<ViewWork>(tx, text, {key.store, key.project, key.view, key.version}));
  return found.empty() ? std::optional<ViewWork>() : std::optional(found.front());
}

Result<std::vector<ViewWork>> of_project(sql::Tx& tx, const std::string& store,
                                         const std::string& project) {
  static const std::string text =
      "SELECT " + columns<ViewWork>() +
      " FROM feature_view_states WHERE store = $1 AND project = $2 ORDER BY view, version";
  return sql::select<ViewWork>(tx, text, {store, project});
}

Result<std::vector<ViewWork>> unprofiled(sql::Tx& tx, const std::string& store) {
  static const std::string text =
      "SELECT " + columns<ViewWork>() +
      " FROM feature_view_states WHERE store = $1 AND profile_from IS NOT NULL ORDER BY project, "
      "view, version LIMIT 100";
  return sql::select<ViewWork>(tx, text, {store});
}

Result<ViewWork> change(sql::Tx& tx, const Key& key, const std::function<void(ViewWork&)>& change) {
  static const std::string suffix =
      "ON CONFLICT (store, project, view, version) DO UPDATE SET " + replaced<ViewWork>();
  const ViewWork before = TRY(find(tx, key))
                              .value_or(ViewWork{.store = key.store,
                                                 .project = key.project,
                                                 .view = key.view,
                                                 .version = key.version});
  ViewWork after = before;
  change(after);
  TRY(sql::insert(tx, "feature_view_states", after, suffix));
  return before;
}

Result<bool> take(sql::Tx& tx, const Key& key, const std::string& holder, Timestamp now,
                  Timestamp until) {
  bool mine = false;
  TRY(change(tx, key, [&](ViewWork& work) {
    mine = work.holder.empty() || work.holder == holder ||
           work.held_until.value_or(Timestamp::min()) < now;
    if (!mine) return;
    work.holder = holder;
    work.held_until = until;
  }));
  return mine;
}

Result<void> put_profile(sql::Tx& tx, const ViewProfile& profile) {
  static const std::string suffix =
      "ON CONFLICT (project, view, version, day) DO UPDATE SET " + replaced<ViewProfile>();
  TRY(sql::insert(tx, "feature_profiles", profile, suffix));
  TRY(
      tx.run("DELETE FROM feature_profiles WHERE project = $1 AND view = $2 AND version = $3 AND "
             "day < (SELECT day FROM feature_profiles WHERE project = $1 AND view = $2 AND version "
             "= $3 ORDER BY day DESC LIMIT 1 OFFSET $4)",
             {profile.project, profile.view, profile.version, profiles_kept - 1}));
  return {};
}

Result<std::optional<ViewProfile>> profile(sql::Tx& tx, const ViewProfile& key) {
  static const std::string text =
      "SELECT " + columns<ViewProfile>() +
      " FROM feature_profiles WHERE project = $1 AND view = $2 AND version = $3 AND day = $4";
  const auto found = TRY(sql::select<ViewProfile>(
      tx, text, {key.project, key.view, key.version, sql::to_sql(key.day)}));
  return found.empty() ? std::optional<ViewProfile>() : std::optional(found.front());
}

Result<std::vector<Timestamp>> profile_days(sql::Tx& tx, const ViewProfile& key) {
  std::vector<Timestamp> out;
  for (const sql::Row& row :
       TRY(tx.run("SELECT day FROM feature_profiles WHERE project = $1 AND view = $2 AND version "
                  "= $3 ORDER BY day DESC",
                  {key.project, key.view, key.version})))
    out.push_back(Timestamp(Micros(std::get<std::int64_t>(row.at(0)))));
  return out;
}

}  // namespace penstock::features::states

namespace penstock::features {

Result<std::vector<ViewProfile>> profiles_between(sql::Tx& tx, const std::string& project,
                                                  const std::string& view, std::int64_t version,
                                                  Timestamp first, Timestamp last) {
  static const std::string text =
      "SELECT " + columns<ViewProfile>() +
      " FROM feature_profiles WHERE project = $1 AND view = $2 AND version = $3 AND day >= $4 AND "
      "day <= $5 ORDER BY day LIMIT 400";
  return sql::select<ViewProfile>(tx, text,
                                  {project, view, version, sql::to_sql(first), sql::to_sql(last)});
}

}  // namespace penstock::features
