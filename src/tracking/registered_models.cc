#include "tracking/registered_models.h"

#include <algorithm>

#include "audit/audit.h"
#include "base/urn.h"
#include "tracking/registered_store.h"
#include "tracking/search.h"
#include "tracking/webhook_payloads.h"

namespace penstock::tracking {
namespace {

std::string urn_of(const RegisteredModel& model) { return "model:" + model.model; }

// Its name as URNs write it; with a number where a model that was renamed is known by that already.
Result<std::string> free_model(sql::Tx& tx, const Call& call, const std::string& name) {
  const std::string first = urn_name(name);
  std::string model = first;
  for (int number = 2; number < 1'000; ++number) {
    if (TRY(tx.run("SELECT 1 FROM registered_models WHERE project = $1 AND model = $2",
                   {call.project, model}))
            .empty())
      return model;
    model = first + "~." + std::to_string(number);
  }
  return Error{Code::resource_exhausted, "too many models were called " + name + " before"};
}

Result<void> put_tag(sql::Tx& tx, const Call& call, const std::string& model, const Pair& tag) {
  TRY(
      tx.run("INSERT INTO registered_model_tags (project, model, key, value) VALUES ($1, $2, $3, "
             "$4) ON CONFLICT (project, model, key) DO UPDATE SET value = excluded.value",
             {call.project, model, tag.key, tag.value}));
  return {};
}

Result<void> touch(sql::Tx& tx, const RegisteredModel& model, std::int64_t at) {
  TRY(tx.run("UPDATE registered_models SET updated_at = $3 WHERE project = $1 AND name = $2",
             {model.project, model.name, at}));
  return {};
}

}  // namespace

Result<std::vector<ServedRoute>> RegisteredModels::routes(sql::Tx& tx, const Call& call,
                                                          const std::string& model,
                                                          const std::string& alias) const {
  if (!served_.routes) return std::vector<ServedRoute>();
  return served_.routes(tx, call, model, alias);
}

Result<void> RegisteredModels::check_unused(sql::Tx& tx, const Call& call, const std::string& model,
                                            std::int64_t version) const {
  if (!served_.in_use) return {};
  const std::string why = TRY(served_.in_use(tx, call, model, version));
  if (why.empty()) return {};
  const std::string which =
      version == 0 ? " has a version that " : "@v" + std::to_string(version) + " ";
  return Error{
      Code::failed_precondition,
      "model:" + model + which + why + ", and cannot be deleted; release another version first"};
}

Result<RegisteredModelView> RegisteredModels::create(const Call& call, const std::string& name,
                                                     const std::string& description,
                                                     const std::vector<Pair>& tags) {
  TRY(check_model_name(name, "name"));
  for (const Pair& tag : tags) TRY(check_model_tag(tag));
  return db_.write(call, [&](sql::Tx& tx) -> Result<RegisteredModelView> {
    auto model_asked = TRY(free_model(tx, call, name));
    RegisteredModel made{.project = call.project,
                         .name = name,
                         .description = description,
                         .created_at = now(),
                         .updated_at = now(),
                         .model = std::move(model_asked)};
    const auto inserted = TRY(
        tx.run("INSERT INTO registered_models (project, name, description, created_at, updated_at, "
               "model) VALUES ($1, $2, $3, $4, $4, $5) ON CONFLICT (project, name) DO NOTHING "
               "RETURNING name",
               {call.project, name, description, made.created_at, made.model}));
    if (inserted.empty())
      return Error{Code::already_exists, "Registered Model (name=" + name + ") already exists"};
    for (const Pair& tag : tags) TRY(put_tag(tx, call, made.model, tag));
    TRY(audit::record(tx, call, clock_.now(),
                      {"registry.model.created",
                       urn_of(made),
                       {{"name", name},
                        {"description", description},
                        {"tags", audited_tags(tags)},
                        {"is_prompt", marks_prompt(tags)}}}));
    return store::view(tx, call, std::move(made));
  });
}

Result<RegisteredModelView> RegisteredModels::get(const Call& call, const std::string& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<RegisteredModelView> {
    return store::view(tx, call, TRY(store::registered_model(tx, call, name)));
  });
}

Result<RegisteredModelView> RegisteredModels::describe(const Call& call, const std::string& name,
                                                       const std::string& description) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<RegisteredModelView> {
    RegisteredModel model = TRY(store::registered_model(tx, call, name));
    model.description = description;
    model.updated_at = now();
    TRY(
        tx.run("UPDATE registered_models SET description = $3, updated_at = $4 WHERE project = $1 "
               "AND name = $2",
               {call.project, name, description, model.updated_at}));
    return store::view(tx, call, std::move(model));
  });
}

Result<RegisteredModelView> RegisteredModels::rename(const Call& call, const std::string& name,
                                                     const std::string& to) {
  TRY(check_model_name(to, "new_name"));
  return db_.write(call, [&](sql::Tx& tx) -> Result<RegisteredModelView> {
    RegisteredModel model = TRY(store::registered_model(tx, call, name));
    if (to == name) return store::view(tx, call, std::move(model));
    if (!TRY(tx.run("SELECT 1 FROM registered_models WHERE project = $1 AND name = $2",
                    {call.project, to}))
             .empty())
      return Error{Code::already_exists, "Registered Model (name=" + to + ") already exists"};
    model.name = to;
    model.updated_at = now();
    TRY(
        tx.run("UPDATE registered_models SET name = $3, updated_at = $4 WHERE project = $1 AND "
               "name = $2",
               {call.project, name, to, model.updated_at}));
    TRY(
        tx.run("UPDATE version_notes SET name = $3, updated_at = $4 WHERE project = $1 AND model = "
               "$2",
               {call.project, model.model, to, model.updated_at}));
    TRY(audit::record(tx, call, clock_.now(),
                      {"registry.model.renamed", urn_of(model), {{"before", name}, {"name", to}}}));
    return store::view(tx, call, std::move(model));
  });
}

Result<void> RegisteredModels::remove(const Call& call, const std::string& name) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const RegisteredModel model = TRY(store::registered_model(tx, call, name));
    TRY(check_unused(tx, call, model.model, 0));
    TRY(tx.run("UPDATE version_notes SET hidden = TRUE WHERE project = $1 AND model = $2",
               {call.project, model.model}));
    for (const char* table :
         {"registered_model_tags", "model_aliases", "version_tags", "version_stages"})
      TRY(tx.run("DELETE FROM " + std::string(table) + " WHERE project = $1 AND model = $2",
                 {call.project, model.model}));
    TRY(tx.run("DELETE FROM registered_models WHERE project = $1 AND name = $2",
               {call.project, name}));
    return audit::record(tx, call, clock_.now(),
                         {"registry.model.deleted", urn_of(model), {{"name", name}}});
  });
}

Result<void> RegisteredModels::set_tag(const Call& call, const std::string& name, const Pair& tag) {
  TRY(check_model_tag(tag));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const RegisteredModel model = TRY(store::registered_model(tx, call, name));
    TRY(put_tag(tx, call, model.model, tag));
    TRY(touch(tx, model, now()));
    return audit::record(tx, call, clock_.now(),
                         {"registry.model.tag_set",
                          urn_of(model),
                          {{"name", model.name},
                           {"key", tag.key},
                           {"value", audited_value(tag.value)},
                           {"is_prompt", TRY(store::is_prompt(tx, call.project, model.model))}}});
  });
}

Result<void> RegisteredModels::remove_tag(const Call& call, const std::string& name,
                                          const std::string& key) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const RegisteredModel model = TRY(store::registered_model(tx, call, name));
    const bool is_prompt = TRY(store::is_prompt(tx, call.project, model.model));
    const auto gone = TRY(
        tx.run("DELETE FROM registered_model_tags WHERE project = $1 AND model = $2 AND key = $3 "
               "RETURNING key",
               {call.project, model.model, key}));
    if (gone.empty()) return {};
    TRY(touch(tx, model, now()));
    return audit::record(tx, call, clock_.now(),
                         {"registry.model.tag_removed",
                          urn_of(model),
                          {{"name", model.name}, {"key", key}, {"is_prompt", is_prompt}}});
  });
}

Result<Found<RegisteredModelView>> RegisteredModels::search(const Call& call,
                                                            const Search& search) {
  TRY(check_limit(search.limit));
  Compiled compiled = TRY(compile(Subject::registered_model, search.filter, search.order_by));
  Listing listing{.columns = columns_in<RegisteredModel>("t"),
                  .from = compiled.from("registered_models t"),
                  .order = std::move(compiled.order),
                  .parameters = std::move(compiled.parameters),
                  .limit = search.limit,
                  .page_token = search.page_token};
  listing.parameters.emplace_back(call.project);
  listing.where = "t.project = $" + std::to_string(listing.parameters.size()) + compiled.where();
  listing.order.push_back({"t.name", false});
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<RegisteredModelView>> {
    auto found = TRY(page_of<RegisteredModel>(tx, listing));
    return Found<RegisteredModelView>{TRY(store::views(tx, call, std::move(found.items))),
                                      std::move(found.next_page_token)};
  });
}

Result<std::vector<VersionView>> RegisteredModels::latest(const Call& call, const std::string& name,
                                                          const std::vector<Stage>& stages) {
  std::vector<VersionView> out;
  for (VersionView& one : TRY(get(call, name)).latest)
    if (stages.empty() || std::find(stages.begin(), stages.end(), one.stage) != stages.end())
      out.push_back(std::move(one));
  return out;
}

}  // namespace penstock::tracking
