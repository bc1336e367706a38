#include "adapters/duckdb/duckdb.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "adapters/duckdb/append.h"
#include "adapters/duckdb/functions.h"
#include "adapters/duckdb/lookup.h"
#include "adapters/duckdb/tables.h"
#include "adapters/duckdb/values.h"

namespace penstock::duckdb {
namespace {

using Config = Owned<duckdb_config, duckdb_destroy_config>;
using Connection = Owned<duckdb_connection, duckdb_disconnect>;
using Database = Owned<duckdb_database, duckdb_close>;
using Prepared = Owned<duckdb_prepared_statement, duckdb_destroy_prepare>;
using Extracted = Owned<duckdb_extracted_statements, duckdb_destroy_extracted>;
using Pending = Owned<duckdb_pending_result, duckdb_destroy_pending>;

class QueryResult {
 public:
  QueryResult() = default;
  QueryResult(const QueryResult&) = delete;
  ~QueryResult() { duckdb_destroy_result(&result_); }
  duckdb_result* out() { return &result_; }

 private:
  duckdb_result result_{};
};

// DuckDB's messages begin with the kind of fault; not every call of its C API gives the kind apart.
Error fault(const char* message) {
  const std::string text = message && *message ? message : "DuckDB failed without a reason";
  const auto kind = [&](std::string_view word) { return text.starts_with(word); };
  const auto says = [&](std::string_view word) { return text.find(word) != std::string::npos; };
  if (kind("IO Error")) {
    if (says("No files found") || says("No such file")) return {Code::not_found, text};
    if (says("Permission denied")) return {Code::permission_denied, text};
    if (says("No space left")) return {Code::resource_exhausted, text};
    return {Code::unavailable, text};
  }
  if (kind("HTTP") || kind("Connection Error") || kind("Network Error"))
    return {Code::unavailable, text};
  if (kind("Out of Memory")) return {Code::resource_exhausted, text};
  if (kind("Permission Error")) return {Code::permission_denied, text};
  if (kind("INTERRUPT") || kind("Interrupt")) return {Code::deadline_exceeded, text};
  if (kind("Constraint Error") || kind("TransactionContext Error") || kind("Dependency Error"))
    return {Code::failed_precondition, text};
  if (kind("INTERNAL Error") || kind("FATAL Error") || kind("Serialization Error"))
    return {Code::internal, text};
  return {Code::invalid_argument, text};
}

// The C API reads up to the first NUL: what follows would be dropped unseen.
Result<std::string> sql_of(std::string_view statement) {
  if (statement.find('\0') != std::string_view::npos)
    return Error{Code::invalid_argument, "SQL must not hold a NUL byte"};
  return std::string(statement);
}

// The query with each column that read() cannot say cast to text. The newlines end a comment that
// may close the statement.
std::string cast_to_text(std::string statement, const std::vector<LogicalType>& types,
                         Lists lists) {
  while (!statement.empty() &&
         (statement.back() == ';' || std::isspace(static_cast<unsigned char>(statement.back()))))
    statement.pop_back();
  std::string names, outer;
  for (std::size_t at = 0; at < types.size(); ++at) {
    const std::string name = "c" + std::to_string(at), comma = at ? ", " : "";
    names += comma + name;
    outer += comma + (needs_cast(types[at].get(), lists) ? "CAST(" + name + " AS VARCHAR)" : name);
  }
  return "SELECT " + outer + " FROM (\n" + statement + "\n) AS penstock_cast(" + names + ")";
}

Scalar scalar_of(olap::Type type, const olap::Chunk::Values& values, std::size_t row) {
  if (!values.valid[row]) return std::monostate{};
  switch (type) {
    case olap::Type::boolean: return values.whole[row] != 0;
    case olap::Type::bigint:
    case olap::Type::timestamp: return values.whole[row];
    case olap::Type::real: return values.real[row];
    default: return values.text[row];
  }
}

struct Shape {
  std::vector<olap::Column> columns;
  std::vector<LogicalType> types;

  void add(std::string name, LogicalType type) {
    columns.push_back(column_of(std::move(name), type.get()));
    types.push_back(std::move(type));
  }
  // The first column that read() cannot say, or null.
  const olap::Column* stuck(Lists lists) const {
    for (std::size_t at = 0; at < types.size(); ++at)
      if (needs_cast(types[at].get(), lists)) return &columns[at];
    return nullptr;
  }
};

Shape shape_of(duckdb_prepared_statement prepared) {
  Shape out;
  for (idx_t at = 0; at < duckdb_prepared_statement_column_count(prepared); ++at) {
    const char* name = duckdb_prepared_statement_column_name(prepared, at);
    out.add(name ? name : "",
            LogicalType(duckdb_prepared_statement_column_logical_type(prepared, at)));
    duckdb_free(const_cast<char*>(name));
  }
  return out;
}

Shape shape_of(duckdb_result* result) {
  Shape out;
  for (idx_t at = 0; at < duckdb_column_count(result); ++at)
    out.add(duckdb_column_name(result, at), LogicalType(duckdb_column_logical_type(result, at)));
  return out;
}

// What all sessions share, and outlives them.
struct Opened {
  Database database;
  std::mutex turn;
  std::set<std::string> functions;  // that are defined
};

class Session final : public olap::Session {
 public:
  Session(std::shared_ptr<Opened> opened, Connection connection)
      : opened_(std::move(opened)), connection_(std::move(connection)) {}

  Result<void> run(std::string_view statements) override {
    const std::string text = TRY(sql_of(statements));
    Extracted all;
    const idx_t count = duckdb_extract_statements(connection_.get(), text.c_str(), all.out());
    if (count == 0) {
      if (const char* message = duckdb_extract_statements_error(all.get())) return fault(message);
      return {};
    }
    for (idx_t at = 0; at < count; ++at) {
      Prepared prepared;
      if (duckdb_prepare_extracted_statement(connection_.get(), all.get(), at, prepared.out()) ==
          DuckDBError)
        return fault(duckdb_prepare_error(prepared.get()));
      TRY(finish(prepared.get()));
    }
    return {};
  }

  Result<olap::Table> query(std::string_view statement,
                            const std::vector<Scalar>& parameters) override {
    olap::Table table;
    table.columns = TRY(execute(
        statement, parameters, Lists::as_text, [&](const Shape& shape, const olap::Chunk& chunk) {
          for (std::size_t row = 0; row < chunk.rows; ++row) {
            auto& cells = table.rows.emplace_back();
            cells.reserve(chunk.columns.size());
            for (std::size_t at = 0; at < chunk.columns.size(); ++at)
              cells.push_back(scalar_of(shape.columns[at].type, chunk.columns[at], row));
          }
          return Result<void>();
        }));
    return table;
  }

  Result<std::vector<olap::Column>> stream(
      std::string_view statement, const std::vector<Scalar>& parameters,
      const std::function<Result<void>(const olap::Chunk&)>& visit) override {
    return execute(statement, parameters, Lists::as_text,
                   [&](const Shape&, const olap::Chunk& chunk) { return visit(chunk); });
  }

  Result<std::vector<olap::Column>> stream_lists(
      std::string_view statement, const std::vector<Scalar>& parameters,
      const std::function<Result<void>(const olap::Chunk&)>& visit) override {
    return execute(statement, parameters, Lists::as_items,
                   [&](const Shape&, const olap::Chunk& chunk) { return visit(chunk); });
  }

  Result<void> append(std::string_view table, const olap::Chunk& chunk) override {
    const auto appended = duckdb::append(connection_.get(), TRY(sql_of(table)), chunk);
    if (!appended) return fault(appended.error().message.c_str());
    return {};
  }

  Result<std::vector<olap::Column>> describe(std::string_view statement) override {
    const std::string text = TRY(sql_of(statement));
    const Prepared prepared = TRY(prepare(text));
    return shape_of(prepared.get()).columns;
  }

  Result<std::vector<std::string>> tables_of(std::string_view statement) override {
    const std::string text = TRY(sql_of(statement));
    // DuckDB's own list of table names comes out empty where it cannot bind them, so we read the
    // parsed tree.
    const olap::Table answer = TRY(query(
        "SELECT json_serialize_sql($1::VARCHAR, skip_empty := true, skip_null := true)", {text}));
    boost::system::error_code failed;
    json::parse_options deep;
    deep.max_depth = 10'000;
    const json::value tree =
        json::parse(std::get<std::string>(answer.rows.at(0).at(0)), failed, {}, deep);
    if (failed) return Error{Code::invalid_argument, "the query is nested too deeply"};
    const json::object& said = tree.as_object();
    if (said.at("error").as_bool())
      return Error{Code::invalid_argument, std::string(said.at("error_message").as_string())};
    const std::size_t count = said.at("statements").as_array().size();
    if (count != 1)
      return Error{Code::invalid_argument, "give one query, not " + std::to_string(count)};
    const auto names = tables_in(tree);
    return std::vector<std::string>(names.begin(), names.end());
  }

  Result<void> define(olap::Function function) override {
    const std::lock_guard hold(opened_->turn);
    if (opened_->functions.contains(function.name)) return {};
    const std::string name = function.name;
    TRY(duckdb::define(connection_.get(), std::move(function)));
    opened_->functions.insert(name);
    return {};
  }

 private:
  using Visit = std::function<Result<void>(const Shape&, const olap::Chunk&)>;

  Result<Prepared> prepare(const std::string& text) {
    Prepared out;
    if (duckdb_prepare(connection_.get(), text.c_str(), out.out()) == DuckDBError)
      return fault(duckdb_prepare_error(out.get()));
    return out;
  }

  static Result<void> bind(duckdb_prepared_statement prepared,
                           const std::vector<Scalar>& parameters) {
    const idx_t wanted = duckdb_nparams(prepared);
    if (wanted != parameters.size())
      return Error{Code::invalid_argument, "the statement takes " + std::to_string(wanted) +
                                               " parameters, not " +
                                               std::to_string(parameters.size())};
    for (idx_t at = 1; at <= wanted; ++at) {
      const Scalar& value = parameters[at - 1];
      const auto type = duckdb_param_type(prepared, at);
      const bool time = type == DUCKDB_TYPE_TIMESTAMP || type == DUCKDB_TYPE_TIMESTAMP_S ||
                        type == DUCKDB_TYPE_TIMESTAMP_MS || type == DUCKDB_TYPE_TIMESTAMP_NS ||
                        type == DUCKDB_TYPE_DATE;
      duckdb_state state = DuckDBSuccess;
      if (const auto* whole = std::get_if<std::int64_t>(&value))
        state = type == DUCKDB_TYPE_TIMESTAMP_TZ ? duckdb_bind_timestamp_tz(prepared, at, {*whole})
                : time                           ? duckdb_bind_timestamp(prepared, at, {*whole})
                                                 : duckdb_bind_int64(prepared, at, *whole);
      else if (const auto* truth = std::get_if<bool>(&value))
        state = duckdb_bind_boolean(prepared, at, *truth);
      else if (const auto* real = std::get_if<double>(&value))
        state = duckdb_bind_double(prepared, at, *real);
      else if (const auto* text = std::get_if<std::string>(&value))
        state = duckdb_bind_varchar_length(prepared, at, text->data(), text->size());
      else
        state = duckdb_bind_null(prepared, at);
      if (state == DuckDBError) return fault(duckdb_prepare_error(prepared));
    }
    return {};
  }

  // The columns as the statement has them, whether or not they had to be cast to be read.
  Result<std::vector<olap::Column>> execute(std::string_view statement,
                                            const std::vector<Scalar>& parameters, Lists lists,
                                            const Visit& visit) {
    const std::string text = TRY(sql_of(statement));
    Prepared prepared = TRY(prepare(text));
    TRY(bind(prepared.get(), parameters));
    Shape planned = shape_of(prepared.get());
    if (planned.stuck(lists))
      return execute_cast(text, prepared.get(), parameters, std::move(planned), lists, visit);
    QueryResult result;
    TRY(start(prepared.get(), result));
    // Types that hang on parameters are only known now.
    Shape actual = shape_of(result.out());
    if (actual.stuck(lists))
      return execute_cast(text, prepared.get(), parameters, std::move(actual), lists, visit);
    TRY(fetch(result, actual.types, actual, visit));
    return std::move(actual.columns);
  }

  Result<std::vector<olap::Column>> execute_cast(const std::string& text,
                                                 duckdb_prepared_statement original,
                                                 const std::vector<Scalar>& parameters, Shape shape,
                                                 Lists lists, const Visit& visit) {
    if (duckdb_prepared_statement_type(original) != DUCKDB_STATEMENT_TYPE_SELECT)
      return Error{Code::invalid_argument, "column " + shape.stuck(lists)->name + " is " +
                                               shape.stuck(lists)->declared +
                                               ", which only a SELECT can give"};
    const Prepared prepared = TRY(prepare(cast_to_text(text, shape.types, lists)));
    TRY(bind(prepared.get(), parameters));
    QueryResult result;
    TRY(start(prepared.get(), result));
    TRY(fetch(result, shape_of(result.out()).types, shape, visit));
    return std::move(shape.columns);
  }

  // Until there is something to fetch. DuckDB's own calls for it keep a core busy with looking for
  // tasks while the last of them are with other threads.
  static Result<void> run_until_ready(duckdb_pending_result pending) {
    for (;;) {
      const duckdb_pending_state state = duckdb_pending_execute_task(pending);
      if (state == DUCKDB_PENDING_ERROR) return fault(duckdb_pending_error(pending));
      if (duckdb_pending_execution_is_finished(state)) return {};
      if (state == DUCKDB_PENDING_NO_TASKS_AVAILABLE)
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

  static Result<void> finish(duckdb_prepared_statement prepared) {
    Pending pending;
    if (duckdb_pending_prepared(prepared, pending.out()) == DuckDBError)
      return fault(duckdb_pending_error(pending.get()));
    TRY(run_until_ready(pending.get()));
    QueryResult result;
    if (duckdb_execute_pending(pending.get(), result.out()) == DuckDBError)
      return fault(duckdb_result_error(result.out()));
    return {};
  }

  static Result<void> start(duckdb_prepared_statement prepared, QueryResult& result) {
    // Marked for removal in DuckDB since 1.0, and still the only call of its C API that does not
    // gather the whole result in memory first.
    Pending pending;
    if (duckdb_pending_prepared_streaming(prepared, pending.out()) == DuckDBError)
      return fault(duckdb_pending_error(pending.get()));
    TRY(run_until_ready(pending.get()));
    if (duckdb_execute_pending(pending.get(), result.out()) == DuckDBError)
      return fault(duckdb_result_error(result.out()));
    return {};
  }

  static Result<void> fetch(QueryResult& result, const std::vector<LogicalType>& types,
                            const Shape& shape, const Visit& visit) {
    for (;;) {
      const DataChunk chunk(duckdb_fetch_chunk(*result.out()));
      if (!chunk) break;
      if (duckdb_data_chunk_get_size(chunk.get()) == 0) continue;
      const olap::Chunk rows = TRY(read(chunk.get(), types));
      TRY(visit(shape, rows));
    }
    if (const char* message = duckdb_result_error(result.out()); message && *message)
      return fault(message);
    return {};
  }

  std::shared_ptr<Opened> opened_;  // outlives the connection
  Connection connection_;
};

class Engine final : public olap::Engine {
 public:
  explicit Engine(Options options) : options_(std::move(options)) {}

  Result<std::unique_ptr<olap::Session>> session() override {
    const auto shared = TRY(opened());
    Connection connection;
    if (duckdb_connect(shared->database.get(), connection.out()) == DuckDBError)
      return Error{Code::unavailable, "DuckDB gives no more connections"};
    auto session = std::make_unique<Session>(shared, std::move(connection));
    TRY(session->run("SET TimeZone = 'UTC'"));
    return std::unique_ptr<olap::Session>(std::move(session));
  }

 private:
  Result<std::shared_ptr<Opened>> opened() {
    const std::lock_guard lock(mutex_);
    if (opened_) return opened_;
    if (options_.memory_limit_mb < 1 || options_.threads < 1)
      return Error{Code::invalid_argument, "DuckDB needs at least 1 MB and 1 thread"};
    Config config;
    if (duckdb_create_config(config.out()) == DuckDBError)
      return Error{Code::resource_exhausted, "no memory for DuckDB's configuration"};
    const std::pair<const char*, std::string> settings[] = {
        {"memory_limit", std::to_string(options_.memory_limit_mb) + "MiB"},
        {"threads", std::to_string(options_.threads)},
        {"temp_directory", options_.temp_directory},
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
        {"allow_community_extensions", "false"},
        // INSTALL by name goes nowhere: not to the network, and not to what a home directory holds.
        {"custom_extension_repository", "/nonexistent"},
        {"extension_directory", "/nonexistent"},
    };
    for (const auto& [name, value] : settings)
      if (duckdb_set_config(config.get(), name, value.c_str()) == DuckDBError)
        return Error{Code::invalid_argument,
                     "DuckDB refuses the setting " + std::string(name) + " = " + value};
    auto made = std::make_shared<Opened>();
    char* message = nullptr;
    if (duckdb_open_ext(options_.path.empty() ? nullptr : options_.path.c_str(),
                        made->database.out(), config.get(), &message) == DuckDBError) {
      const Error error{Code::unavailable, message ? message : "DuckDB cannot open its database"};
      duckdb_free(message);
      return error;
    }
    Connection connection;
    if (duckdb_connect(made->database.get(), connection.out()) == DuckDBError)
      return Error{Code::unavailable, "DuckDB gives no connection"};
    TRY(add_lookups(connection.get()));
    if (options_.spill_limit_mb > 0) {
      // As an option of the opening DuckDB 1.5 takes it, and does not keep it.
      QueryResult result;
      const std::string limit = "SET GLOBAL max_temp_directory_size = '" +
                                std::to_string(options_.spill_limit_mb) + "MiB'";
      if (duckdb_query(connection.get(), limit.c_str(), result.out()) == DuckDBError)
        return fault(duckdb_result_error(result.out()));
    }
    return opened_ = std::move(made);
  }

  const Options options_;
  std::mutex mutex_;
  std::shared_ptr<Opened> opened_;
};

}  // namespace

std::unique_ptr<olap::Engine> open(Options options) {
  return std::make_unique<Engine>(std::move(options));
}

}  // namespace penstock::duckdb
