#include "catalog/service.h"

#include <algorithm>
#include <set>

#include "audit/audit.h"
#include "catalog/classes.h"
#include "catalog/compatibility.h"
#include "catalog/lowerings.h"
#include "catalog/quality.h"
#include "catalog/store.h"

namespace penstock::catalog {
namespace {

// The faults of one declaration, all at once.
class Faults {
 public:
  void add(std::string field, std::string problem) {
    all_.push_back({std::move(field), std::move(problem)});
  }
  void add(const Error& error, const std::string& field) {
    if (error.violations.empty()) return add(field, error.message);
    all_.insert(all_.end(), error.violations.begin(), error.violations.end());
  }
  Result<void> result() && {
    if (all_.empty()) return {};
    std::string message = all_.front().field + " " + all_.front().problem;
    return Error{Code::invalid_argument, std::move(message), std::move(all_)};
  }

 private:
  std::vector<Violation> all_;
};

void check_names(const Source& source, Faults& faults) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < source.columns.size(); ++i)
    if (!seen.insert(source.columns[i].name).second)
      faults.add("columns[" + std::to_string(i) + "].name",
                 source.columns[i].name + " stands there twice");
  if (source.event_time) {
    const auto column =
        std::find_if(source.columns.begin(), source.columns.end(),
                     [&](const SourceColumn& c) { return c.name == *source.event_time; });
    if (column == source.columns.end())
      faults.add("event_time", "must be one of the columns");
    else if (column->type != ColumnType::timestamp)
      faults.add("event_time", "must be a column of type timestamp");
  }
  for (std::size_t i = 0; i < source.primary_key.size(); ++i)
    if (!seen.contains(source.primary_key[i]))
      faults.add("primary_key[" + std::to_string(i) + "]", "must be one of the columns");
  if (source.freshness && source.freshness->max_age <= Micros{0})
    faults.add("freshness.max_age", "must be more than 0");
  if (source.refresh_every && *source.refresh_every < std::chrono::seconds(10))
    faults.add("refresh_every", "must be at least 10s");
}

void check_checks(const Source& source, Faults& faults) {
  std::set<std::string> names;
  for (const SourceCheck& implied : implied_checks(source)) names.insert(implied.name);
  for (std::size_t i = 0; i < source.checks.size(); ++i) {
    const SourceCheck& check = source.checks[i];
    const std::string field = "checks[" + std::to_string(i) + "]";
    if (!names.insert(check.name).second)
      faults.add(field + ".name", check.name + " stands there twice");
    for (Violation& fault : faults_of(check, source, field))
      faults.add(std::move(fault.field), std::move(fault.problem));
    if (check.sql.empty()) continue;
    const auto select = check_select(check.sql, field + ".sql");
    if (!select) faults.add(select.error(), field + ".sql");
  }
}

Result<SourceView> view_of(sql::Tx& tx, const resources::Resource& resource) {
  SourceView view{.source = TRY(decode<Source>(resource.declaration)),
                  .version = resource.version,
                  .applied_at = resource.applied_at};
  for (const ColumnClass& column : TRY(column_classes(tx, resource.project, view.source)))
    view.classification = std::max(view.classification, column.classification);
  return view;
}

// What was declared before reads as it did: nobody needs to open its file again to say so.
bool unchanged(sql::Tx& tx, const Call& call, std::string_view kind, const std::string& name,
               const json::object& declaration) {
  const auto before = resources::get(tx, call.project, kind, name);
  return before && before->declaration == declaration;
}

// Rows of feature views are found by their entity's keys: with others, nobody would find them.
Result<void> check_same_keys(sql::Tx& tx, const Call& call, const Entity& entity, Faults& faults) {
  const auto before = resources::declared<Entity>(tx, call.project, "entity", entity.name);
  if (!before || encode(before->join_keys) == encode(entity.join_keys)) return {};
  std::string users;
  for (const auto& view : TRY(resources::list(tx, call.project, "feature_view")))
    for (std::int64_t version = view.version; version > 0; --version) {
      const auto one = TRY(resources::get(tx, call.project, "feature_view", view.name, version));
      const json::value* named = one.declaration.if_contains("entity");
      if (!named || *named != json::value(entity.name)) continue;
      users += (users.empty() ? "" : ", ") + std::string("feature_view:") + view.name;
      break;
    }
  if (!users.empty())
    faults.add("join_keys", "cannot change while views describe the entity by them (" + users +
                                "); declare an entity of another name, and views of it");
  return {};
}

Result<void> check_entity(sql::Tx& tx, const Call& call, const Entity& entity) {
  Faults faults;
  TRY(check_same_keys(tx, call, entity, faults));
  std::set<std::string> seen;
  for (std::size_t i = 0; i < entity.join_keys.size(); ++i) {
    const JoinKey& key = entity.join_keys[i];
    const std::string field = "join_keys[" + std::to_string(i) + "]";
    if (!seen.insert(key.name).second)
      faults.add(field + ".name", key.name + " stands there twice");
    if (key.type != ColumnType::text && key.type != ColumnType::bigint &&
        key.type != ColumnType::boolean)
      faults.add(field + ".type", "must be text, bigint or boolean: only these have one spelling");
  }
  return std::move(faults).result();
}

}  // namespace

void Service::register_kinds(resources::Service& resources) {
  resources.add(
      {.kind = "source",
       .check = resources::checked_as<Source>(
           [this](sql::Tx& tx, const Call& call, const Source& source) {
             return check_source(tx, call, source);
           }),
       .applied =
           [this](sql::Tx& tx, const Call& call, const resources::Resource& resource) {
             return source_applied(tx, call, resource);
           },
       .prepare = [this](const Call& call,
                         const json::object& declaration) { prepare_source(call, declaration); }});
  resources.add({.kind = "entity", .check = resources::checked_as<Entity>(check_entity)});
}

void Service::prepare_source(const Call& call, const json::object& declaration) {
  const auto source = decode<Source>(declaration);
  if (!source) return;
  const auto known = db_.read(call, [&](sql::Tx& tx) -> Result<bool> {
    return unchanged(tx, call, "source", source->name, encode(*source).as_object());
  });
  if (known && !*known) snapshots_.prepare(*source);
}

Result<void> Service::check_source(sql::Tx& tx, const Call& call, const Source& source) {
  if (unchanged(tx, call, "source", source.name, encode(source).as_object())) return {};
  Faults faults;
  check_names(source, faults);
  check_checks(source, faults);
  for (const Violation& fault : TRY(broken_compatibility(tx, call, source)))
    faults.add(fault.field, fault.problem);
  const auto place = snapshots_.place_faults(source);
  for (const Violation& fault : place) faults.add(fault.field, fault.problem);
  if (!place.empty()) return std::move(faults).result();
  for (Violation& fault : TRY(lowering_faults(tx, call, clock_.now(), source)))
    faults.add(std::move(fault.field), std::move(fault.problem));
  const auto session = TRY(olap_.session());
  const auto found = snapshots_.columns(*session, source);
  if (found) {
    for (const Violation& fault : drift(source, *found)) faults.add(fault.field, fault.problem);
    return std::move(faults).result();
  }
  const std::string field = source.postgres ? "postgres" : source.kafka ? "kafka" : "path";
  const Error& error = found.error();
  if (error.code == Code::invalid_argument && error.violations.empty() && !source.postgres &&
      !source.kafka)
    faults.add("path", source.path + " is no readable " + std::string(name_of(source.format)) +
                           " file: " + error.message);
  else if (!error.violations.empty() || source.postgres)
    faults.add(error, field);
  else
    return error;
  return std::move(faults).result();
}

Result<void> Service::source_applied(sql::Tx& tx, const Call& call,
                                     const resources::Resource& resource) {
  const Source after = TRY(decode<Source>(resource.declaration));
  TRY(store::schedule(tx, call.project, after, resource.applied_at));
  if (resource.version < 2) return keep_column_classes(tx, call.project, resource.name);
  TRY(classes_changed(tx, call.project, resource.name));
  const auto before = TRY(
      resources::declared<Source>(tx, call.project, "source", resource.name, resource.version - 1));
  for (const Difference& difference : differences(before, after))
    TRY(sql::insert(tx, "source_changes",
                    SourceChange{.project = call.project,
                                 .source = resource.name,
                                 .version = resource.version,
                                 .what = difference.what,
                                 .compatible = difference.compatible,
                                 .at = resource.applied_at,
                                 .actor = call.actor}));
  TRY(use_lowerings(tx, call, resource.applied_at, before, after, resource.version));
  const std::string urn = "source:" + resource.name + "@";
  return add_edge(tx, call, resource.applied_at, urn + std::to_string(resource.version),
                  urn + std::to_string(resource.version - 1), "follows");
}

Result<void> Service::keep_columns() {
  return db_.write({.actor = "service:start"}, [](sql::Tx& tx) -> Result<void> {
    const auto rows = TRY(
        tx.run("SELECT DISTINCT r.project, r.name FROM resources AS r WHERE r.kind = 'source' AND "
               "NOT EXISTS (SELECT 1 FROM source_columns AS c WHERE c.project = r.project AND "
               "c.source = r.name)",
               {}));
    for (const sql::Row& row : rows)
      TRY(keep_column_classes(tx, std::get<std::string>(row.at(0)),
                              std::get<std::string>(row.at(1))));
    return {};
  });
}

Result<SourceList> Service::list_sources(const Call& call) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<SourceList> {
    SourceList list;
    for (const auto& resource : TRY(resources::list(tx, call.project, "source")))
      list.sources.push_back(TRY(view_of(tx, resource)));
    return list;
  });
}

Result<SourceView> Service::show_source(const Call& call, const SourceName& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<SourceView> {
    const auto resource = TRY(resources::get(tx, call.project, "source", name.name));
    SourceView view = TRY(view_of(tx, resource));
    view.changes = TRY(store::changes(tx, call.project, name.name, Timestamp{}, 100));
    return view;
  });
}

Result<std::vector<VersionedSource>> sources_named(sql::Tx& tx, const std::string& project,
                                                   const std::vector<std::string>& names) {
  std::vector<VersionedSource> out;
  for (const std::string& name : names) {
    const auto resource = TRY(resources::get(tx, project, "source", name));
    out.push_back({TRY(decode<Source>(resource.declaration)), resource.version, resource.digest});
  }
  return out;
}

}  // namespace penstock::catalog
