// Values in memory that SQL asks for by the number of a row: a join whose one side is there
// already, and that keeps the order of the other.
#pragma once

#include <memory>
#include <span>

#include "ports/olap.h"

namespace penstock::olap {

// Read by several threads at once. Each call gives column `column` of the rows of these numbers
// into `out`, and 1 or 0 into `valid`; a number that there is no row of is null. Which call a
// column takes, its type says: bigint, timestamp: whole; real; boolean: truth; all else text.
class Values {
 public:
  virtual ~Values() = default;
  virtual void whole(std::size_t column, std::span<const std::int64_t> rows, std::int64_t* out,
                     std::uint8_t* valid) const = 0;
  virtual void real(std::size_t column, std::span<const std::int64_t> rows, double* out,
                    std::uint8_t* valid) const = 0;
  virtual void truth(std::size_t column, std::span<const std::int64_t> rows, bool* out,
                     std::uint8_t* valid) const = 0;
  virtual void text(std::size_t column, std::span<const std::int64_t> rows, std::string_view* out,
                    std::uint8_t* valid) const = 0;
};

// Values that every session of the engine can ask for while this lives; after it, they are an
// error.
class Offer {
 public:
  virtual ~Offer() = default;
  // SQL that gives a column, of `type`, of the row whose number `row` (SQL too) gives.
  virtual std::string expression(std::size_t column, Type type, const std::string& row) const = 0;
};

class Lookup {
 public:
  virtual ~Lookup() = default;
  virtual std::unique_ptr<Offer> offer(std::shared_ptr<const Values> values) = 0;
  // Calls `visit` for each chunk that `statement` gives, in no order, from each of the engine's
  // threads as it has one: faster than Session::stream, which gives all to one. An error that it
  // returns ends the query with that error.
  virtual Result<void> each(Session& session, const std::string& statement,
                            const std::function<Result<void>(const Chunk&)>& visit) = 0;
};

}  // namespace penstock::olap
