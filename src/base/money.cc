#include "base/money.h"

#include <algorithm>
#include <array>

namespace penstock {

std::string to_text(Money amount) {
  constexpr Wide low_part = 1'000'000'000'000'000'000;  // 18 digits, which a word holds
  const bool negative = amount.units < 0;
  Wide high = negative ? -amount.units : amount.units;
  auto low = static_cast<std::uint64_t>(high % low_part);
  high /= low_part;
  std::array<char, 48> text{};
  std::size_t at = text.size();
  const auto put = [&](auto& rest) {
    text[--at] = static_cast<char>('0' + static_cast<int>(rest % 10));
    rest /= 10;
  };
  constexpr std::size_t fraction_size = 12, low_size = 18;
  for (std::size_t place = 0; place < fraction_size; ++place) put(low);
  std::size_t end = text.size();
  while (end > at && text[end - 1] == '0') --end;
  if (end > at) text[--at] = '.';
  if (high == 0) {
    do put(low);
    while (low > 0);
  } else {
    for (std::size_t place = fraction_size; place < low_size; ++place) put(low);
    while (high > 0) put(high);
  }
  if (negative) text[--at] = '-';
  return std::string(text.data() + at, end - at);
}

std::optional<Money> money_from(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  const std::size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction = point < text.size() ? text.substr(point + 1) : "";
  if (whole.empty() || whole.size() > 26 || fraction.size() > 12) return {};
  if (point < text.size() && fraction.empty()) return {};
  Wide units = 0;
  for (const std::string_view part : {whole, fraction})
    for (const char digit : part) {
      if (digit < '0' || digit > '9') return {};
      units = units * 10 + (digit - '0');
    }
  for (std::size_t place = fraction.size(); place < 12; ++place) units *= 10;
  return Money{negative ? -units : units};
}

}  // namespace penstock
