// Functions of timestamps: UTC, in the proleptic Gregorian calendar with a year 0, over all that 64
// bits of microseconds say.
#include <limits>

#include "features/transform/kernels.h"

namespace penstock::features::transform {
namespace {

using Whole = std::int64_t;
using MaybeWhole = std::optional<Whole>;

constexpr Whole micros_per_second = 1'000'000, micros_per_day = 86'400 * micros_per_second;

Whole floor_divide(Whole a, Whole b) { return a / b - (a % b < 0 ? 1 : 0); }

// DuckDB's infinite times: no part of them has a value.
bool endless(Instant at) {
  constexpr Whole end = std::numeric_limits<Whole>::max();
  return at.micros == end || at.micros == -end;
}

struct Day {
  Whole year, month, day, of_year;  // from 1
};
// Counts in years that begin in March, so that a leap day is a year's last.
Day day_of(Instant at) {
  const Whole days = floor_divide(at.micros, micros_per_day) + 719'468;
  const Whole era = floor_divide(days, 146'097), of_era = days - era * 146'097;
  const Whole year_of_era = (of_era - of_era / 1'460 + of_era / 36'524 - of_era / 146'096) / 365;
  const Whole from_march = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const Whole month_from_march = (5 * from_march + 2) / 153;
  const Whole month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const Whole year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return {year, month, from_march - (153 * month_from_march + 2) / 5 + 1,
          month <= 2 ? from_march - 305 : from_march + (leap ? 61 : 60)};
}
Whole second_of_day(Instant at) {
  return floor_divide(at.micros, micros_per_second) -
         floor_divide(at.micros, micros_per_day) * 86'400;
}
// Sunday is 0; 1970-01-01 was a Thursday.
Whole weekday(Instant at) {
  const Whole days = floor_divide(at.micros, micros_per_day) + 4;
  return days - floor_divide(days, 7) * 7;
}

template <auto part>
Function part_of(std::string_view name) {
  return entry<[](Instant at) { return endless(at) ? MaybeWhole() : MaybeWhole(part(at)); }>(name);
}

}  // namespace

std::vector<Function> time_functions() {
  return {
      part_of<[](Instant at) { return day_of(at).year; }>("year"),
      part_of<[](Instant at) { return (day_of(at).month + 2) / 3; }>("quarter"),
      part_of<[](Instant at) { return day_of(at).month; }>("month"),
      part_of<[](Instant at) { return day_of(at).day; }>("day"),
      part_of<[](Instant at) { return day_of(at).of_year; }>("doy"),
      part_of<[](Instant at) { return day_of(at).of_year; }>("dayofyear"),
      part_of<weekday>("dow"),
      part_of<weekday>("dayofweek"),
      part_of<[](Instant at) { return weekday(at) == 0 ? Whole{7} : weekday(at); }>("isodow"),
      part_of<[](Instant at) { return second_of_day(at) / 3'600; }>("hour"),
      part_of<[](Instant at) { return second_of_day(at) / 60 % 60; }>("minute"),
      part_of<[](Instant at) { return second_of_day(at) % 60; }>("second"),
      part_of<[](Instant at) { return at.micros; }>("epoch_us"),
      part_of<[](Instant at) { return floor_divide(at.micros, 1'000); }>("epoch_ms"),
      entry<[](Instant at) {
        return endless(at)
                   ? std::optional<double>()
                   : static_cast<double>(at.micros) / static_cast<double>(micros_per_second);
      }>("epoch"),
      entry<[](Instant a, Instant b) {
        Whole micros = 0;
        if (endless(a) || endless(b) || __builtin_sub_overflow(a.micros, b.micros, &micros))
          return std::optional<double>();
        return std::optional(static_cast<double>(micros) / static_cast<double>(micros_per_second));
      }>("-"),
  };
}

}  // namespace penstock::features::transform
