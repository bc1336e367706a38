// Exact money: never a float.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock {

__extension__ using Wide = __int128;

// An exact amount of 12 decimal places, as DECIMAL(38,12) holds it; said as text ("0.000125").
struct Money {
  Wide units = 0;  // 1e-12 of the ledger's currency

  static constexpr Wide per_whole = 1'000'000'000'000;
  static constexpr Money whole(std::int64_t amount) { return {Wide{amount} * per_whole}; }

  friend constexpr Money operator+(Money a, Money b) { return {a.units + b.units}; }
  friend constexpr Money operator-(Money a, Money b) { return {a.units - b.units}; }
  friend constexpr bool operator==(Money a, Money b) { return a.units == b.units; }
  friend constexpr std::strong_ordering operator<=>(Money a, Money b) {
    return a.units < b.units   ? std::strong_ordering::less
           : a.units > b.units ? std::strong_ordering::greater
                               : std::strong_ordering::equal;
  }
};

// The price of `count` units at `price` per `per` units, rounded half to even in the 12th place.
constexpr Money price_of(std::int64_t count, Money price, std::int64_t per) {
  const Wide product = Wide{count} * price.units;
  const Wide whole = product / per, rest = product % per;
  const Wide twice = (rest < 0 ? -rest : rest) * 2;
  const bool up = twice > per || (twice == per && whole % 2 != 0);
  return {whole + (up ? (product < 0 ? -1 : 1) : 0)};
}

static_assert(price_of(1, Money{5}, 2) == Money{2} && price_of(3, Money{5}, 2) == Money{8});

// "12.5", "-0.000000000001"; no trailing zeros.
std::string to_text(Money amount);
// Nothing where the text is no decimal of at most 12 places and 26 digits before the point.
std::optional<Money> money_from(std::string_view text);

}  // namespace penstock
