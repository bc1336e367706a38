// What is said of a person: name, address, birth, place.
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "classification/checks.h"
#include "classification/lexicon.h"
#include "classification/words.h"

namespace penstock::classification::checks {
namespace {

std::vector<std::string_view> parts_of(std::string_view text, std::string_view marks) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  for (std::size_t at = 0; at <= text.size(); ++at)
    if (at == text.size() || marks.find(text[at]) != std::string_view::npos) {
      if (at > begin) parts.push_back(text.substr(begin, at - begin));
      begin = at + 1;
    }
  return parts;
}

int number(std::string_view digits) {
  int out = 0;
  for (const char digit : digits) out = out * 10 + (digit - '0');
  return out;
}

// Nobody alive was born before; what lies ahead is no birth.
bool is_birth_year(int year) { return year >= 1900 && year <= 2030; }

std::optional<double> real(std::string_view text) {
  if (text.size() > 24) return {};
  const std::string copy(text);
  char* end = nullptr;
  const double number = std::strtod(copy.c_str(), &end);
  if (end != copy.c_str() + copy.size() || !std::isfinite(number)) return {};
  return number;
}

std::size_t decimals_of(std::string_view text) {
  const std::size_t dot = text.find('.');
  return dot == std::string_view::npos ? 0 : text.size() - dot - 1;
}

Verdict degrees(const Value& value, double largest) {
  if (value.letters() > 1) return Verdict::no;
  const auto number = real(value.text);
  if (!number || std::abs(*number) > largest) return Verdict::no;
  return decimals_of(value.text) >= 2 ? Verdict::weak : Verdict::no;
}

bool is_letter_pair(std::string_view text) {
  return text.size() == 2 && is_upper(text[0]) && is_upper(text[1]);
}

// As letters (A), digits (9) and blanks: "SW1A 1AA" is "AA9A 9AA".
std::string shape_of(std::string_view text) {
  std::string shape;
  for (const char letter : text)
    shape += is_digit(letter) ? '9' : is_upper(letter) || is_lower(letter) ? 'A' : letter;
  return shape;
}

}  // namespace

// Two to four words, of which the first or the last is a given name known to the lexicon, is
// strong; one to five words of letters without a company's are weak.
Verdict person_name(const Value& value) {
  if (value.digits > 0 || value.ats || value.colons || value.letters() < 2 || value.size() > 60 ||
      value.others > 2)
    return Verdict::no;
  const std::string text = fold(value.text);
  const auto words = parts_of(text, " ,.()");
  if (words.empty() || words.size() > 5) return Verdict::no;
  for (const std::string_view word : words)
    if (is_company_word(word)) return Verdict::no;
  for (const char letter : value.text)
    if (!is_lower(letter) && !is_upper(letter) && static_cast<unsigned char>(letter) < 0x80 &&
        std::string_view(" ,.-'()").find(letter) == std::string_view::npos)
      return Verdict::no;
  const auto known = [](std::string_view word) {
    return is_given_name(word.substr(0, word.find('-')));
  };
  const bool title = words.size() > 1 && words[0].size() <= 4 && !known(words[0]);
  const bool given = known(words[title ? 1 : 0]) ||
                     (value.text.find(',') != std::string_view::npos && known(words.back()));
  return words.size() >= 2 && given ? Verdict::strong : Verdict::weak;
}

// A house number beside a word for a street is strong; words and a number are weak.
Verdict street_address(const Value& value) {
  if (value.digits == 0 || value.letters() < 3 || value.size() < 6 || value.size() > 200 ||
      value.ats || value.spaces == 0 || value.colons > 1)
    return Verdict::no;
  const std::string text = fold(value.text);
  const auto words = parts_of(text, " ,.\n");
  if (words.size() < 2) return Verdict::no;
  for (const std::string_view word : words) {
    if (is_street_word(word)) return Verdict::strong;
    // "hauptstrasse", "prinsengracht", "drottninggatan": the street is the end of the word.
    for (const std::string_view end : {"strasse", "str", "weg", "gasse", "platz", "allee", "straat",
                                       "laan", "gracht", "plein", "gatan", "vagen"})
      if (word.size() > end.size() + 2 && word.ends_with(end)) return Verdict::strong;
  }
  return Verdict::weak;
}

// Great Britain, Canada and the Netherlands write codes that nothing else looks like.
Verdict postal_code(const Value& value) {
  if (value.size() < 4 || value.size() > 10 || value.digits < 1) return Verdict::no;
  const std::string shape = shape_of(value.text);
  for (const std::string_view own :
       {"A9 9AA", "A99 9AA", "AA9 9AA", "AA99 9AA", "A9A 9AA", "AA9A 9AA", "A9A 9A9", "9999 AA"})
    if (shape == own) {
      // A unit of time or of weight stands after a number too.
      return shape != "9999 AA" || is_letter_pair(value.text.substr(5)) ? Verdict::strong
                                                                        : Verdict::no;
    }
  for (const std::string_view own :
       {"99999", "99999-9999", "9999", "999999", "99999-999", "999-9999", "99-999", "999 99",
        "A99999", "9999AA", "A9A9A9", "9999999", "999 999", "9999-999", "AA-9999", "AA9A9AA",
        "AA99AA", "A999AA"})
    if (shape == own) return Verdict::weak;
  return Verdict::no;
}

// A day, or a year alone.
Verdict birth_date(const Value& value) {
  if (value.digits < 4 || value.letters() > 9) return Verdict::no;
  const auto groups = parts_of(value.text.substr(0, value.text.find_first_of("T")), "-/. :,");
  if (value.only_digits()) {
    if (value.size() == 4) return is_birth_year(number(value.text)) ? Verdict::weak : Verdict::no;
    if (value.size() == 8)
      return is_birth_year(number(value.text.substr(0, 4))) ? Verdict::weak : Verdict::no;
    return Verdict::no;
  }
  for (const std::string_view group : groups)
    if (group.size() == 4 && is_digit(group[0]) && is_digit(group[3]) &&
        is_birth_year(number(group)))
      return groups.size() >= 3 ? Verdict::weak : Verdict::no;
  // "31/12/64"
  return groups.size() == 3 && value.digits >= 4 && value.digits <= 6 && value.letters() == 0
             ? Verdict::weak
             : Verdict::no;
}

Verdict latitude(const Value& value) { return degrees(value, 90); }
Verdict longitude(const Value& value) { return degrees(value, 180); }

// "52.5200, 13.4050" with at least three decimals each, or POINT (13.4050 52.5200).
Verdict coordinates(const Value& value) {
  if (value.dots != 2 || value.size() < 11 || value.size() > 60) return Verdict::no;
  std::string_view text = value.text;
  const bool point = text.starts_with("POINT");
  if (point) text.remove_prefix(5);
  const auto numbers = parts_of(text, " ,;()[]");
  if (numbers.size() != 2) return Verdict::no;
  const auto first = real(numbers[0]), second = real(numbers[1]);
  if (!first || !second || decimals_of(numbers[0]) < 3 || decimals_of(numbers[1]) < 3)
    return Verdict::no;
  const double latitude = point ? *second : *first, longitude = point ? *first : *second;
  return std::abs(latitude) <= 90 && std::abs(longitude) <= 180 ? Verdict::strong : Verdict::no;
}

}  // namespace penstock::classification::checks
