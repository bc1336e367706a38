// Tables and topics of other systems, copied to where DuckDB reads them.
#include <algorithm>
#include <filesystem>

#include "base/id.h"
#include "catalog/snapshots.h"

namespace penstock::catalog {
namespace {

namespace fs = std::filesystem;

// Removed with its owner, whatever happened to it.
class Scratch {
 public:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

// Rows come in any order: sorted, the same rows are the same bytes.
std::string parquet_of(const std::vector<tables::Column>& columns, const std::string& csv,
                       const std::string& out, const std::string& offsets) {
  std::string types;
  for (const tables::Column& column : columns)
    types += (types.empty() ? "" : ", ") + olap::quoted_text(column.column.name) + ": " +
             olap::quoted_text(column.column.declared);
  return "COPY (SELECT * FROM read_csv(" + olap::quoted_text(csv) +
         ", header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', nullstr "
         "= '', allow_quoted_nulls = false, max_line_size = 16777216, columns = {" +
         types + "}) ORDER BY ALL) TO " + olap::quoted_text(out) +
         " (FORMAT parquet, COMPRESSION zstd" +
         (offsets.empty() ? ")" : ", KV_METADATA {offsets: " + olap::quoted_text(offsets) + "})");
}

}  // namespace

Result<std::string> Snapshots::connection_of(const PostgresTable& place) const {
  const bool reference =
      place.connection.starts_with("${") || place.connection.starts_with("file:");
  if (!reference) {
    TRY(options_.postgres->check_connection(place.connection, false));
    return place.connection;
  }
  if (!options_.secret) return Error{Code::invalid_argument, "names a secret, and there are none"};
  const std::string connection = TRY(options_.secret(place.connection));
  // What is no connection would be taken for the name of a database, and shown in the error.
  if (!options_.postgres->check_connection(connection, true))
    return Error{Code::invalid_argument,
                 place.connection + " holds no connection that PostgreSQL reads"};
  return connection;
}

Result<tables::Table> Snapshots::describe_table(const PostgresTable& place) {
  if (!options_.postgres)
    return Error{Code::failed_precondition, "PostgreSQL tables are not available on this server"};
  return options_.postgres->describe(TRY(connection_of(place)), place.table,
                                     std::chrono::seconds(30));
}

Result<Snapshots::Copy> Snapshots::copied(const Source& source, Micros age_max) {
  std::string key =
      source.postgres ? canonical(encode(*source.postgres)) : canonical(encode(*source.kafka));
  for (const SourceColumn& column : source.columns)
    key += "\n" + column.name + (source.kafka ? " " + std::string(name_of(column.type)) : "");
  const auto known = [&]() -> std::optional<Copy> {
    const std::lock_guard hold(turn_);
    const auto found = copies_.find(key);
    std::error_code fault;
    if (found == copies_.end() || clock_.now() - found->second.at > age_max ||
        !fs::exists(found->second.path, fault))
      return {};
    return found->second;
  };
  if (const auto found = known()) return *found;
  const std::lock_guard one_at_a_time(copying_);
  if (const auto found = known()) return *found;
  Copy made = TRY(copy(source));
  const std::lock_guard hold(turn_);
  Copy& kept = copies_[key];
  std::error_code ignored;
  if (!kept.before.empty()) fs::remove(kept.before, ignored);
  made.before = kept.path;
  return kept = made;
}

Result<std::vector<tables::Column>> Snapshots::write_table(const Source& source,
                                                           const std::string& csv, Copy& out) {
  const PostgresTable& place = *source.postgres;
  out.found = TRY(describe_table(place)).columns;
  std::vector<tables::Column> wanted;
  for (const SourceColumn& column : source.columns) {
    const auto found = std::ranges::find_if(
        out.found, [&](const tables::Column& c) { return c.column.name == column.name; });
    if (found == out.found.end())
      return Error{Code::failed_precondition,
                   "source " + source.name + ": " + column.name + " is no column of " +
                       place.table + " any more; see penstock sources check " + source.name};
    wanted.push_back(*found);
  }
  TRY(options_.postgres->copy(TRY(connection_of(place)), place.table, wanted, csv,
                              options_.copy_bytes_max, std::chrono::hours(1)));
  return wanted;
}

Result<Snapshots::Copy> Snapshots::copy(const Source& source) {
  std::error_code fault;
  fs::create_directories(options_.scratch, fault);
  const Timestamp now = clock_.now();
  const std::string base = options_.scratch + "/" + new_ulid(now);
  const Scratch csv(base + ".csv"), parquet(base + ".parquet");
  Copy out{.at = now};
  std::string offsets;
  const auto columns = TRY(source.postgres ? write_table(source, csv.path(), out)
                                           : write_topic(source, csv.path(), out, offsets));
  TRY(TRY(olap_.session())->run(parquet_of(columns, csv.path(), parquet.path(), offsets)));
  out.digest = TRY(digest_of_file(parquet.path()));
  out.path = base + "-" + out.digest.substr(0, 16) + ".parquet";
  fs::rename(parquet.path(), out.path, fault);
  if (fault) return Error{Code::unavailable, out.path + ": " + fault.message()};
  return out;
}

}  // namespace penstock::catalog
