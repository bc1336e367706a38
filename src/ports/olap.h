// SQL over columns: DuckDB in process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/described.h"
#include "base/result.h"

namespace penstock::olap {

enum class Type { boolean, bigint, real, text, timestamp, decimal, other };
BOOST_DESCRIBE_ENUM(Type, boolean, bigint, real, text, timestamp, decimal, other)

struct Column {
  std::string name;
  Type type = Type::other;  // integers of every width are bigint, floats real, dates timestamps
                            // (midnight UTC)
  std::string declared;     // the engine's own word: "DECIMAL(38,12)"
};

// A stretch of rows, column by column. Only the vector of the column's type is filled; `other` and
// `decimal` come as text.
struct Chunk {
  struct Span {
    std::size_t begin = 0, count = 0;
  };
  struct Values {
    std::vector<std::uint8_t> valid;  // 1 where not null
    std::vector<std::int64_t> whole;  // boolean, bigint, timestamp (microseconds UTC)
    std::vector<double> real;
    std::vector<std::string> text;
    // Only of stream_lists: the items of all rows, one Values, and where those of each row are.
    std::vector<Values> items;
    std::vector<Span> spans;
  };
  std::size_t rows = 0;
  std::vector<Values> columns;
};

struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<Scalar>> rows;  // timestamps as whole microseconds
};

// A function of the values of a row that SQL may call by its name; it gives a STRUCT of v0, v1, ...
// Types are boolean, bigint, real, text and timestamp. `run` is called for stretches of rows, from
// several threads at once, and fills the rows of its results, whose columns have their size; it
// never fails. Equal values give equal results.
struct Function {
  std::string name;                      // letters, digits and _
  std::vector<Type> arguments, results;  // at least one of each
  std::function<void(const Chunk& arguments, Chunk& results)> run;
};

// One session: its temporary views and settings are its own. Not for two threads at once.
class Session {
 public:
  virtual ~Session() = default;
  virtual Result<void> run(std::string_view statements) = 0;
  virtual Result<Table> query(std::string_view statement,
                              const std::vector<Scalar>& parameters = {}) = 0;
  // Calls `visit` for each chunk in order; an error that it returns ends the query with that error.
  virtual Result<std::vector<Column>> stream(
      std::string_view statement, const std::vector<Scalar>& parameters,
      const std::function<Result<void>(const Chunk&)>& visit) = 0;
  // As stream, but lists and arrays of plain types come as items and not as text.
  virtual Result<std::vector<Column>> stream_lists(
      std::string_view statement, const std::vector<Scalar>& parameters,
      const std::function<Result<void>(const Chunk&)>& visit) = 0;
  // Appends rows to a table of the engine or of this session, whose columns, in their order, are of
  // types boolean, bigint, double, text or timestamp, as the chunk's.
  virtual Result<void> append(std::string_view table, const Chunk& chunk) = 0;
  // The columns that a query would give, without running it. A fault of binding is invalid_argument
  // with the engine's message.
  virtual Result<std::vector<Column>> describe(std::string_view statement) = 0;
  // Tables that the query reads, by name, as they are written in it.
  virtual Result<std::vector<std::string>> tables_of(std::string_view statement) = 0;
  // Makes a function callable, in every session of the engine and until its end: a name must say
  // what it does, for a second one of the same name is taken to be the first.
  virtual Result<void> define(Function function) = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  // Opens the engine on first use: it costs memory that an idle server need not spend.
  virtual Result<std::unique_ptr<Session>> session() = 0;
};

// 'it''s', "a ""name""".
std::string quoted_text(std::string_view text);
std::string quoted_name(std::string_view name);

}  // namespace penstock::olap
