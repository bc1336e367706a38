#include "adapters/duckdb/lookup.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <vector>

#include "adapters/duckdb/duckdb.h"
#include "adapters/duckdb/values.h"

namespace penstock::duckdb {
namespace {

// What is known by a number that cannot be guessed.
template <class T>
class Numbered {
 public:
  std::int64_t add(std::shared_ptr<T> values) {
    const std::lock_guard hold(turn_);
    for (;;) {
      const auto number =
          static_cast<std::int64_t>((std::uint64_t{random_()} << 31) ^ std::uint64_t{random_()});
      if (offers_.emplace(number, values).second) return number;
    }
  }
  void remove(std::int64_t number) {
    const std::lock_guard hold(turn_);
    offers_.erase(number);
  }
  std::shared_ptr<T> find(std::int64_t number) {
    const std::shared_lock hold(turn_);
    const auto found = offers_.find(number);
    return found == offers_.end() ? nullptr : found->second;
  }

 private:
  std::shared_mutex turn_;
  std::random_device random_;
  std::map<std::int64_t, std::shared_ptr<T>> offers_;
};

// Of the process: functions are registered once for each database, and outlive any offer.
Numbered<const olap::Values>& offers() {
  static Numbered<const olap::Values> all;
  return all;
}

// A visitor, and the first error that it returned.
class Visitor {
 public:
  explicit Visitor(const std::function<Result<void>(const olap::Chunk&)>& visit) : visit_(visit) {}
  bool take(const olap::Chunk& chunk) {
    if (failed_) return false;
    const auto done = visit_(chunk);
    if (done) return true;
    const std::lock_guard hold(turn_);
    if (!error_) error_ = done.error();
    failed_ = true;
    return false;
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  const std::function<Result<void>(const olap::Chunk&)>& visit_;
  std::atomic<bool> failed_ = false;
  std::mutex turn_;
  std::optional<Error> error_;
};

Numbered<Visitor>& visitors() {
  static Numbered<Visitor> all;
  return all;
}

class OneOffer final : public olap::Offer {
 public:
  explicit OneOffer(std::shared_ptr<const olap::Values> values)
      : number_(offers().add(std::move(values))) {}
  OneOffer(const OneOffer&) = delete;
  ~OneOffer() override { offers().remove(number_); }

  std::string expression(std::size_t column, olap::Type type,
                         const std::string& row) const override {
    const char* name = type == olap::Type::real      ? "penstock_real"
                       : type == olap::Type::boolean ? "penstock_truth"
                       : type == olap::Type::bigint || type == olap::Type::timestamp
                           ? "penstock_whole"
                           : "penstock_text";
    const std::string call = std::string(name) + "(CAST(" + std::to_string(number_) +
                             " AS BIGINT), CAST(" + std::to_string(column) + " AS BIGINT), " + row +
                             ")";
    return type == olap::Type::timestamp ? "make_timestamp(" + call + ")" : call;
  }

 private:
  const std::int64_t number_;
};

class Lookups final : public olap::Lookup {
 public:
  Result<void> each(olap::Session& session, const std::string& statement,
                    const std::function<Result<void>(const olap::Chunk&)>& visit) override {
    const std::size_t count = TRY(session.describe(statement)).size();
    std::string names;
    for (std::size_t at = 0; at < count; ++at) names += ", c" + std::to_string(at);
    const auto visitor = std::make_shared<Visitor>(visit);
    const std::int64_t number = visitors().add(visitor);
    const auto done = session.query("SELECT bool_and(penstock_take(CAST(" + std::to_string(number) +
                                    " AS BIGINT)" + names + ")) FROM (" + statement + ") AS t(" +
                                    names.substr(2) + ")");
    visitors().remove(number);
    if (visitor->error()) return *visitor->error();
    if (!done) return done.error();
    return {};
  }
  std::unique_ptr<olap::Offer> offer(std::shared_ptr<const olap::Values> values) override {
    return std::make_unique<OneOffer>(std::move(values));
  }
};

// Calls take(values, column, rows, out) for the chunk that a function was called with.
template <class Take>
void serve(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output, Take take) {
  const idx_t count = duckdb_data_chunk_get_size(input);
  if (count == 0) return;
  std::int64_t* data[3];
  for (idx_t at = 0; at < 3; ++at)
    data[at] =
        static_cast<std::int64_t*>(duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, at)));
  const auto values = offers().find(data[0][0]);
  if (!values) return duckdb_scalar_function_set_error(info, "no such values are offered");
  std::vector<std::int64_t> rows(data[2], data[2] + count);
  if (std::uint64_t* valid = duckdb_vector_get_validity(duckdb_data_chunk_get_vector(input, 2)))
    for (idx_t at = 0; at < count; ++at)
      if (!duckdb_validity_row_is_valid(valid, at)) rows[at] = -1;
  std::vector<std::uint8_t> there(count);
  take(*values, static_cast<std::size_t>(data[1][0]), rows, there.data());
  duckdb_vector_ensure_validity_writable(output);
  std::uint64_t* valid = duckdb_vector_get_validity(output);
  for (idx_t at = 0; at < count; ++at)
    if (!there[at]) duckdb_validity_set_row_invalid(valid, at);
}

void serve_whole(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output) {
  auto* out = static_cast<std::int64_t*>(duckdb_vector_get_data(output));
  serve(info, input, output, [&](const olap::Values& values, auto column, auto& rows, auto* valid) {
    values.whole(column, rows, out, valid);
  });
}

void serve_real(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output) {
  auto* out = static_cast<double*>(duckdb_vector_get_data(output));
  serve(info, input, output, [&](const olap::Values& values, auto column, auto& rows, auto* valid) {
    values.real(column, rows, out, valid);
  });
}

void serve_truth(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output) {
  auto* out = static_cast<bool*>(duckdb_vector_get_data(output));
  serve(info, input, output, [&](const olap::Values& values, auto column, auto& rows, auto* valid) {
    values.truth(column, rows, out, valid);
  });
}

void serve_text(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output) {
  serve(info, input, output, [&](const olap::Values& values, auto column, auto& rows, auto* valid) {
    std::vector<std::string_view> texts(rows.size());
    values.text(column, rows, texts.data(), valid);
    for (idx_t at = 0; at < texts.size(); ++at)
      if (valid[at])
        duckdb_vector_assign_string_element_len(output, at, texts[at].data(), texts[at].size());
  });
}

// penstock_take(visitor, column, ...): hands the columns over, and is true.
void serve_take(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output) {
  const idx_t count = duckdb_data_chunk_get_size(input);
  if (count == 0) return;
  std::vector<LogicalType> types;
  for (idx_t at = 0; at < duckdb_data_chunk_get_column_count(input); ++at)
    types.emplace_back(duckdb_vector_get_column_type(duckdb_data_chunk_get_vector(input, at)));
  auto chunk = read(input, types);
  if (!chunk) return duckdb_scalar_function_set_error(info, chunk.error().message.c_str());
  const auto visitor = visitors().find(chunk->columns[0].whole[0]);
  if (!visitor) return duckdb_scalar_function_set_error(info, "no such visitor waits");
  chunk->columns.erase(chunk->columns.begin());
  if (!visitor->take(*chunk)) return duckdb_scalar_function_set_error(info, "the visitor refused");
  auto* out = static_cast<bool*>(duckdb_vector_get_data(output));
  std::fill(out, out + count, true);
}

Result<void> add_take(duckdb_connection connection) {
  const Owned<duckdb_scalar_function, duckdb_destroy_scalar_function> function(
      duckdb_create_scalar_function());
  const LogicalType number(duckdb_create_logical_type(DUCKDB_TYPE_BIGINT));
  const LogicalType any(duckdb_create_logical_type(DUCKDB_TYPE_ANY));
  const LogicalType truth(duckdb_create_logical_type(DUCKDB_TYPE_BOOLEAN));
  duckdb_scalar_function_set_name(function.get(), "penstock_take");
  duckdb_scalar_function_add_parameter(function.get(), number.get());
  duckdb_scalar_function_set_varargs(function.get(), any.get());
  duckdb_scalar_function_set_return_type(function.get(), truth.get());
  duckdb_scalar_function_set_special_handling(function.get());
  duckdb_scalar_function_set_volatile(function.get());
  duckdb_scalar_function_set_function(function.get(), serve_take);
  if (duckdb_register_scalar_function(connection, function.get()) == DuckDBError)
    return Error{Code::internal, "DuckDB refuses the function penstock_take"};
  return {};
}

}  // namespace

Result<void> add_lookups(duckdb_connection connection) {
  using Function = Owned<duckdb_scalar_function, duckdb_destroy_scalar_function>;
  struct Kind {
    const char* name;
    duckdb_type type;
    duckdb_scalar_function_t serve;
  };
  const Kind kinds[] = {{"penstock_whole", DUCKDB_TYPE_BIGINT, serve_whole},
                        {"penstock_real", DUCKDB_TYPE_DOUBLE, serve_real},
                        {"penstock_truth", DUCKDB_TYPE_BOOLEAN, serve_truth},
                        {"penstock_text", DUCKDB_TYPE_VARCHAR, serve_text}};
  const LogicalType number(duckdb_create_logical_type(DUCKDB_TYPE_BIGINT));
  for (const Kind& kind : kinds) {
    const Function function(duckdb_create_scalar_function());
    const LogicalType type(duckdb_create_logical_type(kind.type));
    duckdb_scalar_function_set_name(function.get(), kind.name);
    for (int parameter = 0; parameter < 3; ++parameter)
      duckdb_scalar_function_add_parameter(function.get(), number.get());
    duckdb_scalar_function_set_return_type(function.get(), type.get());
    duckdb_scalar_function_set_special_handling(function.get());
    duckdb_scalar_function_set_volatile(function.get());  // what it reads is no argument of it
    duckdb_scalar_function_set_function(function.get(), kind.serve);
    if (duckdb_register_scalar_function(connection, function.get()) == DuckDBError)
      return Error{Code::internal, "DuckDB refuses the function " + std::string(kind.name)};
  }
  return add_take(connection);
}

olap::Lookup& lookups() {
  static Lookups all;
  return all;
}

}  // namespace penstock::duckdb
