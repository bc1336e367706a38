#include "catalog/snapshots.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/digest.h"
#include "catalog/compatibility.h"

namespace penstock::catalog {
namespace {

namespace fs = std::filesystem;

// How old what is read of another system may be: of looking at it, and of reading its rows.
constexpr Micros look_age = std::chrono::minutes(1), read_age = std::chrono::minutes(10);

// How DuckDB calls a type that a column is read as; empty: as the file has it.
std::string_view engine_type(ColumnType type) {
  switch (type) {
    case ColumnType::boolean: return "BOOLEAN";
    case ColumnType::bigint: return "BIGINT";
    case ColumnType::real: return "DOUBLE";
    case ColumnType::text: return "VARCHAR";
    case ColumnType::timestamp: return "TIMESTAMP";
    case ColumnType::decimal:
    case ColumnType::list: return "";
  }
  return "";
}

// A column as it is declared; `found` is what the file has.
std::string cast_of(const SourceColumn& column, std::string_view found) {
  const std::string name = olap::quoted_name(column.name), as = " AS " + name;
  const std::string_view type = engine_type(column.type);
  if (type.empty()) return name;
  const std::string cast = "CAST(" + name + " AS " + std::string(type) + ")";
  if (column.type != ColumnType::timestamp || found != "TIMESTAMP WITH TIME ZONE") return cast + as;
  // The same in UTC, without the calendar that the cast asks of each row; of what is no instant it
  // is asked.
  return "CASE WHEN isfinite(" + name + ") THEN make_timestamp(epoch_us(" + name + ")) ELSE " +
         cast + " END" + as;
}

std::string_view reader_of(Format format) {
  switch (format) {
    case Format::parquet: return "read_parquet";
    case Format::csv: return "read_csv";
    case Format::json: return "read_json";
  }
  return "";
}

// FROM of these files.
std::string scan_of(const std::vector<SourceFile>& files, Format format) {
  std::string list;
  for (const SourceFile& file : files)
    list += (list.empty() ? "" : ", ") + olap::quoted_text(file.path);
  std::string out = std::string(reader_of(format)) + "([" + list + "]";
  if (format == Format::json) out += ", format = 'newline_delimited'";
  const bool directory = files.size() > 1 || files.front().name != ".";
  if (directory) out += ", union_by_name = true";
  if (directory && files.front().name.find('=') != std::string::npos)
    out += ", hive_partitioning = true";
  return out + ")";
}

Error gone(const Source& source, const std::string& path, const std::string& why) {
  return {Code::not_found,
          "source " + source.name + ": " + path + ": " + why,
          {{"path", path + ": " + why}}};
}

}  // namespace

ColumnType type_of(olap::Type type) {
  switch (type) {
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

ColumnType type_of(const olap::Column& column) {
  return column.declared.ends_with(']') ? ColumnType::list : type_of(column.type);
}

Result<std::string> digest_of_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  Sha256Stream stream;
  std::string buffer(1 << 20, '\0');
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0)
    stream.update({buffer.data(), static_cast<std::size_t>(in.gcount())});
  if (!in.eof()) return Error{Code::unavailable, path + " could not be read"};
  return to_hex(stream.finish());
}

Result<std::string> Snapshots::local_path(const std::string& path) const {
  const fs::path given(path);
  for (const fs::path& part : given)
    if (part == "..")
      return Error{Code::invalid_argument,
                   "path must not hold \"..\"",
                   {{"path", "must not hold \"..\": write the place itself"}}};
  if (path.find('\0') != std::string::npos || path.find("://") != std::string::npos ||
      path.find_first_of("*?[") != std::string::npos)
    return Error{
        Code::invalid_argument,
        "path must be one local file or directory",
        {{"path",
          "must be one local file or directory, without *, ? or [; or s3://BUCKET/PREFIX/"}}};
  return given.is_absolute() ? path : (fs::path(options_.data_directory) / given).string();
}

namespace {

std::vector<Violation> topic_faults(const KafkaTopic& topic,
                                    const std::map<std::string, std::string>& connections) {
  std::vector<Violation> out;
  std::string names;
  for (const auto& [name, brokers] : connections) names += (names.empty() ? "" : ", ") + name;
  if (!connections.contains(topic.connection))
    out.push_back({"kafka.connection",
                   names.empty() ? "names a Kafka connection, and penstock.yaml has none: see "
                                   "connections there"
                                 : "must name a Kafka connection of penstock.yaml: " + names});
  const bool usable = std::ranges::all_of(topic.topic, [](unsigned char letter) {
    return std::isalnum(letter) || letter == '.' || letter == '_' || letter == '-';
  });
  if (!usable || topic.topic.empty() || topic.topic == "." || topic.topic == "..")
    out.push_back({"kafka.topic", "must be a name of letters, digits, . _ and -"});
  if (topic.since && *topic.since <= Micros{0})
    out.push_back({"kafka.since", "must be more than 0"});
  return out;
}

}  // namespace

std::vector<Violation> Snapshots::place_faults(const Source& source) const {
  if (int{!source.path.empty()} + int{source.postgres.has_value()} +
          int{source.kafka.has_value()} !=
      1)
    return {{"path", "must be given where postgres and kafka are not, and only there"}};
  const bool objects = is_object_path(source.path);
  if (objects) {
    const auto place = object_place(source.path);
    if (!place) return place.error().violations;
    const auto& known = options_.buckets_of;
    if (source.connection && std::ranges::find(known, *source.connection) != known.end()) return {};
    std::string names;
    for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
    return {{"connection", names.empty()
                               ? "names an S3 connection, and penstock.yaml has none: see "
                                 "connections there"
                               : "must name an S3 connection of penstock.yaml: " + names}};
  }
  if (source.connection) return {{"connection", "is only for paths that begin with s3://"}};
  if (source.kafka) {
    auto faults = topic_faults(*source.kafka, options_.brokers);
    for (std::size_t i = 0; i < source.columns.size(); ++i)
      if (const auto type = MessageRows::own_type(source.columns[i].name);
          type && *type != source.columns[i].type)
        faults.push_back({"columns[" + std::to_string(i) + "].type",
                          "must be " + std::string(name_of(*type)) + ": what " +
                              source.columns[i].name + " is, each message says itself"});
    return faults;
  }
  if (!source.postgres) {
    const auto path = local_path(source.path);
    return path ? std::vector<Violation>() : path.error().violations;
  }
  if (!options_.postgres) return {{"postgres", "is not available on this server"}};
  const auto connection = connection_of(*source.postgres);
  if (!connection) return {{"postgres.connection", connection.error().message}};
  return {};
}

// A stretch of a directory's files in the order of their names; one file is itself.
Result<std::vector<SourceFile>> Snapshots::local_files(const Source& source) const {
  const std::string path = TRY(local_path(source.path));
  std::vector<SourceFile> out;
  std::error_code fault;
  const auto add = [&](const fs::path& file) {
    const std::uintmax_t size = fs::file_size(file, fault);
    if (fault) return false;
    const auto changed = fs::last_write_time(file, fault);
    if (fault) return false;
    out.push_back({file.string(), file.lexically_relative(path).string(), size,
                   std::chrono::file_clock::to_sys(changed).time_since_epoch().count(), ""});
    return true;
  };
  if (!fs::is_directory(path, fault)) {
    if (!fs::exists(path, fault))
      return Error{Code::not_found,
                   "source " + source.name + ": there is no file " + path,
                   {{"path", "there is no file " + path}}};
    if (!add(path)) return gone(source, path, fault.message());
    return out;
  }
  for (fs::recursive_directory_iterator at(path, fault), end; !fault && at != end;
       at.increment(fault)) {
    const std::string name = at->path().filename().string();
    // Writers of other systems keep their own files under such names.
    if (name.starts_with(".") || name.starts_with("_")) {
      if (at->is_directory(fault)) at.disable_recursion_pending();
      continue;
    }
    if (!at->is_regular_file(fault) || !belongs(name, source.format)) continue;
    if (!add(at->path())) break;
    if (out.size() > files_max)
      return Error{Code::resource_exhausted,
                   path + " holds more than 10000 files; name a directory below it",
                   {{"path", "holds more than 10000 files; name a directory below it"}}};
  }
  if (fault) return gone(source, path, fault.message());
  if (out.empty())
    return gone(source, path, "holds no " + std::string(name_of(source.format)) + " file");
  std::ranges::sort(out, {}, &SourceFile::path);
  return out;
}

Result<std::vector<SourceFile>> Snapshots::files(const Source& source, Micros age_max) {
  return is_object_path(source.path) ? objects_.all(source, age_max) : local_files(source);
}

void Snapshots::prepare(const Source& source) {
  if (!place_faults(source).empty()) return;
  if (is_object_path(source.path)) static_cast<void>(objects_.some(source));
  if (source.kafka) static_cast<void>(sample(source));
}

Result<std::vector<tables::Column>> Snapshots::columns(olap::Session& session, const Source& source,
                                                       bool whole) {
  if (source.postgres) return TRY(describe_table(*source.postgres)).columns;
  if (source.kafka)
    return whole ? TRY(copied(source, look_age)).found : TRY(sample(source)).columns();
  const bool some = is_object_path(source.path) && !whole;
  const auto found = TRY(some ? objects_.some(source) : files(source, look_age));
  std::vector<tables::Column> out;
  for (olap::Column& column :
       TRY(session.describe("SELECT * FROM " + scan_of(found, source.format)))) {
    std::string native = column.declared;
    out.push_back({std::move(column), std::move(native)});
  }
  return out;
}

Result<Snapshots::Bound> Snapshots::bound(const Source& source) {
  if (source.postgres || source.kafka) {
    const Copy copy = TRY(copied(source, read_age));
    return Bound{"read_parquet(" + olap::quoted_text(copy.path) + ")", copy.digest};
  }
  const auto found = TRY(files(source, read_age));
  Bound out{.from = scan_of(found, source.format)};
  if (is_object_path(source.path)) out.digest = TRY(files_digest(found));
  return out;
}

Result<std::string> Snapshots::scan(const Source& source) { return TRY(bound(source)).from; }

Result<std::vector<std::optional<std::string>>> Snapshots::bind(
    olap::Session& session, const std::vector<Source>& sources) {
  std::string statements;
  std::vector<std::optional<std::string>> digests;
  for (const Source& source : sources) {
    std::string list;
    Bound one = TRY(bound(source));
    std::vector<olap::Column> found;
    if (one.from.starts_with("read_parquet"))
      if (auto columns = session.describe("SELECT * FROM " + one.from)) found = *std::move(columns);
    for (const SourceColumn& column : source.columns) {
      const auto same = std::ranges::find(found, column.name, &olap::Column::name);
      list += (list.empty() ? "" : ", ") +
              cast_of(column, same == found.end() ? "" : std::string_view(same->declared));
    }
    statements += "CREATE OR REPLACE TEMP VIEW " + olap::quoted_name(source.name) + " AS SELECT " +
                  list + " FROM " + one.from + ";\n";
    digests.push_back(std::move(one.digest));
  }
  TRY(session.run(statements));
  return digests;
}

Result<std::string> Snapshots::file_digest(const SourceFile& file) {
  if (!file.digest.empty()) return file.digest;
  {
    const std::lock_guard hold(turn_);
    const auto found = known_.find(file.path);
    if (found != known_.end() && found->second.size == file.size &&
        found->second.changed == file.changed)
      return found->second.digest;
  }
  const std::string digest = TRY(digest_of_file(file.path));
  const std::lock_guard hold(turn_);
  if (known_.size() >= 2 * files_max) known_.clear();
  known_[file.path] = {file.size, file.changed, digest};
  return digest;
}

Result<std::string> Snapshots::files_digest(const std::vector<SourceFile>& files) {
  if (files.size() == 1 && files.front().name == ".") return file_digest(files.front());
  std::string names;
  for (const SourceFile& file : files) names += file.name + '\0' + TRY(file_digest(file)) + '\n';
  return sha256_hex(names);
}

Result<std::string> Snapshots::digest(const Source& source) {
  if (source.postgres || source.kafka) return TRY(copied(source, look_age)).digest;
  return files_digest(TRY(files(source, look_age)));
}

Result<Extent> Snapshots::extent(const Source& source) {
  Extent out;
  if (source.postgres || source.kafka) {
    const Copy copy = TRY(copied(source, look_age));
    std::error_code fault;
    out.bytes = static_cast<std::int64_t>(fs::file_size(copy.path, fault));
    out.files = 1;
    out.changed = source.kafka ? copy.newest.value_or(Timestamp{}) : copy.at;
    return out;
  }
  for (const SourceFile& file : TRY(files(source, look_age))) {
    out.bytes += static_cast<std::int64_t>(file.size);
    ++out.files;
    const Timestamp changed(std::chrono::floor<Micros>(std::chrono::nanoseconds(file.changed)));
    out.changed = std::max(out.changed, changed);
  }
  return out;
}

std::vector<Violation> drift(const Source& source, const std::vector<tables::Column>& found) {
  std::vector<Violation> out;
  const std::string place = place_name(source);
  for (std::size_t i = 0; i < source.columns.size(); ++i) {
    const SourceColumn& column = source.columns[i];
    const std::string field = "columns[" + std::to_string(i) + "]";
    const auto match = std::ranges::find_if(
        found, [&](const tables::Column& c) { return c.column.name == column.name; });
    // CSV and JSON have no types of their own: what is guessed there binds nobody.
    const bool typed = source.postgres || (!source.kafka && source.format == Format::parquet);
    // Messages need not hold every field.
    if (match == found.end() && source.kafka && column.nullable) continue;
    if (match == found.end())
      out.push_back({field + ".name", column.name + " is not a column of " + place});
    else if (typed && !reads_as(type_of(match->column), column.type))
      out.push_back({field + ".type", column.name + " is " + match->native + " in " + place +
                                          ", not " + std::string(name_of(column.type))});
  }
  for (const tables::Column& column : found)
    if (std::ranges::find(source.columns, column.column.name, &SourceColumn::name) ==
        source.columns.end())
      out.push_back({"columns", "must declare " + column.column.name + " (" + column.native +
                                    "), which is a column of " + place + ": nobody classified it"});
  return out;
}

}  // namespace penstock::catalog
