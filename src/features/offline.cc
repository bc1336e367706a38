#include "features/offline.h"

#include <algorithm>
#include <filesystem>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "features/gates.h"
#include "features/pushed_rows.h"
#include "features/staged.h"
#include "features/transform/plan.h"
#include "features/windows/join.h"

namespace penstock::features {
namespace {

namespace files = std::filesystem;

// Small enough that a stretch of time reads few rows, large enough to have dictionaries. It is
// written and read more often than it is kept: snappy would make it a quarter smaller, and take a
// sixth longer to write and half as long again to read. Nobody looks for single values in it, so
// filters of them are not written.
constexpr std::string_view table_format =
    " (FORMAT parquet, COMPRESSION uncompressed, ROW_GROUP_SIZE 20480, WRITE_BLOOM_FILTER false)";
constexpr std::string_view staging = "features-staged";
constexpr int rows_looked_at = 10'000;
// Whoever reads a table began before it was replaced, and has ended so long after.
constexpr Micros reading_max = std::chrono::hours(1);

// What follows the path of a table's file where its rejected rows are.
constexpr const char* rejected_suffix = ".rejected.parquet";

std::string keys_in_sql(const ViewHandle& view) {
  std::string list;
  for (const catalog::JoinKey& key : view.keys)
    list += (list.empty() ? "" : ", ") + olap::quoted_name(key.name);
  return list;
}

}  // namespace

Offline::Offline(sql::Database& db, olap::Engine& olap, blob::Store& blobs,
                 catalog::Service& catalog, const Clock& clock, Options options)
    : db_(db),
      olap_(olap),
      blobs_(blobs),
      catalog_(catalog),
      clock_(clock),
      options_(std::move(options)),
      uploads_(options_.scratch + "/entity-rows", clock, options_.rows_bytes_max) {
  static_cast<void>(blobs_.remove(staging));  // of the server before
}

std::string Offline::staged_path() {
  std::string path = std::string(staging) + "/" + new_ulid(clock_.now()) + ".parquet";
  std::error_code ignored;
  files::create_directories(files::path(blobs_.uri(path)).parent_path(), ignored);
  return path;
}

std::string Offline::scan(const OfflineTable& table) const {
  return "read_parquet(" + olap::quoted_text(blobs_.uri(table.path)) + ")";
}

std::string Offline::scan_rejected(const OfflineTable& table) const {
  return "read_parquet(" + olap::quoted_text(blobs_.uri(table.path + rejected_suffix)) + ")";
}

Result<std::vector<catalog::SourceSnapshot>> Offline::snapshots_of(
    const std::vector<catalog::VersionedSource>& sources) {
  std::vector<catalog::SourceSnapshot> out;
  for (const catalog::VersionedSource& source : sources)
    out.push_back({source.urn(), TRY(catalog_.snapshot_digest(source.source))});
  return out;
}

// What was read is what the snapshots say: copies never change, files may while they are read.
Result<void> Offline::check_unchanged(const std::vector<catalog::VersionedSource>& sources,
                                      const std::vector<std::optional<std::string>>& read,
                                      const std::vector<catalog::SourceSnapshot>& before) {
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const auto& source = sources[i].source;
    const bool copied = i < read.size() && read[i];
    if (before[i].digest != (copied ? *read[i] : TRY(catalog_.snapshot_digest(source))))
      return Error{Code::unavailable,
                   "source " + source.name + " changed while it was read; ask again"};
  }
  return {};
}

Result<OfflineTable> Offline::table(const Call& call, const BoundView& view) {
  return table_of(call, view, TRY(snapshots_of(view.sources)));
}

Result<OfflineTable> Offline::table_of(const Call& call, const BoundView& view,
                                       const std::vector<catalog::SourceSnapshot>& snapshots) {
  Erasures erasures;
  PushedCounts pushed;
  TRY(db_.read(call, [&](sql::Tx& tx) -> Result<void> {
    erasures = TRY(erasures_of(tx, call.project, *view.handle));
    pushed = TRY(pushed_counts(tx, call.project, view.handle->view.name));
    return {};
  }));
  std::string text = view.digest;
  for (const catalog::SourceSnapshot& snapshot : snapshots) text += snapshot.digest;
  std::string digest = sha256_hex(text);
  if (!erasures.state.empty()) digest = sha256_hex(digest + erasures.state);
  if (pushed.row_count > 0) digest = sha256_hex(digest + pushed.state());
  const auto known = [&]() -> std::optional<OfflineTable> {
    const std::lock_guard hold(tables_turn_);
    const auto found = tables_.find(digest);
    return found == tables_.end() ? std::nullopt : std::optional(found->second);
  };
  if (auto found = known()) return std::move(*found);
  const std::lock_guard turn(making_);
  if (auto found = known()) return std::move(*found);
  const auto kept = TRY(kept_table(call, *view.handle, digest));
  OfflineTable table = kept ? *kept : TRY(make(call, view, digest, snapshots, erasures, pushed));
  const std::lock_guard hold(tables_turn_);
  tables_[digest] = table;
  return table;
}

Result<std::optional<OfflineTable>> Offline::kept_table(const Call& call, const ViewHandle& view,
                                                        const std::string& digest) {
  auto stored = TRY(db_.read(call, [&](sql::Tx& tx) {
    return sql::select<OfflineTable>(
        tx,
        "SELECT " + columns<OfflineTable>() +
            " FROM feature_tables WHERE project = $1 AND view = $2 AND version = $3 AND digest = "
            "$4",
        {call.project, view.view.name, view.version, digest});
  }));
  if (stored.empty() || !TRY(blobs_.exists(stored.front().path)))
    return std::optional<OfflineTable>();
  return std::optional(std::move(stored.front()));
}

// The first rows of the SQL tell whether entities have more than one, but for rare views.
OfflineRows& Offline::likely(olap::Session& session, const ViewHandle& handle) {
  const auto [place, fresh] =
      seen_.try_emplace(handle.prefix, OfflineRows{.tied = false, .repeated = true});
  if (!fresh || handle.windows) return place->second;
  const auto first = session.query("SELECT (count(*) - count(DISTINCT (" + keys_in_sql(handle) +
                                   ")))::BIGINT FROM (SELECT * FROM (\n" + handle.view.sql +
                                   "\n) LIMIT " + std::to_string(rows_looked_at) + ")");
  // What is wrong with the SQL, the evaluation says.
  place->second.repeated = !first || count_of(*first) > 0;
  return place->second;
}

// Most views have no two rows of one key with the same times, and sorting by all values as well is
// much of the work; so is looking which of an entity's rows counts, where each has one. Both are
// done where they are known to be needed: what was taken for granted is counted in what came out.
Result<void> Offline::evaluate(olap::Session& session, const ViewHandle& handle,
                               const std::string& file, OfflineTable& table) {
  const auto most = [&](const std::string& times) {
    return session.query(
        "SELECT coalesce(sum(n), 0)::BIGINT, coalesce(max(n), 0)::BIGINT FROM (SELECT count(*) AS "
        "n FROM read_parquet(" +
        olap::quoted_text(file) + ") GROUP BY " + keys_in_sql(handle) + times + ")");
  };
  OfflineRows& rows = likely(session, handle);
  for (;;) {
    TRY(session.run("COPY (" + offline_statement(handle, rows) + ") TO " + olap::quoted_text(file) +
                    std::string(table_format)));
    const auto counts = TRY(most(rows.repeated ? ", event_time" : ""));
    table.row_count = count_of(counts);
    const bool several = count_of(counts, 1) > 1;
    if (!rows.repeated && several) {
      rows.repeated = true;
      continue;
    }
    table.ties = several;
    if (rows.tied || handle.windows || !table.ties) return {};
    if (count_of(TRY(most(", event_time, created_time")), 1) <= 1) return {};
    rows.tied = true;
  }
}

Result<OfflineTable> Offline::make(const Call& call, const BoundView& view,
                                   const std::string& digest,
                                   const std::vector<catalog::SourceSnapshot>& snapshots,
                                   const Erasures& erasures, const PushedCounts& pushed) {
  OfflineTable table{.project = call.project,
                     .view = view.handle->view.name,
                     .version = view.handle->version,
                     .digest = digest,
                     .path = "features/" + call.project + "/" + view.handle->reference() + "/" +
                             digest + ".parquet",
                     .created_at = clock_.now()};
  const auto session = TRY(olap_.session());
  std::vector<catalog::Source> sources;
  for (const catalog::VersionedSource& source : view.sources) {
    sources.push_back(source.source);
    table.sources.push_back(source.urn());
  }
  const auto read = TRY(catalog_.snapshots().bind(*session, sources));
  const Staged staged(blobs_, staged_path());
  const ViewHandle handle = without_erased(
      TRY(with_pushed_rows(db_, *session, call, *view.handle, pushed)), erasures.all);
  const auto copied = evaluate(*session, handle, staged.uri(), table);
  if (!copied) TRY(check_unchanged(view.sources, read, snapshots));
  if (!copied && copied.error().code == Code::resource_exhausted)
    return more_needed(copied.error());
  if (!copied)
    return Error{copied.error().code == Code::invalid_argument ? Code::failed_precondition
                                                               : copied.error().code,
                 "feature view " + view.handle->reference() +
                     " could not be evaluated: " + copied.error().message};
  TRY(check_unchanged(view.sources, read, snapshots));
  if (!rejecting_condition(view.handle->view).empty()) {
    const Staged rejected(blobs_, staged_path());
    TRY(session->run("COPY (" + offline_statement(handle, OfflineRows(), true) + ") TO " +
                     olap::quoted_text(rejected.uri()) + std::string(table_format)));
    TRY(rejected.publish(table.path + rejected_suffix));
  }
  TRY(staged.publish(table.path));
  if (const auto kept = keep_table(call, view, table, erasures); !kept) {
    static_cast<void>(blobs_.remove(table.path));
    return kept.error();
  }
  drop_old_tables(*view.handle, table);
  return table;
}

// Each state of the sources left a table: without this a view whose source grows each minute would
// fill the disk with copies of itself.
void Offline::drop_old_tables(const ViewHandle& view, const OfflineTable& newest) {
  auto all = blobs_.list("features/" + newest.project + "/" + view.reference());
  if (!all) return;
  std::ranges::sort(*all, {}, &blob::Entry::modified);
  const Timestamp limit = clock_.now() - reading_max;
  std::size_t replaced = 0;  // those before it, so long ago that nobody reads them
  for (std::size_t i = 0; i < all->size(); ++i)
    if ((*all)[i].modified < limit && !(*all)[i].path.ends_with(rejected_suffix)) replaced = i;
  const auto moved = moved_from_ ? moved_from_(view) : std::optional<std::string>();
  if (!moved) return;  // it cannot be asked now
  for (std::size_t i = 0; i < replaced; ++i) {
    const std::string name = files::path((*all)[i].path).filename().string();
    const std::string digest = name.substr(0, name.find('.'));
    if (digest == newest.digest || digest == *moved) continue;
    {
      const std::lock_guard hold(tables_turn_);
      tables_.erase(digest);
    }
    static_cast<void>(blobs_.remove((*all)[i].path));
  }
}

Result<void> Offline::keep_table(const Call& call, const BoundView& view, const OfflineTable& table,
                                 const Erasures& erasures) {
  Call late = call;
  late.deadline = Timestamp::max();  // it may have taken long, and all of it was worth it
  return db_.write(late, [&](sql::Tx& tx) -> Result<void> {
    if (TRY(erasures_state(tx, call.project, *view.handle)) != erasures.state)
      return Error{Code::unavailable, "an entity was erased from " + view.handle->reference() +
                                          " while it was evaluated; ask again"};
    TRY(sql::insert(tx, "feature_tables", table,
                    "ON CONFLICT (project, view, version, digest) DO NOTHING"));
    for (const std::string& source : table.sources)
      TRY(catalog::add_edge(tx, call, table.created_at, view.handle->urn(), source, "reads"));
    return audit::record(tx, call, table.created_at,
                         {"features.view.evaluated",
                          view.handle->urn(),
                          {{"digest", table.digest}, {"row_count", table.row_count}}});
  });
}

Result<void> Offline::forget(const std::string& project,
                             const std::vector<std::shared_ptr<const ViewHandle>>& views) {
  const std::lock_guard turn(making_);
  {
    const std::lock_guard hold(tables_turn_);
    std::erase_if(tables_, [&](const auto& known) {
      const OfflineTable& table = known.second;
      return table.project == project &&
             std::any_of(views.begin(), views.end(), [&](const auto& view) {
               return view->view.name == table.view && view->version == table.version;
             });
    });
  }
  for (const auto& view : views)
    TRY(blobs_.remove("features/" + project + "/" + view->reference()));
  return {};
}

Result<void> Offline::bind_rows(const Call& call, olap::Session& session, const Rows& rows,
                                Joined& out) {
  const std::string& field = rows.field;
  TRY(catalog::check_select(rows.statement, field));
  const auto tables = session.tables_of(rows.statement);
  if (!tables) return at_field(tables.error(), field);
  const auto read = db_.read(call, [&](sql::Tx& tx) -> Result<void> {
    for (const std::string& table : *tables) {
      auto source = catalog::sources_named(tx, call.project, {table});
      if (source)
        out.of_rows.push_back(source->front());
      else if (source.error().code != Code::not_found)
        return source.error();
      // A name with a point or a slash would be opened as a file.
      else if (rows.closed || table.find_first_of("./") != std::string::npos)
        return Error{Code::invalid_argument,
                     field + " reads " + table + ", which is no source of project " + call.project,
                     {{field, "reads " + table + ", which is no source"}}};
    }
    return {};
  });
  if (!read) return read.error();
  std::vector<catalog::Source> sources;
  for (const catalog::VersionedSource& source : out.of_rows) {
    sources.push_back(source.source);
    out.urns.push_back(source.urn());
  }
  return catalog_.bind(session, sources);
}

namespace {

Result<void> check_columns(const SchemaHandle& schema, const std::vector<olap::Column>& columns,
                           const std::string& where) {
  const auto find = [&](const std::string& name) {
    return std::ranges::find(columns, name, &olap::Column::name);
  };
  const auto has = [&](const std::string& name) { return find(name) != columns.end(); };
  std::vector<Violation> faults;
  if (!has("event_time"))
    faults.push_back({where, "must give event_time, the instant of each row"});
  else if (find("event_time")->type != olap::Type::timestamp)
    faults.push_back({where, "gives event_time as " + find("event_time")->declared +
                                 "; make it a TIMESTAMPTZ, a TIMESTAMP (read as UTC) or a DATE, as "
                                 "event_time::TIMESTAMPTZ does"});
  for (const catalog::JoinKey& key : schema.keys)
    if (!has(key.name)) faults.push_back({where, "must give the join key " + key.name});
  transform::check_inputs(schema, columns, where, faults);
  for (const std::string& name : schema.names)
    if (has(name)) faults.push_back({where, "gives " + name + ", which is a feature: rename it"});
  if (faults.empty()) return {};
  std::string message = faults.front().field + " " + faults.front().problem;
  return Error{Code::invalid_argument, std::move(message), std::move(faults)};
}

}  // namespace

Result<std::string> Offline::with_transforms(olap::Session& session, const SchemaHandle& schema,
                                             const Joined& joined, const std::string& statement,
                                             const JoinOptions& options) {
  if (!schema.plan) return statement;
  return transform::computed_statement(session, schema, joined.columns, statement, options);
}

Result<Offline::Joined> Offline::join(const Call& call, olap::Session& session,
                                      const SchemaHandle& schema, const Rows& rows,
                                      const JoinOptions& options) {
  Joined out;
  for (const auto& view : schema.views) {
    const auto bound =
        TRY(db_.read(call, [&](sql::Tx& tx) { return bind_view(tx, call.project, view); }));
    const auto snapshots = TRY(snapshots_of(bound.sources));
    const OfflineTable made = TRY(table_of(call, bound, snapshots));
    out.views.push_back({view.get(), scan(made), made.ties, made.row_count});
    out.urns.push_back(view->urn());
    out.urns.insert(out.urns.end(), made.sources.begin(), made.sources.end());
    out.of_views.insert(out.of_views.end(), bound.sources.begin(), bound.sources.end());
    out.snapshots.push_back({view->urn(), made.digest});
    out.snapshots.insert(out.snapshots.end(), snapshots.begin(), snapshots.end());
  }
  if (rows.reads_sources) TRY(bind_rows(call, session, rows, out));
  const auto columns = session.describe(rows.statement);
  if (!columns) return at_field(columns.error(), rows.field);
  TRY(check_columns(schema, *columns, rows.field));
  std::ranges::sort(out.urns);
  out.urns.erase(std::unique(out.urns.begin(), out.urns.end()), out.urns.end());
  out.columns = *columns;
  const auto windowed =
      windows::join_all(olap_, session, out.views, rows.statement, options.known_as_of,
                        [&] { return blobs_.uri(staged_path()); });
  if (!windowed) return at_field(windowed.error(), rows.field);
  JoinOptions as_they_are = options;
  if (schema.plan) as_they_are.numbers = false;
  out.statement = TRY(with_transforms(
      session, schema, out, join_statement(schema, out.views, *windowed, as_they_are), options));
  return out;
}

}  // namespace penstock::features
