#include "adapters/duckdb/functions.h"

#include <memory>

#include "adapters/duckdb/values.h"

namespace penstock::duckdb {
namespace {

using ScalarFunction = Owned<duckdb_scalar_function, duckdb_destroy_scalar_function>;

// What a call needs, kept by DuckDB as long as the function is there.
struct Defined {
  olap::Function function;
  std::vector<LogicalType> arguments;
};

duckdb_type engine_type(olap::Type type) {
  switch (type) {
    case olap::Type::boolean: return DUCKDB_TYPE_BOOLEAN;
    case olap::Type::bigint: return DUCKDB_TYPE_BIGINT;
    case olap::Type::real: return DUCKDB_TYPE_DOUBLE;
    case olap::Type::text: return DUCKDB_TYPE_VARCHAR;
    case olap::Type::timestamp: return DUCKDB_TYPE_TIMESTAMP;
    default: return DUCKDB_TYPE_INVALID;
  }
}

void resize(olap::Type type, std::size_t rows, olap::Chunk::Values& values) {
  values.valid.assign(rows, 0);
  if (type == olap::Type::real)
    values.real.resize(rows);
  else if (type == olap::Type::text)
    values.text.resize(rows);
  else
    values.whole.resize(rows);
}

void write(olap::Type type, const olap::Chunk::Values& values, std::size_t rows,
           duckdb_vector vector) {
  duckdb_vector_ensure_validity_writable(vector);
  std::uint64_t* valid = duckdb_vector_get_validity(vector);
  void* data = duckdb_vector_get_data(vector);
  for (std::size_t row = 0; row < rows; ++row) {
    duckdb_validity_set_row_validity(valid, row, values.valid[row]);
    if (!values.valid[row]) continue;
    if (type == olap::Type::text)
      duckdb_vector_assign_string_element_len(vector, row, values.text[row].data(),
                                              values.text[row].size());
    else if (type == olap::Type::real)
      static_cast<double*>(data)[row] = values.real[row];
    else if (type == olap::Type::boolean)
      static_cast<bool*>(data)[row] = values.whole[row] != 0;
    else
      static_cast<std::int64_t*>(data)[row] = values.whole[row];
  }
}

void call(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output) {
  const auto& defined = *static_cast<const Defined*>(duckdb_scalar_function_get_extra_info(info));
  try {
    const auto arguments = read(input, defined.arguments);
    if (!arguments)
      return duckdb_scalar_function_set_error(info, arguments.error().message.c_str());
    const std::vector<olap::Type>& types = defined.function.results;
    olap::Chunk results{.rows = arguments->rows, .columns = {}};
    results.columns.resize(types.size());
    for (std::size_t at = 0; at < types.size(); ++at)
      resize(types[at], results.rows, results.columns[at]);
    defined.function.run(*arguments, results);
    for (std::size_t at = 0; at < types.size(); ++at)
      write(types[at], results.columns[at], results.rows,
            duckdb_struct_vector_get_child(output, at));
  } catch (const std::exception& fault) {  // no exception may pass through C
    duckdb_scalar_function_set_error(info, fault.what());
  }
}

}  // namespace

Result<void> define(duckdb_connection connection, olap::Function function) {
  const ScalarFunction made(duckdb_create_scalar_function());
  duckdb_scalar_function_set_name(made.get(), function.name.c_str());
  auto defined = std::make_unique<Defined>();
  for (const olap::Type type : function.arguments) {
    defined->arguments.emplace_back(duckdb_create_logical_type(engine_type(type)));
    duckdb_scalar_function_add_parameter(made.get(), defined->arguments.back().get());
  }
  std::vector<LogicalType> results;
  std::vector<duckdb_logical_type> types;
  std::vector<std::string> names;
  std::vector<const char*> texts;
  for (const olap::Type type : function.results) {
    results.emplace_back(duckdb_create_logical_type(engine_type(type)));
    types.push_back(results.back().get());
    names.push_back("v" + std::to_string(names.size()));
  }
  for (const std::string& name : names) texts.push_back(name.c_str());
  const LogicalType row(duckdb_create_struct_type(types.data(), texts.data(), types.size()));
  duckdb_scalar_function_set_return_type(made.get(), row.get());
  duckdb_scalar_function_set_special_handling(made.get());  // it is asked about nulls too
  const std::string name = function.name;
  defined->function = std::move(function);
  duckdb_scalar_function_set_extra_info(made.get(), defined.release(),
                                        [](void* kept) { delete static_cast<Defined*>(kept); });
  duckdb_scalar_function_set_function(made.get(), call);
  if (duckdb_register_scalar_function(connection, made.get()) == DuckDBError)
    return Error{Code::already_exists, "DuckDB does not take the function " + name};
  return {};
}

}  // namespace penstock::duckdb
