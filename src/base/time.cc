#include "base/time.h"

#include <array>
#include <charconv>

namespace penstock {
namespace {

// Reads exactly `digits` digits at `text`, and moves past them.
std::optional<int> number(std::string_view& text, std::size_t digits) {
  int value = 0;
  if (text.size() < digits) return {};
  const auto [end, fault] = std::from_chars(text.data(), text.data() + digits, value);
  if (fault != std::errc{} || end != text.data() + digits || value < 0) return {};
  text.remove_prefix(digits);
  return value;
}

bool skip(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<Timestamp> date(std::string_view& text) {
  const auto year = number(text, 4);
  if (!year || !skip(text, "-")) return {};
  const auto month = number(text, 2);
  if (!month || !skip(text, "-")) return {};
  const auto day = number(text, 2);
  if (!day) return {};
  const std::chrono::year_month_day ymd{std::chrono::year{*year},
                                        std::chrono::month{static_cast<unsigned>(*month)},
                                        std::chrono::day{static_cast<unsigned>(*day)}};
  if (!ymd.ok()) return {};
  return Timestamp(std::chrono::sys_days(ymd));
}

std::optional<Micros> time_of_day(std::string_view& text) {
  const auto hour = number(text, 2);
  if (!hour || !skip(text, ":")) return {};
  const auto minute = number(text, 2);
  if (!minute || !skip(text, ":")) return {};
  const auto second = number(text, 2);
  if (!second || *hour > 23 || *minute > 59 || *second > 60) return {};
  Micros of_day =
      std::chrono::hours(*hour) + std::chrono::minutes(*minute) + std::chrono::seconds(*second);
  if (skip(text, ".")) {
    int place = 100'000;
    bool any = false;
    while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
      of_day += Micros((text.front() - '0') * place);
      place /= 10;
      any = true;
      text.remove_prefix(1);
    }
    if (!any) return {};
  }
  return of_day;
}

std::optional<Micros> offset(std::string_view& text) {
  if (skip(text, "Zz")) return Micros(0);
  if (text.empty()) return {};
  const int sign = text.front() == '-' ? -1 : 1;
  if (!skip(text, "+-")) return {};
  const auto hour = number(text, 2);
  if (!hour || !skip(text, ":")) return {};
  const auto minute = number(text, 2);
  if (!minute || *hour > 23 || *minute > 59) return {};
  return sign * Micros(std::chrono::hours(*hour) + std::chrono::minutes(*minute));
}

}  // namespace

std::string to_rfc3339(Timestamp at) {
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day ymd(day);
  const std::chrono::hh_mm_ss time(at - day);
  std::string out;
  out.reserve(32);
  const auto put = [&](std::int64_t value, int width, char before) {
    if (before != '\0') out += before;
    if (value < 0) out += '-';
    std::array<char, 20> text{};
    const auto [end, fault] =
        std::to_chars(text.data(), text.data() + text.size(), value < 0 ? -value : value);
    const auto size = static_cast<std::size_t>(end - text.data());
    const auto wide = static_cast<std::size_t>(width - (value < 0 ? 1 : 0));
    if (size < wide) out.append(wide - size, '0');
    out.append(text.data(), size);
  };
  put(static_cast<int>(ymd.year()), 4, '\0');
  put(static_cast<unsigned>(ymd.month()), 2, '-');
  put(static_cast<unsigned>(ymd.day()), 2, '-');
  put(time.hours().count(), 2, 'T');
  put(time.minutes().count(), 2, ':');
  put(time.seconds().count(), 2, ':');
  if (const std::int64_t micros = time.subseconds().count()) put(micros, 6, '.');
  return out += 'Z';
}

std::optional<Timestamp> from_rfc3339(std::string_view text) {
  const auto day = date(text);
  if (!day || text.empty()) return day;
  if (!skip(text, "Tt ")) return {};
  const auto of_day = time_of_day(text);
  if (!of_day) return {};
  const auto east = offset(text);
  if (!east || !text.empty()) return {};
  return *day + *of_day - *east;
}

// A thousand years: more than anybody means, and no sum with a time overflows.
constexpr Micros longest = std::chrono::hours(24 * 365'000);

std::optional<Micros> duration_from(std::string_view text) {
  std::int64_t count = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (fault != std::errc{} || count < 0) return {};
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const auto of = [count](Micros one) -> std::optional<Micros> {
    if (count > longest / one) return {};
    return count * one;
  };
  if (unit == "ms") return of(std::chrono::milliseconds(1));
  if (unit == "s") return of(std::chrono::seconds(1));
  if (unit == "m") return of(std::chrono::minutes(1));
  if (unit == "h") return of(std::chrono::hours(1));
  if (unit == "d") return of(std::chrono::hours(24));
  if (unit == "w") return of(std::chrono::hours(24 * 7));
  return {};
}

Timestamp SystemClock::now() const {
  return std::chrono::floor<Micros>(std::chrono::system_clock::now());
}

}  // namespace penstock
