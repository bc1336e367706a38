#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>

#include "classification/checks.h"
#include "classification/checksums.h"
#include "classification/countries.h"

namespace penstock::classification::checks {
namespace {

struct IssuerRange {
  int from, to;  // of the first digits, as many as `from` has
  std::size_t shortest, longest;
};
// ISO/IEC 7812 ranges of the networks in use. Amex, Visa, Mastercard, Diners, Discover, JCB,
// UnionPay, Maestro, Mir, RuPay.
constexpr std::array issuers = {IssuerRange{34, 34, 15, 15},     IssuerRange{37, 37, 15, 15},
                                IssuerRange{4, 4, 16, 16},       IssuerRange{4, 4, 13, 13},
                                IssuerRange{4, 4, 19, 19},       IssuerRange{51, 55, 16, 16},
                                IssuerRange{2221, 2720, 16, 16}, IssuerRange{300, 305, 14, 14},
                                IssuerRange{36, 36, 14, 14},     IssuerRange{38, 39, 14, 14},
                                IssuerRange{6011, 6011, 16, 19}, IssuerRange{644, 659, 16, 19},
                                IssuerRange{3528, 3589, 16, 16}, IssuerRange{62, 62, 16, 19},
                                IssuerRange{5018, 5018, 13, 19}, IssuerRange{5020, 5020, 13, 19},
                                IssuerRange{5038, 5038, 13, 19}, IssuerRange{5893, 5893, 13, 19},
                                IssuerRange{6304, 6304, 13, 19}, IssuerRange{6759, 6763, 13, 19},
                                IssuerRange{2200, 2204, 16, 16}, IssuerRange{508, 508, 16, 16},
                                IssuerRange{60, 60, 16, 16}};

bool issued(std::string_view digits) {
  return std::any_of(issuers.begin(), issuers.end(), [&](const IssuerRange& range) {
    const std::size_t width = range.from < 10     ? 1
                              : range.from < 100  ? 2
                              : range.from < 1000 ? 3
                                                  : 4;
    int prefix = 0;
    std::from_chars(digits.data(), digits.data() + width, prefix);
    return prefix >= range.from && prefix <= range.to && digits.size() >= range.shortest &&
           digits.size() <= range.longest;
  });
}

// What networks and processors publish for tests: data of nobody.
constexpr std::array<std::string_view, 20> published = {
    "4111111111111111", "4242424242424242", "4012888888881881", "4000056655665556",
    "4222222222222",    "5555555555554444", "5105105105105100", "2223003122003222",
    "5200828282828210", "378282246310005",  "371449635398431",  "378734493671000",
    "6011111111111117", "6011000990139424", "30569309025904",   "38520000023237",
    "3056930009020004", "3530111333300000", "3566002020360505", "6200000000000005"};

// The digits of a value whose groups are parted by one blank or dash each; empty where it holds
// anything else.
std::string grouped_digits(const Value& value) {
  std::string digits;
  bool parted = true;
  for (const char letter : value.text) {
    if (is_digit(letter)) {
      digits += letter;
      parted = false;
    } else if ((letter == ' ' || letter == '-') && !parted) {
      parted = true;
    } else {
      return "";
    }
  }
  return parted ? "" : digits;
}

}  // namespace

Verdict card(const Value& value) {
  if (value.digits < 13 || value.digits > 19 || value.size() > 24 || value.letters() > 0)
    return Verdict::no;
  const std::string digits = grouped_digits(value);
  if (digits.empty() || !issued(digits) || !luhn_holds(digits)) return Verdict::no;
  if (std::find(published.begin(), published.end(), digits) != published.end()) return Verdict::no;
  return Verdict::strong;
}

Verdict iban(const Value& value) {
  if (value.size() < 15 || value.size() > 42 || value.digits < 2) return Verdict::no;
  std::string text;
  for (const char letter : value.text)
    if (letter != ' ' && letter != '-') text += is_lower(letter) ? lower_of(letter) - 32 : letter;
  if (text.size() < 15 || text.size() != iban_length(std::string_view(text).substr(0, 2)))
    return Verdict::no;
  for (const char letter : text)
    if (!is_digit(letter) && !is_upper(letter)) return Verdict::no;
  if (!is_digit(text[2]) || !is_digit(text[3])) return Verdict::no;
  return mod_97(text.substr(4) + text.substr(0, 4)) == 1 ? Verdict::strong : Verdict::no;
}

// ISO 9362: four letters, a country, two of letters or digits, and maybe three for the branch.
Verdict bic(const Value& value) {
  if ((value.size() != 8 && value.size() != 11) ||
      value.upper + value.digits != static_cast<int>(value.size()))
    return Verdict::no;
  for (std::size_t at = 0; at < 6; ++at)
    if (!is_upper(value.text[at])) return Verdict::no;
  if (!is_country(value.text.substr(4, 2))) return Verdict::no;
  // Eight capitals are a word too; a digit or a head office's XXX is a code.
  const bool coded = value.digits > 0 || value.text.ends_with("XXX");
  return coded ? Verdict::strong : Verdict::weak;
}

Verdict cvv(const Value& value) {
  return value.only_digits() && (value.size() == 3 || value.size() == 4) ? Verdict::weak
                                                                         : Verdict::no;
}

// Account, routing and sort codes: digits, maybe grouped.
Verdict account(const Value& value) {
  if (value.digits < 6 || value.digits > 17 || value.letters() > 2) return Verdict::no;
  const int rest = static_cast<int>(value.size()) - value.digits - value.letters();
  return rest == value.spaces + value.dashes && rest <= 4 ? Verdict::weak : Verdict::no;
}

}  // namespace penstock::classification::checks
