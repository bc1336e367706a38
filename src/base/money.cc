#include "base/money.h"

#include <algorithm>

namespace penstock {

std::string to_text(Money amount) {
  const bool negative = amount.units < 0;
  Wide rest = negative ? -amount.units : amount.units;
  std::string digits;
  while (rest > 0 || digits.size() < 13) {
    digits.push_back(static_cast<char>('0' + static_cast<int>(rest % 10)));
    rest /= 10;
  }
  std::reverse(digits.begin(), digits.end());
  std::string fraction = digits.substr(digits.size() - 12);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  std::string text = (negative ? "-" : "") + digits.substr(0, digits.size() - 12);
  return fraction.empty() ? text : text + "." + fraction;
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
