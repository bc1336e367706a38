// Aliases and stages: names for versions, free to move where no route follows them.
#include "audit/audit.h"
#include "tracking/registered_models.h"
#include "tracking/registered_store.h"

namespace penstock::tracking {
namespace {

std::string urn_of(const VersionNote& note) {
  return "model:" + note.model + "@v" + std::to_string(note.version);
}

// Those that do not serve the version yet.
std::vector<ServedRoute> elsewhere(const std::vector<ServedRoute>& routes, std::int64_t version) {
  std::vector<ServedRoute> out;
  for (const ServedRoute& route : routes)
    if (route.live != version) out.push_back(route);
  return out;
}

// What the log keeps of an alias beside its version: enough for webhooks to tell of it.
Result<json::object> detail_of(sql::Tx& tx, const Call& call, const std::string& model,
                               const std::string& name, const std::string& alias) {
  return json::object{{"alias", alias},
                      {"name", name},
                      {"is_prompt", TRY(store::is_prompt(tx, call.project, model))}};
}

Result<void> move_alias(sql::Tx& tx, const Call& call, Timestamp at, const VersionNote& note,
                        const std::string& alias) {
  TRY(store::put_alias(tx, call.project, note.model, {alias, note.version}));
  return audit::record(
      tx, call, at,
      {"registry.alias.set", urn_of(note), TRY(detail_of(tx, call, note.model, note.name, alias))});
}

Result<void> move_stage(sql::Tx& tx, const Call& call, Timestamp at, const VersionNote& note,
                        const StageMove& move) {
  const std::int64_t ms = at.time_since_epoch().count() / 1'000;
  TRY(store::put_stage(tx, call.project, note.model, note.version, move.to, ms));
  if (move.archive_others)
    TRY(store::archive_others(tx, call.project, note.model, note.version, move.to, ms));
  TRY(
      tx.run("UPDATE version_notes SET updated_at = $4 WHERE project = $1 AND model = $2 AND "
             "version = $3",
             {call.project, note.model, note.version, ms}));
  return audit::record(tx, call, at,
                       {"registry.stage.set",
                        urn_of(note),
                        {{"stage", name_of(move.to)}, {"archive_others", move.archive_others}}});
}

}  // namespace

Result<std::int64_t> version_of_alias(sql::Tx& tx, const Call& call, const std::string& model,
                                      const std::string& alias) {
  const auto rows = TRY(
      tx.run("SELECT version FROM model_aliases WHERE project = $1 AND model = $2 AND alias = $3",
             {call.project, model, alias}));
  if (!rows.empty()) return std::get<std::int64_t>(rows.front().at(0));
  return Error{Code::not_found, "model " + model + " has no alias " + alias};
}

Result<void> RegisteredModels::release(const Call& call, const std::vector<ServedRoute>& routes,
                                       const std::string& model, std::int64_t version,
                                       const std::string& what) {
  std::string waits;
  for (const ServedRoute& one : routes) {
    const auto asked = served_.release(call, one.route, model, version);
    if (!asked)
      return Error{asked.error().code,
                   what + " follows route:" + one.route +
                       " and moves by a release, which cannot be: " + asked.error().message,
                   asked.error().violations};
    waits += (waits.empty() ? "" : "; ") + ("route:" + one.route + ": " + *asked);
  }
  return Error{
      Code::failed_precondition,
      what + " has not moved yet: it says what a route serves, and moves by a release. " + waits};
}

Result<void> RegisteredModels::set_alias(const Call& call, const std::string& model,
                                         const std::string& alias, std::int64_t number) {
  TRY(check_alias(alias));
  VersionNote note;
  const auto waiting = TRY(db_.write(call, [&](sql::Tx& tx) -> Result<std::vector<ServedRoute>> {
    const RegisteredModel found = TRY(store::registered_model(tx, call, model));
    note = TRY(store::note(tx, call, found, number));
    auto others = elsewhere(TRY(routes(tx, call, note.model, alias)), number);
    if (others.empty()) TRY(move_alias(tx, call, clock_.now(), note, alias));
    return others;
  }));
  if (waiting.empty()) return {};
  return release(call, waiting, note.model, number, "alias '" + alias + "' of " + model);
}

Result<void> RegisteredModels::remove_alias(const Call& call, const std::string& model,
                                            const std::string& alias) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const RegisteredModel found = TRY(store::registered_model(tx, call, model));
    for (const ServedRoute& one : TRY(routes(tx, call, found.model, alias)))
      if (one.live != 0)
        return Error{Code::failed_precondition,
                     "alias '" + alias + "' says what route:" + one.route +
                         " serves and cannot be deleted; take `alias` out of the route's "
                         "declaration first"};
    if (!TRY(store::remove_alias(tx, call.project, found.model, alias))) return {};
    return audit::record(tx, call, clock_.now(),
                         {"registry.alias.removed", "model:" + found.model,
                          TRY(detail_of(tx, call, found.model, found.name, alias))});
  });
}

Result<VersionView> RegisteredModels::by_alias(const Call& call, const std::string& model,
                                               const std::string& alias) {
  static const std::string text =
      "SELECT " + columns_in<VersionNote>("n") +
      " FROM registered_models m JOIN model_aliases a ON a.project = m.project AND a.model = "
      "m.model AND a.alias = $3 JOIN version_notes n ON n.project = a.project AND n.model = "
      "a.model AND n.version = a.version AND NOT n.hidden WHERE m.project = $1 AND m.name = $2";
  return db_.read(call, [&](sql::Tx& tx) -> Result<VersionView> {
    auto found = TRY(sql::select<VersionNote>(tx, text, {call.project, model, alias}));
    if (!found.empty()) return store::view(tx, call, std::move(found.front()));
    TRY(store::registered_model(tx, call, model));
    return Error{Code::invalid_argument, "Registered model alias " + alias + " not found."};
  });
}

Result<VersionView> RegisteredModels::move_stage(const Call& call, const StageMove& move) {
  const bool is_active = move.to == Stage::Staging || move.to == Stage::Production;
  if (move.archive_others && !is_active)
    return Error{Code::invalid_argument,
                 "Model version transition cannot archive existing model versions because '" +
                     std::string(name_of(move.to)) +
                     "' is not an Active stage. Valid stages are Staging and Production"};
  VersionNote note;
  const auto waiting = TRY(db_.write(call, [&](sql::Tx& tx) -> Result<std::vector<ServedRoute>> {
    const RegisteredModel found = TRY(store::registered_model(tx, call, move.model));
    note = TRY(store::note(tx, call, found, move.version));
    const auto serving = TRY(routes(tx, call, note.model, ""));
    if (move.to == Stage::Production) {
      auto others = elsewhere(serving, move.version);
      if (!others.empty()) return others;
    } else {
      for (const ServedRoute& one : serving)
        if (one.live == move.version)
          return Error{Code::failed_precondition,
                       urn_of(note) + " is what route:" + one.route +
                           " serves, which is stage Production; release another version first"};
    }
    TRY(tracking::move_stage(tx, call, clock_.now(), note, move));
    return std::vector<ServedRoute>();
  }));
  if (!waiting.empty())
    TRY(release(call, waiting, note.model, move.version, "stage Production of " + move.model));
  return version(call, move.model, move.version);
}

Result<void> follow(sql::Tx& tx, const Call& call, Timestamp at, const Followed& followed) {
  const std::int64_t ms = at.time_since_epoch().count() / 1'000;
  const std::string& model = followed.model;
  TRY(store::put_stage(tx, call.project, model, followed.version, followed.stage, ms));
  if (!followed.moves_alias) return {};
  if (followed.retired != 0 && followed.retired != followed.answers)
    TRY(store::put_stage(tx, call.project, model, followed.retired, Stage::Archived, ms));
  if (followed.answers != 0) {
    TRY(store::put_stage(tx, call.project, model, followed.answers, Stage::Production, ms));
    TRY(store::archive_others(tx, call.project, model, followed.answers, Stage::Production, ms));
  }
  if (followed.alias.empty()) return {};
  const std::string urn = "model:" + model;
  const auto named =
      TRY(tx.run("SELECT name FROM registered_models WHERE project = $1 AND model = $2",
                 {call.project, model}));
  const json::object detail = TRY(detail_of(
      tx, call, model, named.empty() ? "" : std::get<std::string>(named[0].at(0)), followed.alias));
  if (followed.answers == 0) {
    TRY(store::remove_alias(tx, call.project, model, followed.alias));
    return audit::record(tx, call, at, {"registry.alias.removed", urn, detail});
  }
  TRY(store::put_alias(tx, call.project, model, {followed.alias, followed.answers}));
  return audit::record(
      tx, call, at, {"registry.alias.set", urn + "@v" + std::to_string(followed.answers), detail});
}

}  // namespace penstock::tracking
