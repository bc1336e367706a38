#include "features/offline.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "features/gates.h"
#include "features/gather.h"
#include "features/transform/plan.h"
#include "features/windows/join.h"
#include "policies/service.h"

namespace penstock::features {
namespace {

namespace files = std::filesystem;

// Small enough that a stretch of time reads few rows, large enough to compress well.
constexpr std::string_view table_format =
    " (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)";
constexpr std::string_view output_format =
    " (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)";

// What follows the path of a table's file where its rejected rows are.
constexpr const char* rejected_suffix = ".rejected.parquet";

// Gone with its owner, whatever happened to it.
class Staged {
 public:
  explicit Staged(std::string path) : path_(std::move(path)) {}
  Staged(const Staged&) = delete;
  ~Staged() {
    std::error_code ignored;
    files::remove(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Result<std::string> digest_of_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  Sha256Stream stream;
  std::string buffer(1 << 20, '\0');
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0)
    stream.update({buffer.data(), static_cast<std::size_t>(in.gcount())});
  if (!in.eof()) return Error{Code::unavailable, path + " could not be read"};
  return to_hex(stream.finish());
}

// What spilling could not make up for.
Error more_needed(const Error& error) {
  return {error.code,
          "the join needs more than limits.join_memory_bytes and limits.join_spill_bytes of "
          "penstock.yaml give it: raise them, or ask for fewer rows or features; " +
              error.message};
}

Error at_field(const Error& error, const std::string& field) {
  if (error.code != Code::invalid_argument || !error.violations.empty()) return error;
  return {error.code, field + ": " + error.message, {{field, error.message}}};
}

std::int64_t count_of(const olap::Table& table, std::size_t column = 0) {
  return std::get<std::int64_t>(table.rows.at(0).at(column));
}

}  // namespace

Offline::Offline(sql::Database& db, olap::Engine& olap, blob::Store& blobs,
                 catalog::Service& catalog, const Clock& clock, Options options)
    : db_(db),
      olap_(olap),
      blobs_(blobs),
      catalog_(catalog),
      clock_(clock),
      options_(std::move(options)) {}

std::string Offline::staged_path() {
  std::error_code ignored;
  files::create_directories(options_.scratch, ignored);
  return (files::path(options_.scratch) / ("features-" + new_ulid(clock_.now()) + ".parquet"))
      .string();
}

std::string Offline::scan(const OfflineTable& table) const {
  return "read_parquet(" + olap::quoted_text(blobs_.uri(table.path)) + ")";
}

std::string Offline::scan_rejected(const OfflineTable& table) const {
  return "read_parquet(" + olap::quoted_text(blobs_.uri(table.path + rejected_suffix)) + ")";
}

Result<std::string> Offline::digest_of(const BoundView& view) {
  std::string text = view.digest;
  for (const catalog::VersionedSource& source : view.sources)
    text += TRY(catalog_.snapshot_digest(source.source));
  return sha256_hex(text);
}

Result<std::string> Offline::digest_with(const BoundView& view, const Erasures& erasures) {
  const std::string digest = TRY(digest_of(view));
  return erasures.state.empty() ? digest : sha256_hex(digest + erasures.state);
}

Result<OfflineTable> Offline::table(const Call& call, const BoundView& view) {
  const Erasures erasures =
      TRY(db_.read(call, [&](sql::Tx& tx) { return erasures_of(tx, call.project, *view.handle); }));
  const std::string digest = TRY(digest_with(view, erasures));
  const auto known = [&]() -> std::optional<OfflineTable> {
    const std::lock_guard hold(tables_turn_);
    const auto found = tables_.find(digest);
    return found == tables_.end() ? std::nullopt : std::optional(found->second);
  };
  if (auto found = known()) return std::move(*found);
  const std::lock_guard turn(making_);
  if (auto found = known()) return std::move(*found);
  const auto stored = db_.read(call, [&](sql::Tx& tx) {
    return sql::select<OfflineTable>(
        tx,
        "SELECT " + columns<OfflineTable>() +
            " FROM feature_tables WHERE project = $1 AND view = $2 AND version = $3 AND digest = "
            "$4",
        {call.project, view.handle->view.name, view.handle->version, digest});
  });
  if (!stored) return stored.error();
  const bool there = !stored->empty() && TRY(blobs_.exists(stored->front().path));
  OfflineTable table = there ? stored->front() : TRY(make(call, view, digest, erasures));
  const std::lock_guard hold(tables_turn_);
  tables_[digest] = table;
  return table;
}

Result<OfflineTable> Offline::make(const Call& call, const BoundView& view,
                                   const std::string& digest, const Erasures& erasures) {
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
  TRY(catalog_.bind(*session, sources));
  const Staged staged(staged_path());
  const auto copied =
      session->run("COPY (" + offline_statement(without_erased(*view.handle, erasures.all)) +
                   ") TO " + olap::quoted_text(staged.path()) + std::string(table_format));
  if (!copied && TRY(digest_with(view, erasures)) != digest)
    return Error{Code::unavailable, "sources of feature view " + view.handle->reference() +
                                        " changed while they were read; ask again"};
  if (!copied)
    return Error{copied.error().code == Code::invalid_argument ? Code::failed_precondition
                                                               : copied.error().code,
                 "feature view " + view.handle->reference() +
                     " could not be evaluated: " + copied.error().message};
  std::string keys;
  for (const catalog::JoinKey& key : view.handle->keys) keys += olap::quoted_name(key.name) + ", ";
  const auto counts = TRY(session->query(
      "SELECT coalesce(sum(n), 0)::BIGINT, coalesce(max(n), 0)::BIGINT FROM (SELECT count(*) AS n "
      "FROM read_parquet(" +
      olap::quoted_text(staged.path()) + ") GROUP BY " + keys + "event_time)"));
  table.row_count = count_of(counts);
  table.ties = count_of(counts, 1) > 1;
  if (!rejecting_condition(view.handle->view).empty()) {
    const Staged rejected(staged_path());
    TRY(session->run("COPY (" +
                     offline_statement(without_erased(*view.handle, erasures.all), true) + ") TO " +
                     olap::quoted_text(rejected.path()) + std::string(table_format)));
    TRY(blobs_.put_local(table.path + rejected_suffix, rejected.path()));
  }
  TRY(blobs_.put_local(table.path, staged.path()));
  if (const auto kept = keep(call, view, table, erasures); !kept) {
    static_cast<void>(blobs_.remove(table.path));
    return kept.error();
  }
  return table;
}

Result<void> Offline::keep(const Call& call, const BoundView& view, const OfflineTable& table,
                           const Erasures& erasures) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
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

Result<void> Offline::bind_rows(const Call& call, olap::Session& session, const std::string& rows,
                                const std::string& field, bool closed,
                                std::vector<std::string>& urns) {
  TRY(catalog::check_select(rows, field));
  const auto tables = session.tables_of(rows);
  if (!tables) return at_field(tables.error(), field);
  std::vector<catalog::VersionedSource> named;
  const auto read = db_.read(call, [&](sql::Tx& tx) -> Result<void> {
    for (const std::string& table : *tables) {
      auto source = catalog::sources_named(tx, call.project, {table});
      if (source)
        named.push_back(source->front());
      else if (source.error().code != Code::not_found)
        return source.error();
      // A name with a point or a slash would be opened as a file.
      else if (closed || table.find_first_of("./") != std::string::npos)
        return Error{Code::invalid_argument,
                     field + " reads " + table + ", which is no source of project " + call.project,
                     {{field, "reads " + table + ", which is no source"}}};
    }
    return {};
  });
  if (!read) return read.error();
  std::vector<catalog::Source> sources;
  for (const catalog::VersionedSource& source : named) {
    sources.push_back(source.source);
    urns.push_back(source.urn());
  }
  return catalog_.bind(session, sources);
}

Result<std::string> Offline::with_transforms(olap::Session& session, const SchemaHandle& schema,
                                             const Joined& joined, const std::string& statement,
                                             const JoinOptions& options) {
  if (!schema.plan) return statement;
  return transform::computed_statement(session, schema, joined.columns, statement, options);
}

Result<Offline::Joined> Offline::join(const Call& call, olap::Session& session,
                                      const SchemaHandle& schema, const std::string& rows,
                                      const std::string& field, bool closed,
                                      const JoinOptions& options) {
  Joined out;
  std::vector<JoinedView> joined;
  for (const auto& view : schema.views) {
    const auto bound =
        TRY(db_.read(call, [&](sql::Tx& tx) { return bind_view(tx, call.project, view); }));
    const OfflineTable made = TRY(table(call, bound));
    joined.push_back({view.get(), scan(made), made.ties, made.row_count});
    out.sources.push_back(view->urn());
    out.sources.insert(out.sources.end(), made.sources.begin(), made.sources.end());
  }
  if (!field.empty()) TRY(bind_rows(call, session, rows, field, closed, out.sources));
  const auto columns = session.describe(rows);
  if (!columns) return at_field(columns.error(), field.empty() ? "entity_path" : field);
  const auto find = [&](const std::string& name) {
    return std::ranges::find(*columns, name, &olap::Column::name);
  };
  const auto has = [&](const std::string& name) { return find(name) != columns->end(); };
  std::vector<Violation> faults;
  const std::string where = field.empty() ? "entity_path" : field;
  if (!has("event_time"))
    faults.push_back({where, "must give event_time, the instant of each row"});
  else if (find("event_time")->type != olap::Type::timestamp)
    faults.push_back({where, "gives event_time as " + find("event_time")->declared +
                                 "; make it a TIMESTAMPTZ, a TIMESTAMP (read as UTC) or a DATE, as "
                                 "event_time::TIMESTAMPTZ does"});
  for (const catalog::JoinKey& key : schema.keys)
    if (!has(key.name)) faults.push_back({where, "must give the join key " + key.name});
  transform::check_inputs(schema, *columns, where, faults);
  for (const std::string& name : schema.names)
    if (has(name)) faults.push_back({where, "gives " + name + ", which is a feature: rename it"});
  if (!faults.empty()) {
    std::string message = faults.front().field + " " + faults.front().problem;
    return Error{Code::invalid_argument, std::move(message), std::move(faults)};
  }
  std::sort(out.sources.begin(), out.sources.end());
  out.sources.erase(std::unique(out.sources.begin(), out.sources.end()), out.sources.end());
  const auto windowed = windows::join_all(olap_, session, joined, rows, options.known_as_of,
                                          [&] { return staged_path(); });
  if (!windowed) return at_field(windowed.error(), where);
  out.views = std::move(joined);
  out.columns = *columns;
  JoinOptions as_they_are = options;
  if (schema.plan) as_they_are.numbers = false;
  out.statement = TRY(with_transforms(
      session, schema, out, join_statement(schema, out.views, *windowed, as_they_are), options));
  return out;
}

Result<Offline::Source> Offline::rows_of(const HistoricalInput& input) {
  if (input.entity_sql.empty() == input.entity_path.empty())
    return Error{Code::invalid_argument,
                 "give either entity_sql or entity_path",
                 {{"entity_sql", "must be given where entity_path is not, and only there"}}};
  if (!input.entity_sql.empty()) {
    std::string rows = input.entity_sql;
    while (!rows.empty() &&
           (rows.back() == ';' || std::isspace(static_cast<unsigned char>(rows.back()))))
      rows.pop_back();
    return Source{std::move(rows), "entity_sql"};
  }
  const std::string path = TRY(catalog_.local_path(input.entity_path));
  std::error_code fault;
  if (!files::is_regular_file(path, fault))
    return Error{
        Code::not_found, "there is no file " + path, {{"entity_path", "there is no file " + path}}};
  return Source{"SELECT * FROM read_parquet(" + olap::quoted_text(path) + ")", "", path};
}

// The rows as they are in their file, or as a table of the session that their query fills once.
Result<NumberedRows> Offline::numbered_rows(olap::Session& session, const Source& source) {
  const auto named = [&](const std::string& rows, std::string_view name) -> Result<bool> {
    const auto same = [](char a, char b) {
      return std::tolower(static_cast<unsigned char>(a)) == b;
    };
    const auto columns = TRY(session.describe(rows));
    return std::ranges::any_of(columns, [&](const olap::Column& column) {
      return std::ranges::equal(column.name, name, same);
    });
  };
  NumberedRows out{.from = "penstock_rows", .number = "rowid", .columns = "*"};
  if (!source.file.empty() && !TRY(named(source.rows, "file_row_number"))) {
    out = {"read_parquet(" + olap::quoted_text(source.file) + ", file_row_number = true)",
           "file_row_number", "* EXCLUDE (file_row_number)"};
  } else {
    TRY(session.run("CREATE TEMP TABLE penstock_rows AS " + source.rows));
    if (TRY(named(source.rows, "rowid"))) out.number.clear();
  }
  out.count = count_of(TRY(session.query("SELECT count(*) FROM " + out.from)));
  return out;
}

// Writes the join to a file, the fast way where what it keeps has room.
Result<void> Offline::copy(olap::Session& session, const SchemaHandle& schema, const Source& source,
                           const Joined& joined, const JoinOptions& options,
                           const std::string& to) {
  const auto written = [&](const std::string& statement) {
    return session.run("COPY (" + statement + ") TO " + olap::quoted_text(to) +
                       std::string(output_format));
  };
  const bool windowed = std::ranges::any_of(joined.views, &JoinedView::by_row);
  if (!options_.lookup || windowed) return written(joined.statement);
  const NumberedRows rows = TRY(numbered_rows(session, source));
  if (!rows.number.empty()) {
    const auto fast = TRY(gather(session, *options_.lookup, schema, joined.views, rows, options,
                                 options_.kept_bytes));
    if (fast)
      return written(TRY(with_transforms(session, schema, joined, fast->statement, options)));
  }
  const std::string slow =
      join_statement(schema, joined.views,
                     !source.file.empty() ? source.rows : "SELECT * FROM " + rows.from, options);
  return written(TRY(with_transforms(session, schema, joined, slow, options)));
}

Result<HistoricalOutput> Offline::write(const Call& call, const SchemaHandle& schema,
                                        const HistoricalInput& input) {
  const Source source = TRY(rows_of(input));
  const auto session = TRY(olap_.session());
  const JoinOptions options{.known_as_of = input.known_as_of};
  const Joined joined = TRY(join(call, *session, schema, source.rows, source.field, true, options));
  TRY(policies::enforce_reads(db_, call, clock_.now(), joined.sources,
                              input.dataset.empty() ? "features" : "dataset:" + input.dataset));
  const Staged staged(staged_path());
  const auto copied = copy(*session, schema, source, joined, options, staged.path());
  if (!copied && copied.error().code == Code::resource_exhausted)
    return more_needed(copied.error());
  if (!copied) return at_field(copied.error(), !source.file.empty() ? "entity_path" : source.field);

  HistoricalOutput out{.digest = TRY(digest_of_file(staged.path())), .sources = joined.sources};
  if (schema.version > 0) out.feature_schema = schema.reference();
  const std::string file = "read_parquet(" + olap::quoted_text(staged.path()) + ")";
  out.row_count = count_of(TRY(session->query("SELECT count(*) FROM " + file)));
  for (const olap::Column& column : TRY(session->describe("SELECT * FROM " + file)))
    out.columns.push_back({column.name, column.declared});
  out.path = "historical/" + call.project + "/" +
             (input.output.empty() ? out.digest + ".parquet" : "named/" + input.output);
  // What is found by its digest is there already or comes whole; a named output is replaced whole.
  if (!input.output.empty() || !TRY(blobs_.exists(out.path)))
    TRY(blobs_.put_local(out.path, staged.path()));
  out.uri = blobs_.uri(out.path);
  return out;
}

}  // namespace penstock::features
