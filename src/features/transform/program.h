// Expressions over the values of a row, compiled: what is said of them here holds offline and
// online, since both run the same steps over the same cells.
//
// Every step gives a value or null, and never fails. A null in gives a null out but where SQL says
// otherwise (AND, OR, IS NULL, COALESCE, CASE, CONCAT, LEAST, GREATEST, IS DISTINCT FROM). What has
// no value is null too: a division by zero, a whole number beyond 64 bits, the root or logarithm of
// a number that has none, a text that is no number. A real number too large is infinite. NaN equals
// NaN and is greater than every other number; -0.0 equals 0.0, and comes out as it. Texts
// compare by their bytes. A timestamp comes out if it is of the years 1 to 9999; else it is null.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/kind.h"

namespace penstock::features::transform {

enum class Type { real, bigint, boolean, text, timestamp };
std::string_view type_name(Type type);

// One value. boolean (0, 1), bigint and timestamp (microseconds UTC) are `whole`.
struct Cell {
  union {
    std::int64_t whole;
    double real;
    const char* text;
  };
  std::uint32_t size = 0;  // of the text
  bool valid = false;      // false: null

  Cell() : whole(0) {}
  std::string_view view() const { return {text, size}; }
};
static_assert(sizeof(Cell) == 16);

// Texts that steps make. A longer one than text_max is null.
using Arena = std::pmr::memory_resource;
inline constexpr std::size_t text_max = std::size_t{64} << 10;

// Cells of one step for a stretch of rows.
struct Stretch {
  Cell* out;
  std::array<const Cell*, 4> in;
  std::size_t rows;
  Arena* arena;
};
using Kernel = void (*)(const Stretch&);

// Steps in their order, each over registers. The arguments are the first registers.
struct Program {
  struct Step {
    Kernel kernel;
    std::uint32_t out;
    std::array<std::uint32_t, 4> in;
  };
  struct Constant {
    std::uint32_t at;
    Cell cell;
  };
  struct Output {
    std::uint32_t at;
    Type type;
  };
  std::vector<Type> registers;
  std::vector<std::uint32_t> arguments;
  std::vector<Constant> constants;
  std::vector<Step> steps;
  std::vector<Output> outputs;
  std::deque<std::string> texts;  // of the constants

  Program() = default;
  Program(const Program&) = delete;  // cells point into `texts`
  Program(Program&&) = default;
  Program& operator=(Program&&) = default;
};

// How many rows a frame should have, at most: few enough that a long program's registers stay near
// the processor, and that the texts it makes take no more than 64 MB.
std::size_t rows_at_once(const Program& program);

// The registers of one run, for at most as many rows as it was made for.
class Frame {
 public:
  Frame(const Program& program, std::size_t rows_max);
  // The cells of an argument, one for each row; to be filled before a run.
  Cell* argument(std::size_t number) { return cells(program_.arguments[number]); }
  void run(std::size_t rows);
  // One for each row, until the next run.
  const Cell* output(std::size_t number) const {
    return cells_.data() + number_of_first(program_.outputs[number].at);
  }

 private:
  std::size_t number_of_first(std::uint32_t at) const { return at * rows_max_; }
  Cell* cells(std::uint32_t at) { return cells_.data() + number_of_first(at); }

  const Program& program_;
  std::size_t rows_max_;
  std::vector<Cell> cells_;
  std::pmr::monotonic_buffer_resource arena_;
};

Cell cell_of(std::int64_t whole);
Cell cell_of(double real);
// The text must outlive the cell.
Cell cell_of(std::string_view text);
// Null where it is null or not of the type.
Cell cell_of(Type type, const Scalar& value);
Scalar scalar_of(Type type, const Cell& cell);

}  // namespace penstock::features::transform
