// Versions as MLflow's client registers them: each is a record of the registry, filled from the run
// that made it.
#include <algorithm>
#include <array>

#include "audit/audit.h"
#include "catalog/lineage.h"
#include "tracking/lineage.h"
#include "tracking/registered_models.h"
#include "tracking/registered_store.h"
#include "tracking/search.h"
#include "tracking/store.h"
#include "tracking/webhook_payloads.h"

namespace penstock::tracking {
namespace {

std::string urn_of(const VersionNote& note) {
  return "model:" + note.model + "@v" + std::to_string(note.version);
}

// What MLflow has no field for is said in tags of the new version: "penstock.owner" and the like.
struct TagField {
  std::string_view tag;
  std::optional<std::string> registry::Record::*member;
};
constexpr std::array tag_fields = {
    TagField{"penstock.owner", &registry::Record::owner},
    TagField{"penstock.training_data", &registry::Record::training_data},
    TagField{"penstock.feature_schema", &registry::Record::feature_schema},
    TagField{"penstock.eval_report", &registry::Record::eval_report},
    TagField{"penstock.approved_for", &registry::Record::approved_for},
    TagField{"penstock.rollback_to", &registry::Record::rollback_to},
    TagField{"penstock.runtime", &registry::Record::runtime},
    TagField{"penstock.licence", &registry::Record::licence},
    TagField{"penstock.risk_class", &registry::Record::risk_class},
};

// Newer clients name the logged model alone; the run that wrote it is its run.
Result<std::string> run_of(sql::Tx& tx, const Call& call, const CreateVersion& input) {
  if (!input.run.empty() || input.logged_model.empty()) return input.run;
  const auto found =
      TRY(tx.run("SELECT source_run FROM logged_models WHERE project = $1 AND id = $2",
                 {call.project, input.logged_model}));
  return found.empty() ? "" : std::get<std::string>(found.front().at(0));
}

// Metrics, training data and evaluation as the run has them now. Metrics of the training itself are
// no evaluation.
Result<void> fill_from_run(sql::Tx& tx, const Call& call, const std::string& id,
                           registry::Record& record) {
  record.run = id;
  auto runs = TRY(store::run(tx, call.project, id));
  if (runs.empty()) return {};
  const RunDetail run = std::move(TRY(store::details(tx, std::move(runs))).front());
  for (const Metric& metric : run.metrics) {
    if (metric.is_nan) continue;
    record.metrics[metric.key] = metric.value;
    if (!metric.key.starts_with("train")) record.eval_report = "run:" + id;
  }
  for (const DatasetInput& input : run.datasets)
    if (const auto dataset = TRY(catalog_dataset(tx, call, input));
        dataset && (!record.training_data || input.context.starts_with("train")))
      record.training_data = *dataset;
  return {};
}

// What serves now, else the newest: nothing before the first version.
Result<std::optional<std::string>> way_back(sql::Tx& tx, const Call& call,
                                            const std::string& model) {
  auto found = TRY(tx.run(
      "SELECT s.version FROM version_stages s JOIN version_notes v ON v.project = s.project "
      "AND v.model = s.model AND v.version = s.version AND NOT v.hidden WHERE s.project = $1 "
      "AND s.model = $2 AND s.stage = 'Production' ORDER BY s.version DESC LIMIT 1",
      {call.project, model}));
  if (found.empty())
    found = TRY(
        tx.run("SELECT version FROM version_notes WHERE project = $1 AND model = $2 AND NOT hidden "
               "ORDER BY version DESC LIMIT 1",
               {call.project, model}));
  if (found.empty()) return std::optional<std::string>();
  return std::optional(model + "-v" + std::to_string(std::get<std::int64_t>(found[0].at(0))));
}

Result<registry::Record> record_of(sql::Tx& tx, const Call& call, const RegisteredModel& model,
                                   const CreateVersion& input,
                                   const std::optional<registry::Artifact>& artifact) {
  registry::Record record{.model_id = model.model, .artifact_uri = input.source};
  if (artifact) {
    record.artifact_uri = artifact->uri;
    record.artifact_digest = artifact->digest;
  }
  record.owner = call.actor;
  record.rollback_to = TRY(way_back(tx, call, model.model));
  if (!input.description.empty()) record.description = input.description;
  if (const std::string run = TRY(run_of(tx, call, input)); !run.empty())
    TRY(fill_from_run(tx, call, run, record));
  for (const Pair& tag : input.tags)
    for (const TagField& field : tag_fields)
      if (field.tag == tag.key && !tag.value.empty()) record.*field.member = tag.value;
  return record;
}

Result<void> put_tag(sql::Tx& tx, const VersionNote& note, const Pair& tag) {
  TRY(
      tx.run("INSERT INTO version_tags (project, model, version, key, value) VALUES ($1, $2, $3, "
             "$4, $5) ON CONFLICT (project, model, version, key) DO UPDATE SET value = "
             "excluded.value",
             {note.project, note.model, note.version, tag.key, tag.value}));
  return {};
}

}  // namespace

namespace {

constexpr std::string_view own_root = "mlflow-artifacts:/", run_root = "runs:/",
                           model_root = "models:/";

// Where the files of a version are: sources may name a run, a logged model, or another version.
Result<std::string> place_of(sql::Tx& tx, const Call& call, std::string source,
                             std::string logged_model) {
  for (int i = 0; i < 10 && logged_model.empty() && source.starts_with(model_root); ++i) {
    const std::string rest = source.substr(model_root.size());
    const std::size_t slash = rest.rfind('/');
    if (slash == std::string::npos) {
      logged_model = rest;
      break;
    }
    const auto number = registry::version_number(rest.substr(slash + 1));
    if (!number) return source;
    const auto model = store::registered_model(tx, call, rest.substr(0, slash));
    if (!model) return source;
    const auto note = store::note(tx, call, *model, *number);
    if (!note) return source;
    source = note->source;
    logged_model = note->logged_model;
  }
  if (!logged_model.empty()) {
    const auto found =
        TRY(tx.run("SELECT artifact_uri FROM logged_models WHERE project = $1 AND id = $2",
                   {call.project, logged_model}));
    return found.empty() ? source : std::get<std::string>(found.front().at(0));
  }
  if (!source.starts_with(run_root)) return source;
  const std::string rest = source.substr(run_root.size());
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const auto run = TRY(store::run(tx, call.project, rest.substr(0, slash)));
  return run.empty() ? source : run.front().artifact_uri + rest.substr(slash);
}

// The folder of tracking's artifacts that a source stands for; empty where it is none.
Result<std::string> folder_of(sql::Tx& tx, const Call& call, const CreateVersion& input) {
  std::string place = TRY(place_of(tx, call, input.source, input.logged_model));
  if (!place.starts_with(own_root)) return std::string();
  place.erase(0, own_root.size());
  while (place.starts_with('/')) place.erase(0, 1);
  while (place.ends_with('/')) place.pop_back();
  return place;
}

}  // namespace

Result<std::optional<registry::Artifact>> RegisteredModels::keep(const Call& call,
                                                                 const CreateVersion& input) {
  if (!tracked_ || !kept_) return std::optional<registry::Artifact>();
  const std::string folder =
      TRY(db_.read(call, [&](sql::Tx& tx) { return folder_of(tx, call, input); }));
  if (folder.empty()) return std::optional<registry::Artifact>();
  std::vector<registry::ArtifactFile> files;
  for (ArtifactFile& file : TRY(tracked_->files(call, folder)))
    files.push_back({file.path.substr(folder.size() + 1), std::move(file.digest), file.size});
  if (files.empty()) return std::optional<registry::Artifact>();
  return std::optional(TRY(kept_->adopt(files)));
}

Result<VersionView> RegisteredModels::create_version(const Call& call, const CreateVersion& input) {
  for (const Pair& tag : input.tags) TRY(check_model_tag(tag));
  const auto artifact = TRY(keep(call, input));
  return db_.write(call, [&](sql::Tx& tx) -> Result<VersionView> {
    const RegisteredModel model = TRY(store::registered_model(tx, call, input.model));
    const auto record = TRY(record_of(tx, call, model, input, artifact));
    const auto made = TRY(registry_.register_version(tx, call, record,
                                                     {{"name", input.model},
                                                      {"source", input.source},
                                                      {"run_id", input.run},
                                                      {"description", input.description},
                                                      {"tags", audited_tags(input.tags)},
                                                      {"is_prompt", marks_prompt(input.tags)}}));
    TRY(
        tx.run("UPDATE version_notes SET source = $4, logged_model = $5, description = $6 WHERE "
               "project = $1 AND model = $2 AND version = $3",
               {call.project, made.model, made.version, input.source, input.logged_model,
                input.description}));
    const VersionNote note = TRY(store::note(tx, call, model, made.version));
    for (const Pair& tag : input.tags) TRY(put_tag(tx, note, tag));
    if (!input.logged_model.empty())
      TRY(catalog::add_edge(tx, call, clock_.now(), made.urn(),
                            "logged_model:" + input.logged_model, "made_from"));
    return store::view(tx, call, note);
  });
}

Result<VersionView> RegisteredModels::version(const Call& call, const std::string& model,
                                              std::int64_t number) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<VersionView> {
    const RegisteredModel found = TRY(store::registered_model(tx, call, model));
    return store::view(tx, call, TRY(store::note(tx, call, found, number)));
  });
}

Result<VersionView> RegisteredModels::describe_version(const Call& call, const std::string& model,
                                                       std::int64_t number,
                                                       const std::string& description) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<VersionView> {
    const RegisteredModel found = TRY(store::registered_model(tx, call, model));
    VersionNote note = TRY(store::note(tx, call, found, number));
    note.description = description;
    note.updated_at = now();
    TRY(
        tx.run("UPDATE version_notes SET description = $4, updated_at = $5 WHERE project = $1 AND "
               "model = $2 AND version = $3",
               {call.project, note.model, number, description, note.updated_at}));
    return store::view(tx, call, std::move(note));
  });
}

Result<void> RegisteredModels::remove_version(const Call& call, const std::string& model,
                                              std::int64_t number) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const RegisteredModel found = TRY(store::registered_model(tx, call, model));
    const VersionNote note = TRY(store::note(tx, call, found, number));
    TRY(check_unused(tx, call, note.model, number));
    const sql::Row key{call.project, note.model, number};
    const std::string where = " WHERE project = $1 AND model = $2 AND version = $3";
    TRY(tx.run("UPDATE version_notes SET hidden = TRUE" + where, key));
    TRY(tx.run("DELETE FROM model_aliases" + where, key));
    TRY(tx.run("DELETE FROM version_stages" + where, key));
    return audit::record(tx, call, clock_.now(), {"registry.version.hidden", urn_of(note), {}});
  });
}

Result<std::string> RegisteredModels::download_uri(const Call& call, const std::string& model,
                                                   std::int64_t number) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<std::string> {
    const RegisteredModel of = TRY(store::registered_model(tx, call, model));
    const VersionNote note = TRY(store::note(tx, call, of, number));
    return place_of(tx, call, note.source, note.logged_model);
  });
}

Result<std::optional<std::string>> RegisteredModels::own_file(const Call& call,
                                                              const std::string& model,
                                                              std::int64_t number,
                                                              const std::string& path) {
  const std::string uri = TRY(db_.read(call, [&](sql::Tx& tx) -> Result<std::string> {
    const RegisteredModel of = TRY(store::registered_model(tx, call, model));
    TRY(store::note(tx, call, of, number));
    return TRY(registry::version(tx, call.project, of.model, number)).record.artifact_uri;
  }));
  if (!kept_ || !TRY(kept_->exists(uri))) return std::optional<std::string>();
  for (const registry::ArtifactFile& file : TRY(kept_->contents(uri)))
    if (file.path == path) return std::optional(file.digest);
  return std::optional<std::string>();
}

Result<void> RegisteredModels::set_version_tag(const Call& call, const std::string& model,
                                               std::int64_t number, const Pair& tag) {
  TRY(check_model_tag(tag));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const RegisteredModel found = TRY(store::registered_model(tx, call, model));
    const VersionNote note = TRY(store::note(tx, call, found, number));
    TRY(put_tag(tx, note, tag));
    return audit::record(tx, call, clock_.now(),
                         {"registry.version.tag_set",
                          urn_of(note),
                          {{"name", found.name},
                           {"key", tag.key},
                           {"value", audited_value(tag.value)},
                           {"is_prompt", TRY(store::is_prompt(tx, call.project, note.model))}}});
  });
}

Result<void> RegisteredModels::remove_version_tag(const Call& call, const std::string& model,
                                                  std::int64_t number, const std::string& key) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const RegisteredModel found = TRY(store::registered_model(tx, call, model));
    const VersionNote note = TRY(store::note(tx, call, found, number));
    const auto gone = TRY(
        tx.run("DELETE FROM version_tags WHERE project = $1 AND model = $2 AND version = $3 AND "
               "key = $4 RETURNING key",
               {call.project, found.model, number, key}));
    if (gone.empty()) return {};
    return audit::record(tx, call, clock_.now(),
                         {"registry.version.tag_removed",
                          urn_of(note),
                          {{"name", found.name},
                           {"key", key},
                           {"is_prompt", TRY(store::is_prompt(tx, call.project, note.model))}}});
  });
}

Result<Found<VersionView>> RegisteredModels::search_versions(const Call& call,
                                                             const Search& search) {
  TRY(check_limit(search.limit));
  Compiled compiled = TRY(compile(Subject::model_version, search.filter, search.order_by));
  Listing listing{.columns = columns_in<VersionNote>("t"),
                  .from = compiled.from("version_notes t"),
                  .order = std::move(compiled.order),
                  .parameters = std::move(compiled.parameters),
                  .limit = search.limit,
                  .page_token = search.page_token};
  listing.parameters.emplace_back(call.project);
  listing.where = "NOT t.hidden AND t.project = $" + std::to_string(listing.parameters.size()) +
                  compiled.where();
  // A filter is better looked up than sought for along the index of the usual order: "+" keeps both
  // databases from using that.
  if (listing.order.empty())
    listing.order.push_back({compiled.conditions.empty() ? "t.updated_at" : "+t.updated_at", true});
  listing.order.push_back({"t.name", false});
  listing.order.push_back({"t.version", true});
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<VersionView>> {
    auto found = TRY(page_of<VersionNote>(tx, listing));
    return Found<VersionView>{TRY(store::views(tx, call, std::move(found.items))),
                              std::move(found.next_page_token)};
  });
}

}  // namespace penstock::tracking
