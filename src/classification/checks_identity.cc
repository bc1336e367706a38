// National identity numbers. Each says which digits its country could have given.
#include <algorithm>
#include <array>
#include <string>

#include "classification/checks.h"
#include "classification/checksums.h"

namespace penstock::classification::checks {
namespace {

// The digits of a value of digits and the separators `between`, empty where it holds anything else.
std::string digits_of(const Value& value, std::string_view between) {
  std::string digits;
  for (const char letter : value.text) {
    if (is_digit(letter))
      digits += letter;
    else if (between.find(letter) == std::string_view::npos)
      return "";
  }
  return digits;
}

int number(std::string_view digits) {
  int out = 0;
  for (const char digit : digits) out = out * 10 + (digit - '0');
  return out;
}

bool is_day(int month, int day) { return month >= 1 && month <= 12 && day >= 1 && day <= 31; }

bool all_equal(std::string_view digits) {
  return digits.find_first_not_of(digits.front()) == std::string_view::npos;
}

std::string upper_without_blanks(std::string_view text) {
  std::string out;
  for (const char letter : text)
    if (letter != ' ' && letter != '-' && letter != '.')
      out += is_lower(letter) ? static_cast<char>(letter - 'a' + 'A') : letter;
  return out;
}

}  // namespace

// Social Security Administration: no area 000, 666 or 9xx, no group 00, no serial 0000.
Verdict us_ssn(const Value& value) {
  if (value.digits != 9 || value.letters() > 0) return Verdict::no;
  const bool parted = value.size() == 11 && (value.dashes == 2 || value.spaces == 2) &&
                      !is_digit(value.text[3]) && !is_digit(value.text[6]);
  if (!parted && value.size() != 9) return Verdict::no;
  const std::string digits = digits_of(value, "- ");
  if (digits.size() != 9) return Verdict::no;
  const int area = number(std::string_view(digits).substr(0, 3));
  if (area == 0 || area == 666 || area >= 900 || digits.substr(3, 2) == "00" ||
      digits.substr(5) == "0000" || digits == "078051120" || digits == "123456789")
    return Verdict::no;
  return parted ? Verdict::strong : Verdict::weak;
}

// HMRC NIM39110: two letters, six digits, A to D; some letters and pairs are never given.
Verdict uk_nino(const Value& value) {
  if (value.digits != 6 || value.size() < 8 || value.size() > 13) return Verdict::no;
  const std::string text = upper_without_blanks(value.text);
  if (text.size() != 9 || !is_upper(text[0]) || !is_upper(text[1])) return Verdict::no;
  for (std::size_t at = 2; at < 8; ++at)
    if (!is_digit(text[at])) return Verdict::no;
  constexpr std::string_view never = "DFIQUV";
  const std::string pair = text.substr(0, 2);
  constexpr std::array<std::string_view, 7> never_pairs = {"BG", "GB", "KN", "NK",
                                                           "NT", "TN", "ZZ"};
  const bool given = never.find(pair[0]) == std::string_view::npos &&
                     never.find(pair[1]) == std::string_view::npos && pair[1] != 'O' &&
                     std::find(never_pairs.begin(), never_pairs.end(), pair) == never_pairs.end();
  return given && text[8] >= 'A' && text[8] <= 'D' ? Verdict::strong : Verdict::no;
}

// Eleven digits, ISO 7064 MOD 11,10; of the first ten one stands there two or three times.
Verdict de_tax_id(const Value& value) {
  if (value.digits != 11 || value.size() > 14 || value.letters() > 0) return Verdict::no;
  const std::string digits = digits_of(value, " ");
  if (digits.size() != 11 || digits[0] == '0' || !mod_11_10_holds(digits)) return Verdict::no;
  std::array<int, 10> times{};
  for (std::size_t at = 0; at < 10; ++at) ++times[static_cast<std::size_t>(digits[at] - '0')];
  const auto of = [&](int count) { return std::count(times.begin(), times.end(), count); };
  const bool given =
      (of(2) == 1 && of(0) == 1 && of(1) == 8) || (of(3) == 1 && of(0) == 2 && of(1) == 7);
  return given ? Verdict::strong : Verdict::no;
}

// Sex, year, month, department, commune, order, and 97 minus the rest; Corsica's 2A is 19, 2B 18.
Verdict fr_nir(const Value& value) {
  if (value.digits < 14 || value.digits > 15 || value.size() > 21) return Verdict::no;
  std::string text = upper_without_blanks(value.text);
  if (text.size() != 15 || (text[0] != '1' && text[0] != '2')) return Verdict::no;
  if (text[5] == '2' && (text[6] == 'A' || text[6] == 'B')) {
    text[5] = '1';
    text[6] = text[6] == 'A' ? '9' : '8';
  }
  if (!std::all_of(text.begin(), text.end(), is_digit)) return Verdict::no;
  const int month = number(std::string_view(text).substr(3, 2));
  if (month == 0 || (month > 12 && month < 20) || (month > 42 && month < 50)) return Verdict::no;
  const int key = number(std::string_view(text).substr(13));
  return 97 - mod_97(std::string_view(text).substr(0, 13)) == key ? Verdict::strong : Verdict::no;
}

// Eight digits, or X, Y, Z and seven; the letter is the number modulo 23.
Verdict es_dni(const Value& value) {
  if (value.size() < 9 || value.size() > 12 || value.digits < 7 || value.digits > 8)
    return Verdict::no;
  std::string text = upper_without_blanks(value.text);
  if (text.size() != 9) return Verdict::no;
  if (text[0] >= 'X' && text[0] <= 'Z') text[0] = static_cast<char>('0' + (text[0] - 'X'));
  if (!std::all_of(text.begin(), text.begin() + 8, is_digit)) return Verdict::no;
  constexpr std::string_view letters = "TRWAGMYFPDXBNJZSQVHLCKE";
  const int rest = number(std::string_view(text).substr(0, 8)) % 23;
  return text[8] == letters[static_cast<std::size_t>(rest)] ? Verdict::strong : Verdict::no;
}

// DM 23/12/1976: six letters, year, month letter, day (women 40 more), place, control letter.
Verdict it_fiscal_code(const Value& value) {
  if (value.size() != 16) return Verdict::no;
  const std::string text = upper_without_blanks(value.text);
  constexpr std::string_view shape = "AAAAAA00A00A000A";
  if (text.size() != 16) return Verdict::no;
  constexpr std::string_view omocodia = "LMNPQRSTUV";  // letters that stand for digits 0 to 9
  for (std::size_t at = 0; at < 16; ++at)
    if (shape[at] == 'A' ? !is_upper(text[at])
                         : !is_digit(text[at]) && omocodia.find(text[at]) == std::string_view::npos)
      return Verdict::no;
  if (std::string_view("ABCDEHLMPRST").find(text[8]) == std::string_view::npos) return Verdict::no;
  constexpr std::array<int, 26> odd = {1,  0,  5, 7, 9, 13, 15, 17, 19, 21, 2,  4,  18,
                                       20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23};
  int sum = 0;
  for (std::size_t at = 0; at < 15; ++at) {
    const int place = is_digit(text[at]) ? text[at] - '0' : text[at] - 'A';
    sum += at % 2 == 0 ? odd[static_cast<std::size_t>(place)] : place;
  }
  return text[15] == static_cast<char>('A' + sum % 26) ? Verdict::strong : Verdict::no;
}

// The 11-test: weights 9 to 2, and the last digit once less.
Verdict nl_bsn(const Value& value) {
  if (value.digits < 8 || value.digits > 9 || value.size() > 11 || value.letters() > 0)
    return Verdict::no;
  std::string digits = digits_of(value, " .");
  if (digits.size() == 8) digits.insert(digits.begin(), '0');
  if (digits.size() != 9 || all_equal(digits) || number(digits.substr(0, 5)) == 0)
    return Verdict::no;
  const int sum = weighted_sum(digits, "98765432") - (digits[8] - '0');
  return sum % 11 == 0 ? Verdict::strong : Verdict::no;
}

Verdict br_cpf(const Value& value) {
  if (value.digits != 11 || value.size() > 14 || value.letters() > 0) return Verdict::no;
  const std::string digits = digits_of(value, ".-");
  if (digits.size() != 11 || all_equal(digits)) return Verdict::no;
  for (const std::size_t known : {std::size_t{9}, std::size_t{10}}) {
    int sum = 0;
    for (std::size_t at = 0; at < known; ++at)
      sum += (digits[at] - '0') * static_cast<int>(known + 1 - at);
    if (sum * 10 % 11 % 10 != digits[known] - '0') return Verdict::no;
  }
  return Verdict::strong;
}

Verdict in_aadhaar(const Value& value) {
  if (value.digits != 12 || value.size() > 14 || value.letters() > 0) return Verdict::no;
  const std::string digits = digits_of(value, " -");
  return digits.size() == 12 && digits[0] >= '2' && verhoeff_holds(digits) ? Verdict::strong
                                                                           : Verdict::no;
}

// Birth date (month by century), serial, weights 1 3 7 9.
Verdict pl_pesel(const Value& value) {
  if (!value.only_digits() || value.size() != 11) return Verdict::no;
  if (!is_day(number(value.text.substr(2, 2)) % 20, number(value.text.substr(4, 2))))
    return Verdict::no;
  const int sum = weighted_sum(value.text, "1379137913");
  return (10 - sum % 10) % 10 == value.text[10] - '0' ? Verdict::strong : Verdict::no;
}

// YYMMDD-NNNC or with the century, Luhn over the last ten digits; coordination numbers add 60 to
// the day.
Verdict se_personal_number(const Value& value) {
  if ((value.digits != 10 && value.digits != 12) || value.letters() > 0 || value.size() > 13)
    return Verdict::no;
  std::string digits = digits_of(value, "-+");
  if (digits.size() == 12) digits.erase(0, 2);
  if (digits.size() != 10 || !luhn_holds(digits)) return Verdict::no;
  int day = number(std::string_view(digits).substr(4, 2));
  if (day > 60) day -= 60;
  if (!is_day(number(std::string_view(digits).substr(2, 2)), day)) return Verdict::no;
  const std::size_t mark = value.size() - 5;
  return value.text[mark] == '-' || value.text[mark] == '+' ? Verdict::strong : Verdict::weak;
}

// DDMMYYCNNNX: X is the number modulo 31.
Verdict fi_personal_code(const Value& value) {
  if (value.size() != 11 || value.digits < 9) return Verdict::no;
  const std::string_view text = value.text;
  if (std::string_view("+-ABCDEFUVWXY").find(text[6]) == std::string_view::npos) return Verdict::no;
  std::string digits(text.substr(0, 6));
  digits += text.substr(7, 3);
  if (!std::all_of(digits.begin(), digits.end(), is_digit) ||
      !is_day(number(text.substr(2, 2)), number(text.substr(0, 2))))
    return Verdict::no;
  constexpr std::string_view letters = "0123456789ABCDEFHJKLMNPRSTUVWXY";
  return text[10] == letters[static_cast<std::size_t>(number(digits) % 31)] ? Verdict::strong
                                                                            : Verdict::no;
}

// Nine digits, Luhn, never from 0 or 8 on.
Verdict ca_sin(const Value& value) {
  if (value.digits != 9 || value.letters() > 0) return Verdict::no;
  const std::string digits = digits_of(value, " -");
  if (digits.size() != 9 || digits[0] == '0' || digits[0] == '8' || !luhn_holds(digits))
    return Verdict::no;
  const bool parted = value.size() == 11 && !is_digit(value.text[3]) && !is_digit(value.text[7]);
  if (!parted && value.size() != 9) return Verdict::no;
  return parted ? Verdict::strong : Verdict::weak;
}

// ICAO 9303: the first line of the machine-readable zone, or a number as states write it.
Verdict passport(const Value& value) {
  if (value.size() == 44 && value.text.starts_with("P") &&
      value.text.find("<<") != std::string_view::npos)
    return Verdict::strong;
  if (value.size() < 7 || value.size() > 9 || value.digits < 2 || value.lower > 0)
    return Verdict::no;
  return value.upper + value.digits == static_cast<int>(value.size()) ? Verdict::weak : Verdict::no;
}

}  // namespace penstock::classification::checks
