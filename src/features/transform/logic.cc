// Comparisons, and what says itself what comes of nulls.
#include <cmath>
#include <cstring>

#include "features/transform/kernels.h"

namespace penstock::features::transform {
namespace {

// <0, 0, >0. NaN is the greatest, and equal to itself.
int order(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return int{std::isnan(a)} - int{std::isnan(b)};
  return int{a > b} - int{a < b};
}
int order(std::int64_t a, std::int64_t b) { return int{a > b} - int{a < b}; }
int order(std::string_view a, std::string_view b) { return a.compare(b); }
int order(bool a, bool b) { return int{a} - int{b}; }
int order(Instant a, Instant b) { return order(a.micros, b.micros); }

template <class T>
int order_of(const Cell& a, const Cell& b) {
  return order(Held<T>::get(a), Held<T>::get(b));
}

bool holds(Comparison which, int found) {
  switch (which) {
    case Comparison::equal: return found == 0;
    case Comparison::not_equal: return found != 0;
    case Comparison::less: return found < 0;
    case Comparison::less_equal: return found <= 0;
    case Comparison::greater: return found > 0;
    case Comparison::greater_equal: return found >= 0;
  }
  return false;
}

Cell truth(bool value) { return cell_of(std::int64_t{value}); }

template <class T, Comparison which>
Cell compared(const Cell& a, const Cell& b) {
  return a.valid && b.valid ? truth(holds(which, order_of<T>(a, b))) : Cell();
}
template <class T, bool is_not>
Cell told_apart(const Cell& a, const Cell& b) {
  const bool same = a.valid == b.valid && (!a.valid || order_of<T>(a, b) == 0);
  return truth(same == is_not);
}
template <class T, int sign>
Cell extreme(const Cell& a, const Cell& b) {
  if (!a.valid || !b.valid) return a.valid ? a : b;
  return order_of<T>(b, a) * sign > 0 ? b : a;
}

template <class T>
Kernel comparison_of(Comparison which) {
  switch (which) {
    case Comparison::equal: return lenient<compared<T, Comparison::equal>>();
    case Comparison::not_equal: return lenient<compared<T, Comparison::not_equal>>();
    case Comparison::less: return lenient<compared<T, Comparison::less>>();
    case Comparison::less_equal: return lenient<compared<T, Comparison::less_equal>>();
    case Comparison::greater: return lenient<compared<T, Comparison::greater>>();
    case Comparison::greater_equal: return lenient<compared<T, Comparison::greater_equal>>();
  }
  return nullptr;
}

// Calls `make` with a value of the C++ type of `type`.
Kernel by_type(Type type, auto&& make) {
  switch (type) {
    case Type::real: return make(double{});
    case Type::bigint: return make(std::int64_t{});
    case Type::boolean: return make(bool{});
    case Type::text: return make(std::string_view{});
    case Type::timestamp: return make(Instant{});
  }
  return nullptr;
}

Cell both_of(const Cell& a, const Cell& b) {
  if ((a.valid && !a.whole) || (b.valid && !b.whole)) return truth(false);
  return a.valid && b.valid ? truth(true) : Cell();
}
Cell either_of(const Cell& a, const Cell& b) {
  if ((a.valid && a.whole) || (b.valid && b.whole)) return truth(true);
  return a.valid && b.valid ? truth(false) : Cell();
}
Cell not_of(const Cell& a) { return a.valid ? truth(!a.whole) : Cell(); }
template <bool is_not>
Cell null_of(const Cell& a) {
  return truth(a.valid == is_not);
}
Cell first_of(const Cell& a, const Cell& b) { return a.valid ? a : b; }
Cell chosen_of(const Cell& when, const Cell& then, const Cell& other) {
  return when.valid && when.whole ? then : other;
}

void join_texts(const Stretch& s) {
  for (std::size_t row = 0; row < s.rows; ++row) {
    const std::string_view a = s.in[0][row].valid ? s.in[0][row].view() : "",
                           b = s.in[1][row].valid ? s.in[1][row].view() : "";
    if (a.size() + b.size() > text_max) {
      s.out[row] = {};
      continue;
    }
    char* made = static_cast<char*>(s.arena->allocate(a.size() + b.size() + 1, 1));
    std::copy(a.begin(), a.end(), made);
    std::copy(b.begin(), b.end(), made + a.size());
    s.out[row] = cell_of(std::string_view(made, a.size() + b.size()));
  }
}

}  // namespace

Kernel comparison(Comparison which, Type type) {
  return by_type(type, [&](auto value) { return comparison_of<decltype(value)>(which); });
}
Kernel distinct(bool is_not, Type type) {
  return by_type(type, [&](auto value) {
    using T = decltype(value);
    return is_not ? lenient<told_apart<T, true>>() : lenient<told_apart<T, false>>();
  });
}
Kernel least(Type type) {
  return by_type(type, [](auto value) { return lenient<extreme<decltype(value), -1>>(); });
}
Kernel greatest(Type type) {
  return by_type(type, [](auto value) { return lenient<extreme<decltype(value), 1>>(); });
}
Kernel both() { return lenient<both_of>(); }
Kernel either() { return lenient<either_of>(); }
Kernel negated() { return lenient<not_of>(); }
Kernel is_null(bool is_not) {
  return is_not ? lenient<null_of<true>>() : lenient<null_of<false>>();
}
Kernel first_present() { return lenient<first_of>(); }
Kernel chosen() { return lenient<chosen_of>(); }
Kernel joined() { return join_texts; }

}  // namespace penstock::features::transform
