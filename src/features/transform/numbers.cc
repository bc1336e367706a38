// Arithmetic and functions of numbers.
#include <cmath>
#include <limits>

#include "features/transform/kernels.h"

namespace penstock::features::transform {
namespace {

using Whole = std::int64_t;
using MaybeWhole = std::optional<Whole>;
using MaybeReal = std::optional<double>;

constexpr Whole least_whole = std::numeric_limits<Whole>::min();

MaybeWhole add(Whole a, Whole b) {
  Whole out = 0;
  return __builtin_add_overflow(a, b, &out) ? MaybeWhole() : out;
}
MaybeWhole subtract(Whole a, Whole b) {
  Whole out = 0;
  return __builtin_sub_overflow(a, b, &out) ? MaybeWhole() : out;
}
MaybeWhole multiply(Whole a, Whole b) {
  Whole out = 0;
  return __builtin_mul_overflow(a, b, &out) ? MaybeWhole() : out;
}
MaybeReal divide(double a, double b) { return b == 0 ? MaybeReal() : a / b; }
MaybeWhole divide_whole(Whole a, Whole b) {
  if (b == 0 || (a == least_whole && b == -1)) return {};
  return a / b;
}
MaybeWhole remainder_whole(Whole a, Whole b) {
  if (b == 0) return {};
  return b == -1 ? 0 : a % b;
}
MaybeReal remainder_real(double a, double b) { return b == 0 ? MaybeReal() : std::fmod(a, b); }

template <class Number>
Whole sign_of(Number a) {
  return Whole{a > 0} - Whole{a < 0};
}

MaybeReal power(double a, double b) {
  if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::trunc(b)) return {};
  return std::pow(a, b);
}
// A negative number of digits rounds to tens, hundreds, ...
double round_to(double x, Whole digits) {
  if (!std::isfinite(x) || digits > 400) return x;
  if (digits < -400) return 0;
  const double scale = std::pow(10.0, static_cast<double>(digits < 0 ? -digits : digits));
  const double out = digits < 0 ? std::round(x / scale) * scale : std::round(x * scale) / scale;
  if (std::isfinite(out)) return out;
  return digits < 0 ? 0 : x;  // the scale is beyond what a double can say
}
MaybeReal logarithm(double x, double (*of)(double)) {
  return x > 0 || std::isnan(x) ? of(x) : MaybeReal();
}

// Great-circle distance on a sphere of the earth's mean radius; in degrees.
MaybeReal haversine(double lat1, double lon1, double lat2, double lon2) {
  constexpr double radius = 6371.0088, degree = 3.14159265358979323846 / 180;
  if (!(std::abs(lat1) <= 90) || !(std::abs(lat2) <= 90) || !std::isfinite(lon1) ||
      !std::isfinite(lon2))
    return {};
  const double north = std::sin((lat2 - lat1) * degree / 2),
               east = std::sin((lon2 - lon1) * degree / 2);
  const double a = north * north + std::cos(lat1 * degree) * std::cos(lat2 * degree) * east * east;
  return 2 * radius * std::asin(std::min(1.0, std::sqrt(a)));
}

}  // namespace

std::vector<Function> number_functions() {
  return {
      entry<add>("+"),
      entry<[](double a, double b) { return a + b; }>("+"),
      entry<[](Whole a) { return a; }>("+"),
      entry<[](double a) { return a; }>("+"),
      entry<subtract>("-"),
      entry<[](double a, double b) { return a - b; }>("-"),
      entry<[](Whole a) { return subtract(0, a); }>("-"),
      entry<[](double a) { return -a; }>("-"),
      entry<multiply>("*"),
      entry<[](double a, double b) { return a * b; }>("*"),
      entry<divide>("/"),
      entry<divide_whole>("//"),
      entry<remainder_whole>("%"),
      entry<remainder_real>("%"),
      entry<remainder_whole>("mod"),
      entry<remainder_real>("mod"),
      entry<power>("^"),
      entry<power>("**"),
      entry<power>("pow"),
      entry<power>("power"),
      entry<[](Whole a) { return a < 0 ? subtract(0, a) : MaybeWhole(a); }>("abs"),
      entry<[](double a) { return std::abs(a); }>("abs"),
      entry<[](Whole a) { return a; }>("ceil"),
      entry<[](double a) { return std::ceil(a); }>("ceil"),
      entry<[](Whole a) { return a; }>("floor"),
      entry<[](double a) { return std::floor(a); }>("floor"),
      entry<[](Whole a) { return a; }>("round"),
      entry<[](double a) { return std::round(a); }>("round"),
      entry<round_to>("round"),
      entry<[](Whole a) { return a; }>("trunc"),
      entry<[](double a) { return std::trunc(a); }>("trunc"),
      entry<sign_of<Whole>>("sign"),
      entry<sign_of<double>>("sign"),
      entry<[](double a) { return a < 0 ? MaybeReal() : std::sqrt(a); }>("sqrt"),
      entry<[](double a) { return logarithm(a, std::log); }>("ln"),
      entry<[](double a) { return logarithm(a, std::log10); }>("log10"),
      entry<[](double a) { return logarithm(a, std::log2); }>("log2"),
      entry<[](double a) { return std::exp(a); }>("exp"),
      entry<[](double a) { return std::isfinite(a) ? std::sin(a) : MaybeReal(); }>("sin"),
      entry<[](double a) { return std::isfinite(a) ? std::cos(a) : MaybeReal(); }>("cos"),
      entry<[](double a, double b) { return std::atan2(a, b); }>("atan2"),
      entry<[](double a) { return std::isnan(a); }>("isnan"),
      entry<[](double a) { return std::isinf(a); }>("isinf"),
      entry<[](double a) { return std::isfinite(a); }>("isfinite"),
      entry<haversine>("haversine_km"),
  };
}

}  // namespace penstock::features::transform
