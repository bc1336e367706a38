// Plain functions as steps over cells: their C++ types say their types.
#pragma once

#include <optional>
#include <type_traits>

#include "features/transform/program.h"

namespace penstock::features::transform {

// A timestamp, to tell it from a whole number.
struct Instant {
  std::int64_t micros = 0;
};

template <class T>
struct Held;
template <>
struct Held<double> {
  static constexpr Type type = Type::real;
  static double get(const Cell& cell) { return cell.real; }
  static Cell put(double value) { return cell_of(value); }
};
template <>
struct Held<std::int64_t> {
  static constexpr Type type = Type::bigint;
  static std::int64_t get(const Cell& cell) { return cell.whole; }
  static Cell put(std::int64_t value) { return cell_of(value); }
};
template <>
struct Held<bool> {
  static constexpr Type type = Type::boolean;
  static bool get(const Cell& cell) { return cell.whole != 0; }
  static Cell put(bool value) { return cell_of(std::int64_t{value}); }
};
template <>
struct Held<std::string_view> {
  static constexpr Type type = Type::text;
  static std::string_view get(const Cell& cell) { return cell.view(); }
  static Cell put(std::string_view value) {
    return value.size() > text_max ? Cell() : cell_of(value);
  }
};
template <>
struct Held<Instant> {
  static constexpr Type type = Type::timestamp;
  static Instant get(const Cell& cell) { return {cell.whole}; }
  static Cell put(Instant value) { return cell_of(value.micros); }
};
template <class T>
struct Held<std::optional<T>> {
  static constexpr Type type = Held<T>::type;
  static Cell put(const std::optional<T>& value) { return value ? Held<T>::put(*value) : Cell(); }
};

struct Function {
  std::string_view name;
  std::array<Type, 4> arguments{};
  std::size_t count = 0;
  Type result{};
  Kernel kernel = nullptr;
};

namespace detail {

// A null in gives a null out.
template <auto function, class Result, class... Arguments>
struct Strict {
  template <std::size_t... at>
  static void run(const Stretch& s, std::index_sequence<at...>) {
    for (std::size_t row = 0; row < s.rows; ++row)
      s.out[row] = (s.in[at][row].valid && ...)
                       ? Held<Result>::put(function(Held<Arguments>::get(s.in[at][row])...))
                       : Cell();
  }
  static void kernel(const Stretch& s) { run(s, std::index_sequence_for<Arguments...>()); }
};
// The same for those that make texts.
template <auto function, class Result, class... Arguments>
struct StrictMaking {
  template <std::size_t... at>
  static void run(const Stretch& s, std::index_sequence<at...>) {
    for (std::size_t row = 0; row < s.rows; ++row)
      s.out[row] =
          (s.in[at][row].valid && ...)
              ? Held<Result>::put(function(*s.arena, Held<Arguments>::get(s.in[at][row])...))
              : Cell();
  }
  static void kernel(const Stretch& s) { run(s, std::index_sequence_for<Arguments...>()); }
};
// Those that say themselves what comes of nulls.
template <auto function, class... Cells>
struct Lenient {
  template <std::size_t... at>
  static void run(const Stretch& s, std::index_sequence<at...>) {
    for (std::size_t row = 0; row < s.rows; ++row) s.out[row] = function(s.in[at][row]...);
  }
  static void kernel(const Stretch& s) { run(s, std::index_sequence_for<Cells...>()); }
};

template <auto function, class Result, class... Arguments>
constexpr Function entry(std::string_view name, Result (*)(Arguments...)) {
  return {name,
          {Held<Arguments>::type...},
          sizeof...(Arguments),
          Held<Result>::type,
          Strict<function, Result, Arguments...>::kernel};
}
template <auto function, class Result, class... Arguments>
constexpr Function entry(std::string_view name, Result (*)(Arena&, Arguments...)) {
  return {name,
          {Held<Arguments>::type...},
          sizeof...(Arguments),
          Held<Result>::type,
          StrictMaking<function, Result, Arguments...>::kernel};
}
template <auto function, class... Cells>
constexpr Kernel lenient(Cell (*)(Cells...)) {
  return Lenient<function, Cells...>::kernel;
}

}  // namespace detail

// entry<[](double x) { return -x; }>("-"): what SQL calls it, its types and its step.
template <auto function>
constexpr Function entry(std::string_view name) {
  return detail::entry<function>(name, +function);
}
// Of a function over cells.
template <auto function>
constexpr Kernel lenient() {
  return detail::lenient<function>(+function);
}

// All functions and operators by name; several may have one name and other types. Casts are called
// "cast to TYPE".
const std::vector<Function>& functions();
std::vector<Function> number_functions();
std::vector<Function> text_functions();
std::vector<Function> time_functions();
std::vector<Function> casts();
// A value as people and requests write it; nothing where it is none of the type.
std::optional<Scalar> read_text(Type type, std::string_view text);

// Comparisons of two values of one type.
enum class Comparison { equal, not_equal, less, less_equal, greater, greater_equal };
Kernel comparison(Comparison which, Type type);
Kernel distinct(bool is_not, Type type);  // IS [NOT] DISTINCT FROM
Kernel least(Type type);
Kernel greatest(Type type);
// Three-valued.
Kernel both();
Kernel either();
Kernel negated();
Kernel is_null(bool is_not);
Kernel first_present();  // COALESCE of two
Kernel chosen();         // CASE WHEN a THEN b ELSE c
Kernel joined();         // CONCAT of two texts: a null is none

}  // namespace penstock::features::transform
