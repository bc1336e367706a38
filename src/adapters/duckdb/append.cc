#include "adapters/duckdb/append.h"

#include <algorithm>

namespace penstock::duckdb {
namespace {

using Appender =
    Owned<duckdb_appender, [](duckdb_appender* appender) { duckdb_appender_destroy(appender); }>;

template <class T, class From>
void copy(void* data, const std::vector<From>& values, std::size_t begin, std::size_t count) {
  for (std::size_t row = 0; row < count; ++row)
    static_cast<T*>(data)[row] = static_cast<T>(values[begin + row]);
}

// False where there is no such column in a chunk.
bool fill(duckdb_vector vector, duckdb_type type, const olap::Chunk::Values& values,
          std::size_t begin, std::size_t count) {
  void* data = duckdb_vector_get_data(vector);
  switch (type) {
    case DUCKDB_TYPE_BOOLEAN: copy<bool>(data, values.whole, begin, count); break;
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_TIMESTAMP: copy<std::int64_t>(data, values.whole, begin, count); break;
    case DUCKDB_TYPE_DOUBLE: copy<double>(data, values.real, begin, count); break;
    case DUCKDB_TYPE_VARCHAR:
      for (std::size_t row = 0; row < count; ++row)
        duckdb_vector_assign_string_element_len(vector, row, values.text[begin + row].data(),
                                                values.text[begin + row].size());
      break;
    default: return false;
  }
  duckdb_vector_ensure_validity_writable(vector);
  std::uint64_t* validity = duckdb_vector_get_validity(vector);
  for (std::size_t row = 0; row < count; ++row)
    duckdb_validity_set_row_validity(validity, row, values.valid[begin + row] != 0);
  return true;
}

Error fault(duckdb_appender appender) {
  const char* message = duckdb_appender_error(appender);
  return {Code::internal, message ? message : "DuckDB cannot append to the table"};
}

}  // namespace

Result<void> append(duckdb_connection connection, const std::string& table,
                    const olap::Chunk& chunk) {
  Appender appender;
  if (duckdb_appender_create(connection, nullptr, table.c_str(), appender.out()) == DuckDBError)
    return fault(appender.get());
  std::vector<LogicalType> owned;
  std::vector<duckdb_logical_type> types;
  for (idx_t at = 0; at < duckdb_appender_column_count(appender.get()); ++at) {
    owned.emplace_back(duckdb_appender_column_type(appender.get(), at));
    types.push_back(owned.back().get());
  }
  if (types.size() != chunk.columns.size())
    return Error{Code::internal, "INTERNAL Error: " + table + " has " +
                                     std::to_string(types.size()) + " columns, not " +
                                     std::to_string(chunk.columns.size())};
  const DataChunk block(duckdb_create_data_chunk(types.data(), types.size()));
  const std::size_t most = duckdb_vector_size();
  for (std::size_t begin = 0; begin < chunk.rows; begin += most) {
    const std::size_t count = std::min(most, chunk.rows - begin);
    duckdb_data_chunk_reset(block.get());
    for (std::size_t at = 0; at < types.size(); ++at)
      if (!fill(duckdb_data_chunk_get_vector(block.get(), at), duckdb_get_type_id(types[at]),
                chunk.columns[at], begin, count))
        return Error{Code::internal,
                     "INTERNAL Error: no values of this type can be appended to " + table};
    duckdb_data_chunk_set_size(block.get(), count);
    if (duckdb_append_data_chunk(appender.get(), block.get()) == DuckDBError)
      return fault(appender.get());
  }
  if (duckdb_appender_close(appender.get()) == DuckDBError) return fault(appender.get());
  return {};
}

}  // namespace penstock::duckdb
