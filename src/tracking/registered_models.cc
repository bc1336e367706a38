#include "tracking/registered_models.h"

#include <algorithm>

#include "audit/audit.h"
#include "tracking/search.h"

namespace penstock::tracking {
namespace {

Error faulty(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

// As registry names models, without a version in the name.
Result<void> check_name(const std::string& name) {
  const auto read = TRY(registry::version_name(name));
  if (read.version != 0)
    return faulty("name", "'" + name + "' ends in a version; leave it out, numbers are given here");
  return {};
}

Result<RegisteredModel> find(sql::Tx& tx, const Call& call, const std::string& name) {
  auto found = TRY(
      sql::select<RegisteredModel>(tx,
                                   "SELECT " + columns<RegisteredModel>() +
                                       " FROM registered_models WHERE project = $1 AND name = $2",
                                   {call.project, name}));
  if (found.empty())
    return Error{Code::not_found, "Registered Model with name=" + name + " not found"};
  return std::move(found.front());
}

Result<VersionNote> find(sql::Tx& tx, const Call& call, const std::string& model,
                         std::int64_t number) {
  auto found = TRY(sql::select<VersionNote>(
      tx,
      "SELECT " + columns<VersionNote>() +
          " FROM version_notes WHERE project = $1 AND model = $2 AND version = $3 AND NOT hidden",
      {call.project, model, number}));
  if (found.empty())
    return Error{Code::not_found, "Model Version (name=" + model +
                                      ", version=" + std::to_string(number) + ") not found"};
  return std::move(found.front());
}

Result<std::vector<Alias>> aliases_of(sql::Tx& tx, const Call& call, const std::string& model) {
  return sql::select<Alias>(
      tx,
      "SELECT alias, version FROM model_aliases WHERE project = $1 AND model = $2 ORDER BY alias",
      {call.project, model});
}

Result<VersionView> view(sql::Tx& tx, const Call& call, VersionNote note) {
  VersionView out;
  out.tags = TRY(sql::select<Pair>(tx,
                                   "SELECT key, value FROM version_tags WHERE project = $1 AND "
                                   "model = $2 AND version = $3 ORDER BY key",
                                   {call.project, note.model, note.version}));
  for (const Alias& alias : TRY(aliases_of(tx, call, note.model)))
    if (alias.version == note.version) out.aliases.push_back(alias.alias);
  out.note = std::move(note);
  return out;
}

Result<RegisteredModelView> view(sql::Tx& tx, const Call& call, RegisteredModel model) {
  RegisteredModelView out;
  out.tags = TRY(sql::select<Pair>(tx,
                                   "SELECT key, value FROM registered_model_tags WHERE project = "
                                   "$1 AND model = $2 ORDER BY key",
                                   {call.project, model.name}));
  out.aliases = TRY(aliases_of(tx, call, model.name));
  auto newest = TRY(sql::select<VersionNote>(
      tx,
      "SELECT " + columns<VersionNote>() +
          " FROM version_notes WHERE project = $1 AND model = $2 AND NOT hidden ORDER BY version "
          "DESC LIMIT 1",
      {call.project, model.name}));
  for (VersionNote& note : newest) out.latest.push_back(TRY(view(tx, call, std::move(note))));
  out.model = std::move(model);
  return out;
}

Result<void> check_not_serving(sql::Tx& tx, const Call& call, const VersionNote& note) {
  const auto kept = TRY(registry::version(tx, call.project, note.model, note.version));
  using registry::Status;
  if (kept.status == Status::live || kept.status == Status::canary || kept.status == Status::shadow)
    return Error{Code::failed_precondition,
                 kept.urn() + " is " + std::string(name_of(kept.status)) +
                     " on a route and cannot be deleted; release another version first"};
  return {};
}

std::string urn_of(const std::string& model, std::int64_t number) {
  return "model:" + model + "@v" + std::to_string(number);
}

}  // namespace

Result<void> RegisteredModels::touch(sql::Tx& tx, const Call& call, const std::string& name) {
  TRY(tx.run("UPDATE registered_models SET updated_at = $3 WHERE project = $1 AND name = $2",
             {call.project, name, now()}));
  return {};
}

Result<RegisteredModelView> RegisteredModels::create(const Call& call, const std::string& name,
                                                     const std::string& description,
                                                     const std::vector<Pair>& tags) {
  TRY(check_name(name));
  TRY(check(Batch{.tags = tags}));
  return db_.write(call, [&](sql::Tx& tx) -> Result<RegisteredModelView> {
    const auto made =
        TRY(tx.run("INSERT INTO registered_models (project, name, description, created_at, "
                   "updated_at) VALUES ($1, $2, $3, $4, $4) ON CONFLICT (project, name) DO "
                   "NOTHING RETURNING name",
                   {call.project, name, description, now()}));
    if (made.empty())
      return Error{Code::already_exists, "Registered Model (name=" + name + ") already exists"};
    for (const Pair& tag : tags)
      TRY(
          tx.run("INSERT INTO registered_model_tags (project, model, key, value) VALUES ($1, $2, "
                 "$3, $4) ON CONFLICT (project, model, key) DO UPDATE SET value = excluded.value",
                 {call.project, name, tag.key, tag.value}));
    TRY(audit::record(tx, call, clock_.now(), {"registry.model.created", "model:" + name, {}}));
    return view(tx, call, TRY(find(tx, call, name)));
  });
}

Result<RegisteredModelView> RegisteredModels::get(const Call& call, const std::string& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<RegisteredModelView> {
    return view(tx, call, TRY(find(tx, call, name)));
  });
}

Result<RegisteredModelView> RegisteredModels::describe(const Call& call, const std::string& name,
                                                       const std::string& description) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<RegisteredModelView> {
    TRY(find(tx, call, name));
    TRY(
        tx.run("UPDATE registered_models SET description = $3, updated_at = $4 WHERE project = $1 "
               "AND name = $2",
               {call.project, name, description, now()}));
    return view(tx, call, TRY(find(tx, call, name)));
  });
}

Result<RegisteredModelView> RegisteredModels::rename(const Call& call, const std::string& name,
                                                     const std::string& to) {
  TRY(check_name(to));
  return db_.write(call, [&](sql::Tx& tx) -> Result<RegisteredModelView> {
    TRY(find(tx, call, name));
    if (!TRY(tx.run("SELECT 1 FROM registered_models WHERE project = $1 AND name = $2",
                    {call.project, to}))
             .empty())
      return Error{Code::already_exists, "Registered Model (name=" + to + ") already exists"};
    if (!TRY(tx.run("SELECT 1 FROM version_notes WHERE project = $1 AND model = $2 LIMIT 1",
                    {call.project, name}))
             .empty())
      return Error{Code::failed_precondition,
                   "Registered Model " + name +
                       " has versions, whose records, approvals and audit hold its name; register "
                       "them under " +
                       to + " instead"};
    TRY(
        tx.run("UPDATE registered_models SET name = $3, updated_at = $4 WHERE project = $1 AND "
               "name = $2",
               {call.project, name, to, now()}));
    TRY(tx.run("UPDATE registered_model_tags SET model = $3 WHERE project = $1 AND model = $2",
               {call.project, name, to}));
    TRY(audit::record(tx, call, clock_.now(),
                      {"registry.model.renamed", "model:" + to, {{"before", name}}}));
    return view(tx, call, TRY(find(tx, call, to)));
  });
}

Result<void> RegisteredModels::remove(const Call& call, const std::string& name) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(find(tx, call, name));
    for (const VersionNote& note : TRY(sql::select<VersionNote>(
             tx,
             "SELECT " + columns<VersionNote>() +
                 " FROM version_notes WHERE project = $1 AND model = $2 AND NOT hidden",
             {call.project, name})))
      TRY(check_not_serving(tx, call, note));
    TRY(tx.run("UPDATE version_notes SET hidden = TRUE WHERE project = $1 AND model = $2",
               {call.project, name}));
    for (const char* table : {"registered_model_tags", "model_aliases", "version_tags"})
      TRY(tx.run("DELETE FROM " + std::string(table) + " WHERE project = $1 AND model = $2",
                 {call.project, name}));
    TRY(tx.run("DELETE FROM registered_models WHERE project = $1 AND name = $2",
               {call.project, name}));
    return audit::record(tx, call, clock_.now(), {"registry.model.deleted", "model:" + name, {}});
  });
}

Result<void> RegisteredModels::set_tag(const Call& call, const std::string& name, const Pair& tag) {
  TRY(check_tag(tag, ""));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(find(tx, call, name));
    TRY(
        tx.run("INSERT INTO registered_model_tags (project, model, key, value) VALUES ($1, $2, $3, "
               "$4) ON CONFLICT (project, model, key) DO UPDATE SET value = excluded.value",
               {call.project, name, tag.key, tag.value}));
    return touch(tx, call, name);
  });
}

Result<void> RegisteredModels::remove_tag(const Call& call, const std::string& name,
                                          const std::string& key) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(find(tx, call, name));
    TRY(tx.run("DELETE FROM registered_model_tags WHERE project = $1 AND model = $2 AND key = $3",
               {call.project, name, key}));
    return touch(tx, call, name);
  });
}

Result<Found<RegisteredModelView>> RegisteredModels::search(const Call& call,
                                                            const Search& search) {
  TRY(check_limit(search.limit));
  Compiled compiled = TRY(compile(Subject::registered_model, search.filter, search.order_by));
  const std::int64_t offset = TRY(offset_of(search.page_token));
  compiled.parameters.emplace_back(call.project);
  const std::string text =
      "SELECT t.project, t.name, t.description, t.created_at, t.updated_at FROM registered_models "
      "t" +
      compiled.joins + " WHERE t.project = $" + std::to_string(compiled.parameters.size()) +
      (compiled.where.empty() ? "" : " AND " + compiled.where) + " ORDER BY " +
      (compiled.order.empty() ? "" : compiled.order + ", ") + "t.name LIMIT " +
      std::to_string(search.limit + 1) + " OFFSET " + std::to_string(offset);
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<RegisteredModelView>> {
    auto models = TRY(sql::select<RegisteredModel>(tx, text, compiled.parameters));
    Found<RegisteredModelView> out;
    out.next_page_token = next_token(models, search.limit, offset);
    for (RegisteredModel& model : models)
      out.items.push_back(TRY(view(tx, call, std::move(model))));
    return out;
  });
}

Result<VersionView> RegisteredModels::create_version(const Call& call, const CreateVersion& input) {
  TRY(check(Batch{.tags = input.tags}));
  const std::string run = TRY(db_.read(call, [&](sql::Tx& tx) -> Result<std::string> {
    TRY(find(tx, call, input.model));
    if (!input.run.empty() || input.logged_model.empty()) return input.run;
    // Newer clients name the logged model alone; the run that wrote it is its run.
    const auto found =
        TRY(tx.run("SELECT source_run FROM logged_models WHERE project = $1 AND id = $2",
                   {call.project, input.logged_model}));
    return found.empty() ? "" : std::get<std::string>(found.front().at(0));
  }));
  registry::Record record{.model_id = input.model, .artifact_uri = input.source};
  record.owner = call.actor;
  if (!run.empty()) record.run = run;
  if (!input.description.empty()) record.description = input.description;
  const auto made = TRY(registry_.register_version(call, record));
  return db_.write(call, [&](sql::Tx& tx) -> Result<VersionView> {
    TRY(
        tx.run("UPDATE version_notes SET logged_model = $4, description = $5 WHERE project = $1 "
               "AND model = $2 AND version = $3",
               {call.project, made.model, made.version, input.logged_model, input.description}));
    for (const Pair& tag : input.tags)
      TRY(
          tx.run("INSERT INTO version_tags (project, model, version, key, value) VALUES ($1, $2, "
                 "$3, $4, $5) ON CONFLICT (project, model, version, key) DO UPDATE SET value = "
                 "excluded.value",
                 {call.project, made.model, made.version, tag.key, tag.value}));
    return view(tx, call, TRY(find(tx, call, made.model, made.version)));
  });
}

Result<VersionView> RegisteredModels::version(const Call& call, const std::string& model,
                                              std::int64_t number) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<VersionView> {
    return view(tx, call, TRY(find(tx, call, model, number)));
  });
}

Result<VersionView> RegisteredModels::describe_version(const Call& call, const std::string& model,
                                                       std::int64_t number,
                                                       const std::string& description) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<VersionView> {
    TRY(find(tx, call, model, number));
    TRY(
        tx.run("UPDATE version_notes SET description = $4, updated_at = $5 WHERE project = $1 AND "
               "model = $2 AND version = $3",
               {call.project, model, number, description, now()}));
    return view(tx, call, TRY(find(tx, call, model, number)));
  });
}

Result<void> RegisteredModels::remove_version(const Call& call, const std::string& model,
                                              std::int64_t number) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(check_not_serving(tx, call, TRY(find(tx, call, model, number))));
    TRY(
        tx.run("UPDATE version_notes SET hidden = TRUE WHERE project = $1 AND model = $2 AND "
               "version = $3",
               {call.project, model, number}));
    TRY(tx.run("DELETE FROM model_aliases WHERE project = $1 AND model = $2 AND version = $3",
               {call.project, model, number}));
    return audit::record(tx, call, clock_.now(),
                         {"registry.version.hidden", urn_of(model, number), {}});
  });
}

Result<std::string> RegisteredModels::download_uri(const Call& call, const std::string& model,
                                                   std::int64_t number) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<std::string> {
    const VersionNote note = TRY(find(tx, call, model, number));
    if (note.logged_model.empty() && !note.source.starts_with("models:/")) return note.source;
    const std::string id = note.logged_model.empty() ? note.source.substr(8) : note.logged_model;
    const auto found =
        TRY(tx.run("SELECT artifact_uri FROM logged_models WHERE project = $1 AND id = $2",
                   {call.project, id}));
    return found.empty() ? note.source : std::get<std::string>(found.front().at(0));
  });
}

Result<void> RegisteredModels::set_version_tag(const Call& call, const std::string& model,
                                               std::int64_t number, const Pair& tag) {
  TRY(check_tag(tag, ""));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(find(tx, call, model, number));
    TRY(
        tx.run("INSERT INTO version_tags (project, model, version, key, value) VALUES ($1, $2, $3, "
               "$4, $5) ON CONFLICT (project, model, version, key) DO UPDATE SET value = "
               "excluded.value",
               {call.project, model, number, tag.key, tag.value}));
    return {};
  });
}

Result<void> RegisteredModels::remove_version_tag(const Call& call, const std::string& model,
                                                  std::int64_t number, const std::string& key) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(find(tx, call, model, number));
    TRY(
        tx.run("DELETE FROM version_tags WHERE project = $1 AND model = $2 AND version = $3 AND "
               "key = $4",
               {call.project, model, number, key}));
    return {};
  });
}

Result<Found<VersionView>> RegisteredModels::search_versions(const Call& call,
                                                             const Search& search) {
  TRY(check_limit(search.limit));
  Compiled compiled = TRY(compile(Subject::model_version, search.filter, search.order_by));
  const std::int64_t offset = TRY(offset_of(search.page_token));
  compiled.parameters.emplace_back(call.project);
  const std::string text =
      "SELECT t.project, t.model, t.version, t.source, t.run, t.logged_model, t.user_id, "
      "t.description, t.hidden, t.created_at, t.updated_at FROM version_notes t" +
      compiled.joins + " WHERE NOT t.hidden AND t.project = $" +
      std::to_string(compiled.parameters.size()) +
      (compiled.where.empty() ? "" : " AND " + compiled.where) + " ORDER BY " +
      (compiled.order.empty() ? "t.updated_at DESC" : compiled.order) +
      ", t.model, t.version DESC LIMIT " + std::to_string(search.limit + 1) + " OFFSET " +
      std::to_string(offset);
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<VersionView>> {
    auto notes = TRY(sql::select<VersionNote>(tx, text, compiled.parameters));
    Found<VersionView> out;
    out.next_page_token = next_token(notes, search.limit, offset);
    for (VersionNote& note : notes) out.items.push_back(TRY(view(tx, call, std::move(note))));
    return out;
  });
}

Result<void> RegisteredModels::set_alias(const Call& call, const std::string& model,
                                         const std::string& alias, std::int64_t number) {
  TRY(check_tag({alias, ""}, "alias "));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(find(tx, call, model));
    TRY(find(tx, call, model, number));
    TRY(
        tx.run("INSERT INTO model_aliases (project, model, alias, version) VALUES ($1, $2, $3, $4) "
               "ON CONFLICT (project, model, alias) DO UPDATE SET version = excluded.version",
               {call.project, model, alias, number}));
    return audit::record(tx, call, clock_.now(),
                         {"registry.alias.set", urn_of(model, number), {{"alias", alias}}});
  });
}

Result<void> RegisteredModels::remove_alias(const Call& call, const std::string& model,
                                            const std::string& alias) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(find(tx, call, model));
    const auto gone =
        TRY(tx.run("DELETE FROM model_aliases WHERE project = $1 AND model = $2 AND alias = $3 "
                   "RETURNING version",
                   {call.project, model, alias}));
    if (gone.empty()) return {};
    return audit::record(tx, call, clock_.now(),
                         {"registry.alias.removed", "model:" + model, {{"alias", alias}}});
  });
}

Result<VersionView> RegisteredModels::by_alias(const Call& call, const std::string& model,
                                               const std::string& alias) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<VersionView> {
    TRY(find(tx, call, model));
    for (const Alias& one : TRY(aliases_of(tx, call, model)))
      if (one.alias == alias) return view(tx, call, TRY(find(tx, call, model, one.version)));
    return Error{Code::invalid_argument, "Registered model alias " + alias + " not found."};
  });
}

}  // namespace penstock::tracking
