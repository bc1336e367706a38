// The one seam to a relational database. SQLite and PostgreSQL implement it; components write
// the SQL that both read: $1 parameters, ON CONFLICT, RETURNING, BIGINT, DOUBLE PRECISION, TEXT,
// BOOLEAN.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/call.h"
#include "base/described.h"
#include "base/json.h"
#include "base/result.h"

namespace penstock::sql {

using Row = std::vector<Scalar>;

struct Answer {
  std::vector<std::string> columns;  // as the statement names them
  std::vector<Row> rows;
};

// An open transaction.
class Tx {
 public:
  virtual ~Tx() = default;
  // Runs one statement, with one parameter for each of $1, $2, ...; those that it does not name are
  // left out. A broken unique constraint is already_exists, a value that breaks a CHECK, a
  // reference or NOT NULL failed_precondition, a statement that outlives the call's deadline
  // deadline_exceeded, a full disk or a lost server unavailable. After a failure the transaction is
  // over: what runs later, and the commit, give the same error.
  virtual Result<std::vector<Row>> run(std::string_view statement, const Row& parameters) = 0;
  // Runs one SELECT that somebody else wrote. It sees what this transaction wrote, can change
  // nothing, and is stopped after `time_limit` (deadline_exceeded). The transaction outlives a
  // failure of it.
  virtual Result<Answer> ask(std::string_view statement, const Row& parameters,
                             Micros time_limit) = 0;
};

class Database {
 public:
  virtual ~Database() = default;

  // Runs `body` in a transaction, and commits if it returns a value. The commit is durable when
  // this returns (callers at the same time may share one fsync), and writers see each other's work
  // whole, as if one came after the other. Blocks: call from a worker. `body` must not open another
  // transaction, and may run on another thread than the caller's, which waits meanwhile.
  template <class Body>
  auto write(const Call& call, Body body) {
    return in_tx(call, Access::write, body);
  }
  // One snapshot of what is committed. Statements that change something fail.
  template <class Body>
  auto read(const Call& call, Body body) {
    return in_tx(call, Access::read, body);
  }

 protected:
  enum class Access { read, write };
  using Body = std::function<Result<void>(Tx&)>;
  // Gives the error of `body`, or of the commit; throws what `body` throws. Both roll back.
  virtual Result<void> run(const Call& call, Access access, const Body& body) = 0;

 private:
  template <class Returning>
  std::invoke_result_t<Returning, Tx&> in_tx(const Call& call, Access access, Returning& body) {
    std::optional<std::invoke_result_t<Returning, Tx&>> result;
    TRY(run(call, access, [&](Tx& tx) -> Result<void> {
      result.emplace(body(tx));
      if (!*result) return result->error();
      return {};
    }));
    return std::move(*result);
  }
};

// What adapters ask of every parameter, so that one database refuses what the other does: a text
// without a zero byte, a number that is one (SQLite would store NaN as NULL). invalid_argument.
Result<void> check_parameter(const Scalar& parameter);

// What ask() gives where the statement ran into its own limit.
Error stopped_after(Micros time_limit);

// Scalars go as they are, but times as whole microseconds; lists, maps and structs go as JSON text.
template <class T>
Scalar to_sql(const T& value) {
  if constexpr (is_optional<T>)
    return value ? to_sql(*value) : Scalar{};
  else if constexpr (Compound<T>)
    return json::serialize(encode(value));
  else if constexpr (std::same_as<T, Timestamp>)
    return std::int64_t{value.time_since_epoch().count()};
  else if constexpr (std::same_as<T, Micros>)
    return std::int64_t{value.count()};
  else
    return Kind<T>::say(value);
}

template <class T>
void from_sql(const Scalar& column, T& out) {
  if constexpr (is_optional<T>) {
    if (column.index() != 0) from_sql(column, out.emplace());
  } else if constexpr (Compound<T>) {
    boost::system::error_code fault;
    const json::value value = parse_json(std::get<std::string>(column), fault);
    if (fault) throw std::logic_error("a column that should be JSON is none");
    Decoder().read(value, "", {}, out);
  } else if constexpr (std::same_as<T, Timestamp>) {
    out = Timestamp(Micros(std::get<std::int64_t>(column)));
  } else if constexpr (std::same_as<T, Micros>) {
    out = Micros(std::get<std::int64_t>(column));
  } else if (!Kind<T>::hear(column, out)) {
    throw std::logic_error("a column does not hold what its struct declares");
  }
}

template <Struct T>
T read_row(const Row& row) {
  T out;
  std::size_t column = 0;
  for_each_member(out, [&](auto, auto& field, auto&) { from_sql(row.at(column++), field); });
  return out;
}

// Every row as a T, where the statement selects columns<T>().
template <Struct T>
Result<std::vector<T>> select(Tx& tx, std::string_view statement, const Row& parameters) {
  const auto rows = TRY(tx.run(statement, parameters));
  std::vector<T> out;
  out.reserve(rows.size());
  for (const Row& row : rows) out.push_back(read_row<T>(row));
  return out;
}

// INSERT of every column of `value`.
template <Struct T>
Result<void> insert(Tx& tx, std::string_view table, const T& value, std::string_view suffix = "") {
  Row row;
  std::string marks;
  for_each_member(value, [&](auto, auto& field, auto&) {
    row.push_back(to_sql(field));
    marks += (marks.empty() ? "$" : ", $") + std::to_string(row.size());
  });
  TRY(tx.run("INSERT INTO " + std::string(table) + " (" + columns<T>() + ") VALUES (" + marks +
                 ") " + std::string(suffix),
             row));
  return {};
}

// Applies the numbered migrations that the database has not seen, each in a transaction of its own,
// and records them with their digests. A migration that was changed after it ran is
// failed_precondition.
struct Migration {
  std::string_view name;  // "0001_audit"
  std::string_view text;  // statements, each ended by ";" at the end of a line
};
Result<void> migrate(Database& db, const std::vector<Migration>& migrations, Timestamp now);

}  // namespace penstock::sql
