// Files of sources: where they are, what is in them, and the digest of their bytes.
#include <filesystem>
#include <fstream>

#include "base/digest.h"
#include "catalog/service.h"

namespace penstock::catalog {
namespace {

namespace files = std::filesystem;

// How DuckDB calls a type that a column is read as; empty: as the file has it.
std::string_view engine_type(ColumnType type) {
  switch (type) {
    case ColumnType::boolean: return "BOOLEAN";
    case ColumnType::bigint: return "BIGINT";
    case ColumnType::real: return "DOUBLE";
    case ColumnType::text: return "VARCHAR";
    case ColumnType::timestamp: return "TIMESTAMP";
    case ColumnType::decimal: return "";
  }
  return "";
}

}  // namespace

Result<std::string> Service::local_path(const std::string& path) const {
  const files::path given(path);
  for (const files::path& part : given)
    if (part == "..")
      return Error{Code::invalid_argument,
                   "path must not hold \"..\"",
                   {{"path", "must not hold \"..\": write the place itself"}}};
  if (path.find('\0') != std::string::npos || path.find("://") != std::string::npos ||
      path.find_first_of("*?[") != std::string::npos)
    return Error{Code::invalid_argument,
                 "path must be one local file",
                 {{"path", "must be one local file, without *, ? or ["}}};
  return given.is_absolute() ? path : (files::path(options_.data_directory) / given).string();
}

Result<std::string> Service::snapshot_digest(const Source& source) {
  const std::string path = TRY(local_path(source.path));
  std::error_code fault;
  const std::uintmax_t size = files::file_size(path, fault);
  const auto changed = fault ? files::file_time_type{} : files::last_write_time(path, fault);
  if (fault)
    return Error{Code::not_found,
                 "source " + source.name + ": " + path + ": " + fault.message(),
                 {{"path", path + ": " + fault.message()}}};
  const std::int64_t stamp = changed.time_since_epoch().count();
  {
    const std::lock_guard hold(snapshots_turn_);
    const auto found = snapshots_.find(path);
    if (found != snapshots_.end() && found->second.size == size && found->second.changed == stamp)
      return found->second.digest;
  }
  std::ifstream in(path, std::ios::binary);
  Sha256Stream stream;
  std::string buffer(1 << 20, '\0');
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0)
    stream.update({buffer.data(), static_cast<std::size_t>(in.gcount())});
  if (!in.eof())
    return Error{Code::unavailable, "source " + source.name + ": " + path + " could not be read"};
  const std::string digest = to_hex(stream.finish());
  const std::lock_guard hold(snapshots_turn_);
  if (snapshots_.size() >= 10'000) snapshots_.clear();
  snapshots_[path] = {size, stamp, digest};
  return digest;
}

Result<void> Service::bind(olap::Session& session, const std::vector<Source>& sources) {
  std::string statements;
  for (const Source& source : sources) {
    const std::string path = TRY(local_path(source.path));
    std::string list;
    for (const SourceColumn& column : source.columns) {
      const std::string name = olap::quoted_name(column.name);
      const std::string_view type = engine_type(column.type);
      list += (list.empty() ? "" : ", ") +
              (type.empty() ? name : "CAST(" + name + " AS " + std::string(type) + ") AS " + name);
    }
    statements += "CREATE OR REPLACE TEMP VIEW " + olap::quoted_name(source.name) + " AS SELECT " +
                  list + " FROM " + (source.format == Format::csv ? "read_csv" : "read_parquet") +
                  "(" + olap::quoted_text(path) + ");\n";
  }
  return session.run(statements);
}

}  // namespace penstock::catalog
