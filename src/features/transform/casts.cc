// Casts, and texts as values.
#include <charconv>
#include <cmath>

#include "features/transform/kernels.h"

namespace penstock::features::transform {
namespace {

using Whole = std::int64_t;
using Text = std::string_view;

template <class Number>
std::optional<Number> number_of(Text text) {
  Number out{};
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (fault != std::errc{} || end != text.data() + text.size()) return {};
  return out;
}

// Halves go to the even neighbour.
std::optional<Whole> whole_of(double x) {
  const double near = std::nearbyint(x);
  if (!(near >= -9223372036854775808.0 && near < 9223372036854775808.0)) return {};
  return static_cast<Whole>(near);
}

std::optional<bool> truth_of(Text text) {
  std::string small;
  if (text.size() > 5) return {};
  for (const char c : text) small += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (small == "true" || small == "t" || small == "1") return true;
  if (small == "false" || small == "f" || small == "0") return false;
  return {};
}

// "2020-01-01", and with a time of day and a zone; without a zone it is UTC.
std::optional<Instant> instant_of(Text text) {
  if (text.size() > 64) return {};
  std::string whole(text);
  if (whole.size() == 10) whole += "T00:00:00";
  if (whole.size() > 10 && whole[10] == ' ') whole[10] = 'T';
  if (whole.size() > 10 && whole.find_first_of("Zz+-", 10) == std::string::npos) whole += 'Z';
  const auto at = from_rfc3339(whole);
  if (!at) return {};
  return Instant{at->time_since_epoch().count()};
}

Text kept(Arena& arena, Text text) {
  char* made = static_cast<char*>(arena.allocate(text.size() + 1, 1));
  std::copy(text.begin(), text.end(), made);
  return {made, text.size()};
}

// The shortest digits that name the number: "0.1", "1.0", and "1e+16" from 16 digits on.
Text text_of(Arena& arena, double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x < 0 ? "-inf" : "inf";
  char digits[32];
  const auto scientific =
      std::to_chars(digits, digits + sizeof digits, x, std::chars_format::scientific);
  const Text shortest(digits, static_cast<std::size_t>(scientific.ptr - digits));
  const auto exponent = number_of<Whole>(
      shortest.substr(shortest.find('e') + 1 + (shortest.find("e+") != Text::npos)));
  if (*exponent >= 16 || *exponent < -4) return kept(arena, shortest);
  char plain[64];
  const auto fixed = std::to_chars(plain, plain + sizeof plain, x, std::chars_format::fixed);
  std::string out(plain, fixed.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return kept(arena, out);
}

}  // namespace

std::optional<Scalar> read_text(Type type, Text text) {
  const auto scalar = [](const auto& value) {
    return value ? std::optional<Scalar>(*value) : std::nullopt;
  };
  switch (type) {
    case Type::real: return scalar(number_of<double>(text));
    case Type::bigint: return scalar(number_of<Whole>(text));
    case Type::boolean:
      if (text == "true" || text == "1") return true;
      if (text == "false" || text == "0") return false;
      return {};
    case Type::text: return std::string(text);
    case Type::timestamp:
      if (const auto at = instant_of(text)) return at->micros;
      return {};
  }
  return {};
}

std::vector<Function> casts() {
  return {
      entry<[](Whole x) { return static_cast<double>(x); }>("cast to double"),
      entry<[](bool x) { return x ? 1.0 : 0.0; }>("cast to double"),
      entry<number_of<double>>("cast to double"),
      entry<whole_of>("cast to bigint"),
      entry<[](bool x) { return Whole{x}; }>("cast to bigint"),
      entry<number_of<Whole>>("cast to bigint"),
      entry<[](Whole x) { return x != 0; }>("cast to boolean"),
      entry<[](double x) { return x != 0; }>("cast to boolean"),
      entry<truth_of>("cast to boolean"),
      entry<[](Arena& arena, Whole x) { return kept(arena, std::to_string(x)); }>("cast to text"),
      entry<text_of>("cast to text"),
      entry<[](bool x) { return x ? Text("true") : Text("false"); }>("cast to text"),
      entry<instant_of>("cast to timestamp"),
  };
}

}  // namespace penstock::features::transform
