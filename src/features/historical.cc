// Joins that are kept as a file: rows from where callers have them, features beside.
#include <algorithm>
#include <filesystem>

#include "base/digest.h"
#include "features/gather.h"
#include "features/offline.h"
#include "features/staged.h"
#include "policies/service.h"

namespace penstock::features {
namespace {

namespace files = std::filesystem;

// Features compress little: zstd takes twice as long to write a file that is a quarter smaller. Nor
// do dictionaries of many values pay, and whoever trains reads all rows: filters of single values
// are of no use.
constexpr std::string_view output_format =
    " (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 122880, DICTIONARY_SIZE_LIMIT 2048, "
    "WRITE_BLOOM_FILTER false)";
// How long a result that is only for download is kept, and how many are looked at for their age.
constexpr Micros temporary_age = std::chrono::hours(24);
constexpr std::size_t temporary_max = 10'000;

// Gone with its owner; no file where the path is empty.
class Removed {
 public:
  Removed() = default;
  Removed(const Removed&) = delete;
  ~Removed() {
    std::error_code ignored;
    if (!path.empty()) files::remove(path, ignored);
  }
  std::string path;
};

Error refuse(Code code, const std::string& field, const std::string& problem) {
  return {code, field + " " + problem, {{field, problem}}};
}

std::string parquet(const std::string& path, const std::string& options = "") {
  return "read_parquet(" + olap::quoted_text(path) + options + ")";
}

std::string folder_of(const Call& call) { return "historical/" + call.project + "/"; }

// What a result was made from, in a file beside it.
struct Note {
  std::string purpose;
  std::vector<std::string> sources;
};
BOOST_DESCRIBE_STRUCT(Note, (), (purpose, sources))
std::string note_of(const std::string& result) { return result + ".json"; }

std::string purpose_of(const HistoricalInput& input) {
  return input.dataset.empty() ? "features" : "dataset:" + input.dataset;
}

}  // namespace

Result<Offline::Rows> Offline::csv_rows(olap::Session& session, const SchemaHandle& schema,
                                        const std::string& path) {
  const std::string file = " FROM read_csv(" + olap::quoted_text(path);
  const auto columns = session.describe("SELECT *" + file + ", all_varchar = true)");
  if (!columns) return at_field(columns.error(), "entity_upload");
  // Texts of digits stay texts, and a time without a zone is one in UTC. (Asked for a TIMESTAMPTZ,
  // the reader gives null for what is none.)
  std::string types, times;
  for (const olap::Column& column : *columns) {
    std::string type = column.name == "event_time" ? "VARCHAR" : "";
    if (!type.empty()) times = " REPLACE (CAST(event_time AS TIMESTAMPTZ) AS event_time)";
    for (const catalog::JoinKey& key : schema.keys)
      if (key.name == column.name) type = key_type(key.type);
    if (type.empty()) continue;
    types += (types.empty() ? "" : ", ") + olap::quoted_text(column.name) + ": '" + type + "'";
  }
  return Rows{.statement = "SELECT *" + times + file +
                           (types.empty() ? "" : ", types = {" + types + "}") + ")",
              .field = "entity_upload",
              .reads_sources = false};
}

Result<Offline::Rows> Offline::rows_of(const Call& call, olap::Session& session,
                                       const SchemaHandle& schema, const HistoricalInput& input,
                                       std::string& taken) {
  if (int{!input.entity_sql.empty()} + int{!input.entity_path.empty()} +
          int{!input.entity_upload.empty()} !=
      1)
    return Error{Code::invalid_argument,
                 "give one of entity_sql, entity_path and entity_upload",
                 {{"entity_sql",
                   "must be given where entity_path and entity_upload are not, and only there"}}};
  if (!input.entity_sql.empty()) {
    std::string rows = input.entity_sql;
    while (!rows.empty() &&
           (rows.back() == ';' || std::isspace(static_cast<unsigned char>(rows.back()))))
      rows.pop_back();
    return Rows{.statement = std::move(rows), .field = "entity_sql"};
  }
  std::string field = "entity_path", path;
  if (!input.entity_upload.empty()) {
    field = "entity_upload";
    const auto upload = TRY(uploads_.take(call, input.entity_upload));
    path = taken = upload.path;
    if (upload.format == RowsFormat::csv) return csv_rows(session, schema, path);
  } else {
    path = TRY(catalog_.local_path(input.entity_path));
  }
  std::error_code fault;
  if (!files::is_regular_file(path, fault))
    return Error{
        Code::not_found, "there is no file " + path, {{field, "there is no file " + path}}};
  return Rows{.statement = "SELECT * FROM " + parquet(path),
              .field = std::move(field),
              .file = std::move(path),
              .reads_sources = false};
}

// The rows as they are in their file, or as a table of the session that their query fills once.
Result<NumberedRows> Offline::numbered_rows(olap::Session& session, const Rows& rows) {
  const auto named = [&](std::string_view name) -> Result<bool> {
    const auto same = [](char a, char b) {
      return std::tolower(static_cast<unsigned char>(a)) == b;
    };
    const auto columns = TRY(session.describe(rows.statement));
    return std::ranges::any_of(columns, [&](const olap::Column& column) {
      return std::ranges::equal(column.name, name, same);
    });
  };
  NumberedRows out{.from = "penstock_rows", .number = "rowid", .columns = "*"};
  if (!rows.file.empty() && !TRY(named("file_row_number"))) {
    out = {parquet(rows.file, ", file_row_number = true"), "file_row_number",
           "* EXCLUDE (file_row_number)"};
  } else {
    TRY(session.run("CREATE TEMP TABLE penstock_rows AS " + rows.statement));
    if (TRY(named("rowid"))) out.number.clear();
  }
  out.count = count_of(TRY(session.query("SELECT count(*) FROM " + out.from)));
  return out;
}

// Writes the join to a file, the fast way where what it keeps has room.
Result<void> Offline::copy(olap::Session& session, const SchemaHandle& schema, const Rows& rows,
                           const Joined& joined, const JoinOptions& options,
                           const std::string& to) {
  const auto written = [&](const std::string& statement) {
    return session.run("COPY (" + statement + ") TO " + olap::quoted_text(to) +
                       std::string(output_format));
  };
  const bool windowed = std::ranges::any_of(joined.views, &JoinedView::by_row);
  if (!options_.lookup || windowed) return written(joined.statement);
  const NumberedRows numbered = TRY(numbered_rows(session, rows));
  if (!numbered.number.empty()) {
    const auto fast = TRY(gather(session, *options_.lookup, schema, joined.views, numbered, options,
                                 options_.kept_bytes));
    if (fast)
      return written(TRY(with_transforms(session, schema, joined, fast->statement, options)));
  }
  const std::string slow = join_statement(
      schema, joined.views, rows.file.empty() ? "SELECT * FROM " + numbered.from : rows.statement,
      options);
  return written(TRY(with_transforms(session, schema, joined, slow, options)));
}

// What a dataset says of its rows: the state of what they were made from, and what they look like.
Result<void> Offline::describe(const Call& call, olap::Session& session, const SchemaHandle& schema,
                               const HistoricalInput& input, const Rows& rows, const Joined& joined,
                               const std::string& file, Written& out) {
  std::ranges::sort(out.snapshots, {}, &catalog::SourceSnapshot::urn);
  const auto again = std::ranges::unique(out.snapshots, {}, &catalog::SourceSnapshot::urn);
  out.snapshots.erase(again.begin(), again.end());
  json::array features;
  for (std::size_t i = 0; i < schema.names.size(); ++i) {
    const Slot& slot = schema.slots[i];
    const std::string of = slot.is_computed()
                               ? schema.urn() + "#" + schema.names[i]
                               : schema.views[slot.view]->urn() + "#" +
                                     schema.views[slot.view]->view.features[slot.feature].name;
    features.push_back({{"name", schema.names[i]}, {"of", of}});
  }
  json::object inputs{{"sql", input.entity_sql},
                      {"features", std::move(features)},
                      {"snapshots", encode(out.snapshots)}};
  if (!rows.file.empty()) inputs["rows"] = TRY(catalog::digest_of_file(rows.file));
  if (input.known_as_of) inputs["known_as_of"] = to_rfc3339(*input.known_as_of);
  out.inputs_digest = sha256_hex(canonical(inputs));

  const auto shown = [&](const std::vector<catalog::VersionedSource>& sources) {
    return db_.read(call, [&](sql::Tx& tx) -> Result<bool> {
      for (const catalog::VersionedSource& source : sources)
        for (const auto& column : TRY(catalog::column_classes(tx, call.project, source.source)))
          if (column.classification > catalog::Classification::internal) return false;
      return true;
    });
  };
  const bool of_views = TRY(shown(joined.of_views)), of_rows = TRY(shown(joined.of_rows));
  out.profile = TRY(catalog::profile_of(session, "SELECT * FROM " + parquet(file))).columns;
  // Nobody classified the columns of a file.
  std::vector<catalog::ColumnClass> open;
  for (const auto& column : out.profile) {
    const bool feature = std::ranges::find(schema.names, column.name) != schema.names.end();
    if (of_views && (feature || (of_rows && rows.reads_sources)))
      open.push_back({.column = column.name});
  }
  catalog::redact(out.profile, open);
  return {};
}

// Results that were only for download make room after a day.
void Offline::remove_old(const Call& call) {
  const auto all = blobs_.list(folder_of(call) + "temporary", temporary_max);
  if (!all) return;
  for (const blob::Entry& entry : *all)
    if (entry.modified < clock_.now() - temporary_age) static_cast<void>(blobs_.remove(entry.path));
}

// Puts the file where it is found by its digest, or under the name that was asked for.
Result<void> Offline::keep(const Call& call, const HistoricalInput& input, const Staged& staged,
                           HistoricalOutput& out) {
  const bool temporary = input.temporary && input.output.empty() && input.dataset.empty();
  if (temporary) remove_old(call);
  out.path = folder_of(call) + (!input.output.empty() ? "named/" + input.output
                                : temporary           ? "temporary/" + out.digest + ".parquet"
                                                      : out.digest + ".parquet");
  TRY(blobs_.put(note_of(out.path), canonical(encode(Note{purpose_of(input), out.sources}))));
  out.uri = blobs_.uri(out.path);
  if (!input.output.empty()) return blobs_.put_local(out.path, staged.uri());
  return staged.publish(out.path);
}

Result<Offline::Written> Offline::write(const Call& call, const SchemaHandle& schema,
                                        const HistoricalInput& input) {
  const auto session = TRY(olap_.session());
  Removed upload;
  const Rows rows = TRY(rows_of(call, *session, schema, input, upload.path));
  const JoinOptions options{.known_as_of = input.known_as_of};
  Joined joined = TRY(join(call, *session, schema, rows, options));
  TRY(policies::enforce_reads(db_, call, clock_.now(), joined.urns, purpose_of(input)));
  const bool dataset = !input.dataset.empty();
  const auto before = dataset ? TRY(snapshots_of(joined.of_rows)) : joined.snapshots;
  const Staged staged(blobs_, staged_path());
  const auto copied = copy(*session, schema, rows, joined, options, staged.uri());
  if (!copied && copied.error().code == Code::resource_exhausted)
    return more_needed(copied.error());
  if (!copied) return at_field(copied.error(), rows.field);
  staged.begin_keeping();

  Call late = call;
  late.deadline = Timestamp::max();  // joining may have taken long, and all of it was worth it
  Written out;
  out.output.digest = TRY(catalog::digest_of_file(staged.uri()));
  out.output.sources = joined.urns;
  if (schema.version > 0) out.output.feature_schema = schema.reference();
  const std::string file = parquet(staged.uri());
  out.output.row_count = count_of(TRY(session->query("SELECT count(*) FROM " + file)));
  for (const olap::Column& column : TRY(session->describe("SELECT * FROM " + file)))
    out.output.columns.push_back({column.name, column.declared});
  std::error_code fault;
  out.output.bytes = static_cast<std::int64_t>(files::file_size(staged.uri(), fault));
  if (dataset) {
    TRY(check_unchanged(joined.of_rows, {}, before));
    out.snapshots = std::move(joined.snapshots);
    out.snapshots.insert(out.snapshots.end(), before.begin(), before.end());
    TRY(describe(late, *session, schema, input, rows, joined, staged.uri(), out));
  }
  TRY(keep(late, input, staged, out.output));
  return out;
}

Result<std::unique_ptr<blob::Reader>> Offline::open_result(const Call& call,
                                                           const std::string& digest) {
  const bool usable =
      digest.size() == 64 && digest.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!usable) return refuse(Code::invalid_argument, "digest", "must be 64 hex digits");
  for (const char* folder : {"", "temporary/"}) {
    const std::string path = folder_of(call) + folder + digest + ".parquet";
    if (!TRY(blobs_.exists(path)) || !TRY(blobs_.exists(note_of(path)))) continue;
    boost::system::error_code fault;
    const auto note = TRY(decode<Note>(json::parse(TRY(blobs_.get(note_of(path))), fault)));
    TRY(policies::enforce_reads(db_, call, clock_.now(), note.sources, note.purpose));
    return blobs_.open(path);
  }
  return refuse(Code::not_found, "digest",
                digest.substr(0, 12) + "... is no result of project " + call.project +
                    "; those for download are kept for a day, so join again");
}

}  // namespace penstock::features
