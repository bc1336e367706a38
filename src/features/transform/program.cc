#include "features/transform/program.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace penstock::features::transform {

std::string_view type_name(Type type) {
  switch (type) {
    case Type::real: return "double";
    case Type::bigint: return "bigint";
    case Type::boolean: return "boolean";
    case Type::text: return "text";
    case Type::timestamp: return "timestamp";
  }
  return "?";
}

namespace {

// What RFC 3339 can say: the years 1 to 9999.
constexpr std::int64_t first_time = -62'135'596'800'000'000, last_time = 253'402'300'799'999'999;

}  // namespace

std::size_t rows_at_once(const Program& program) {
  constexpr std::size_t rows_max = 128, bytes_max = std::size_t{64} << 20;
  std::size_t texts = 1;
  for (const Program::Step& step : program.steps)
    if (program.registers[step.out] == Type::text) ++texts;
  return std::clamp<std::size_t>(bytes_max / (texts * text_max), 1, rows_max);
}

Frame::Frame(const Program& program, std::size_t rows_max)
    : program_(program), rows_max_(rows_max), cells_(program.registers.size() * rows_max) {
  for (const Program::Constant& constant : program.constants)
    std::fill_n(cells(constant.at), rows_max, constant.cell);
}

void Frame::run(std::size_t rows) {
  arena_.release();
  for (const Program::Step& step : program_.steps)
    step.kernel({cells(step.out),
                 {cells(step.in[0]), cells(step.in[1]), cells(step.in[2]), cells(step.in[3])},
                 rows,
                 &arena_});
  // Which NaN comes out hangs on the processor's order of operands, and which zero is in a Parquet
  // file on which of them came first: its dictionary holds equal numbers once. We know but one
  // each.
  for (const Program::Output& output : program_.outputs) {
    Cell* out = cells(output.at);
    for (std::size_t row = 0; row < rows && output.type == Type::real; ++row) {
      if (!out[row].valid) continue;
      if (std::isnan(out[row].real)) out[row].real = std::numeric_limits<double>::quiet_NaN();
      if (out[row].real == 0) out[row].real = 0;
    }
    for (std::size_t row = 0; row < rows && output.type == Type::timestamp; ++row)
      if (out[row].whole < first_time || out[row].whole > last_time) out[row] = {};
  }
}

Cell cell_of(std::int64_t whole) {
  Cell out;
  out.whole = whole;
  out.valid = true;
  return out;
}

Cell cell_of(double real) {
  Cell out;
  out.real = real;
  out.valid = true;
  return out;
}

Cell cell_of(std::string_view text) {
  Cell out;
  if (text.size() > std::numeric_limits<std::uint32_t>::max()) return out;
  out.text = text.data();
  out.size = static_cast<std::uint32_t>(text.size());
  out.valid = true;
  return out;
}

Cell cell_of(Type type, const Scalar& value) {
  switch (type) {
    case Type::real:
      if (const auto* real = std::get_if<double>(&value)) return cell_of(*real);
      break;
    case Type::boolean:
      if (const auto* truth = std::get_if<bool>(&value)) return cell_of(std::int64_t{*truth});
      break;
    case Type::text:
      if (const auto* text = std::get_if<std::string>(&value))
        return cell_of(std::string_view(*text));
      break;
    case Type::bigint:
    case Type::timestamp:
      if (const auto* whole = std::get_if<std::int64_t>(&value)) return cell_of(*whole);
      break;
  }
  return {};
}

Scalar scalar_of(Type type, const Cell& cell) {
  if (!cell.valid) return {};
  switch (type) {
    case Type::real: return cell.real;
    case Type::boolean: return cell.whole != 0;
    case Type::text: return std::string(cell.view());
    case Type::bigint:
    case Type::timestamp: return cell.whole;
  }
  return {};
}

}  // namespace penstock::features::transform
