#include "catalog/service.h"

#include <algorithm>
#include <set>

#include "audit/audit.h"
#include "catalog/classes.h"
#include "catalog/lowerings.h"
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

ColumnType type_of(const olap::Column& column) {
  switch (column.type) {
    case olap::Type::boolean: return ColumnType::boolean;
    case olap::Type::bigint: return ColumnType::bigint;
    case olap::Type::real: return ColumnType::real;
    case olap::Type::timestamp: return ColumnType::timestamp;
    case olap::Type::decimal: return ColumnType::decimal;
    case olap::Type::text:
    case olap::Type::other: return ColumnType::text;
  }
  return ColumnType::text;
}

// A file may say a type in its own way where nothing is lost by reading it as the declared one. CSV
// has no types of its own: what DuckDB guesses there binds nobody.
bool reads_as(const Source& source, const olap::Column& found, ColumnType declared) {
  if (source.format == Format::csv) return true;
  const ColumnType type = type_of(found);
  return type == declared || (type == ColumnType::bigint && declared == ColumnType::real) ||
         (type == ColumnType::decimal && declared == ColumnType::real);
}

void compare_columns(const Source& source, const std::vector<olap::Column>& found, Faults& faults) {
  for (std::size_t i = 0; i < source.columns.size(); ++i) {
    const SourceColumn& column = source.columns[i];
    const std::string field = "columns[" + std::to_string(i) + "]";
    const auto match = std::find_if(found.begin(), found.end(),
                                    [&](const olap::Column& c) { return c.name == column.name; });
    if (match == found.end())
      faults.add(field + ".name", column.name + " is not a column of " + source.path);
    else if (!reads_as(source, *match, column.type))
      faults.add(field + ".type", column.name + " is " + match->declared + " in " + source.path +
                                      ", not " + std::string(name_of(column.type)));
  }
  for (const olap::Column& column : found)
    if (std::none_of(source.columns.begin(), source.columns.end(),
                     [&](const SourceColumn& c) { return c.name == column.name; }))
      faults.add("columns", "must declare " + column.name + " (" + column.declared +
                                "), which is a column of " + source.path +
                                ": nobody classified it");
}

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
  std::set<std::string> checks;
  for (std::size_t i = 0; i < source.checks.size(); ++i) {
    const std::string field = "checks[" + std::to_string(i) + "]";
    if (!checks.insert(source.checks[i].name).second)
      faults.add(field + ".name", source.checks[i].name + " stands there twice");
    const auto select = check_select(source.checks[i].sql, field + ".sql");
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

Result<void> check_entity(sql::Tx&, const Call&, const Entity& entity) {
  Faults faults;
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

Result<void> check_policy(sql::Tx&, const Call&, const Policy& policy) {
  Faults faults;
  const auto select = check_select(policy.sql, "sql");
  if (!select) faults.add(select.error(), "sql");
  if (policy.sql.find("$2") == std::string::npos)
    faults.add("sql", "must name $2, the project, so that it sees no other project's rows");
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
       .applied = [this](sql::Tx& tx, const Call& call, const resources::Resource& resource) {
         return source_applied(tx, call, resource);
       }});
  resources.add({.kind = "entity", .check = resources::checked_as<Entity>(check_entity)});
  resources.add({.kind = "policy", .check = resources::checked_as<Policy>(check_policy)});
}

Result<void> Service::check_source(sql::Tx& tx, const Call& call, const Source& source) {
  if (unchanged(tx, call, "source", source.name, encode(source).as_object())) return {};
  Faults faults;
  check_names(source, faults);
  const auto path = local_path(source.path);
  if (!path) {
    faults.add(path.error(), "path");
    return std::move(faults).result();
  }
  for (Violation& fault : TRY(lowering_faults(tx, call, clock_.now(), source)))
    faults.add(std::move(fault.field), std::move(fault.problem));
  const auto session = TRY(olap_.session());
  const auto found = session->describe(
      std::string("SELECT * FROM ") + (source.format == Format::csv ? "read_csv" : "read_parquet") +
      "(" + olap::quoted_text(*path) + ")");
  if (found)
    compare_columns(source, *found, faults);
  else if (found.error().code == Code::not_found)
    faults.add("path", "there is no file " + *path);
  else if (found.error().code == Code::invalid_argument)
    faults.add("path", *path + " is no readable " + std::string(name_of(source.format)) +
                           " file: " + found.error().message);
  else
    return found.error();
  return std::move(faults).result();
}

Result<void> Service::source_applied(sql::Tx& tx, const Call& call,
                                     const resources::Resource& resource) {
  if (resource.version < 2) return {};
  const auto before = TRY(
      resources::declared<Source>(tx, call.project, "source", resource.name, resource.version - 1));
  const Source after = TRY(decode<Source>(resource.declaration));
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

Result<CheckReport> Service::run_checks(const Call& call, const SourceName& name) {
  std::vector<VersionedSource> all;
  VersionedSource mine;
  const auto found = db_.read(call, [&](sql::Tx& tx) -> Result<void> {
    mine = TRY(sources_named(tx, call.project, {name.name})).front();
    std::vector<std::string> names;
    for (const auto& resource : TRY(resources::list(tx, call.project, "source")))
      names.push_back(resource.name);
    all = TRY(sources_named(tx, call.project, names));
    return {};
  });
  if (!found) return found.error();
  CheckReport report{.source = mine.urn(), .snapshot_digest = TRY(snapshot_digest(mine.source))};
  const auto session = TRY(olap_.session());
  // A check may compare its source with others, and only with these.
  std::set<std::string> wanted{name.name};
  for (const SourceCheck& check : mine.source.checks)
    if (const auto tables = session->tables_of(check.sql))
      wanted.insert(tables->begin(), tables->end());
  std::vector<Source> bound;
  for (const VersionedSource& source : all)
    if (wanted.contains(source.source.name)) bound.push_back(source.source);
  TRY(bind(*session, bound));
  const auto rows = TRY(session->query("SELECT count(*) FROM " + olap::quoted_name(name.name)));
  report.row_count = std::get<std::int64_t>(rows.rows.at(0).at(0));
  for (const SourceCheck& check : mine.source.checks) {
    report.checks.push_back(TRY(run_check(*session, check)));
    if (!report.checks.back().passed && check.severity == CheckSeverity::error)
      report.passed = false;
  }
  return report;
}

// One whole number alone is a count of violations; else each row is one.
Result<CheckResult> Service::run_check(olap::Session& session, const SourceCheck& check) {
  CheckResult result{.name = check.name, .severity = check.severity};
  const auto columns = session.describe(check.sql);
  if (!columns) {
    result.fault = columns.error().message;
    return result;
  }
  const bool may_count = columns->size() == 1 && columns->front().type == olap::Type::bigint;
  const std::string rows = "(\n" + check.sql + "\n) AS violations";
  const auto table = session.query(may_count ? "SELECT count(*), any_value(columns(*)) FROM " + rows
                                             : "SELECT count(*), NULL FROM " + rows);
  if (!table) {
    if (table.error().code == Code::unavailable || table.error().code == Code::internal)
      return table.error();
    result.fault = table.error().message;
    return result;
  }
  const auto& row = table->rows.at(0);
  result.violations = std::get<std::int64_t>(row.at(0));
  if (may_count && result.violations == 1)
    if (const auto* counted = std::get_if<std::int64_t>(&row.at(1))) result.violations = *counted;
  result.passed = result.violations == 0;
  return result;
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
