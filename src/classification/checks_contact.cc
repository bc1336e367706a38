// How a person is reached, and how machines are.
#include <algorithm>
#include <array>
#include <string>

#include "classification/checks.h"
#include "classification/countries.h"

namespace penstock::classification::checks {
namespace {

bool is_letter(char letter) { return is_lower(letter) || is_upper(letter); }

// "icon@2x.png" is a picture and not a mailbox of the domain 2x.png.
constexpr std::array<std::string_view, 12> file_endings = {
    "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "json", "html", "pdf", "zip"};

bool is_domain(std::string_view domain) {
  if (domain.size() < 4 || domain.size() > 253) return false;
  std::size_t begin = 0, labels = 0;
  std::string_view last;
  while (begin <= domain.size()) {
    const std::size_t end = std::min(domain.find('.', begin), domain.size());
    last = domain.substr(begin, end - begin);
    if (last.empty() || last.size() > 63 || last.front() == '-' || last.back() == '-') return false;
    for (const char letter : last)
      if (!is_letter(letter) && !is_digit(letter) && letter != '-' &&
          static_cast<unsigned char>(letter) < 0x80)
        return false;
    ++labels;
    begin = end + 1;
  }
  if (labels < 2 || last.size() < 2) return false;
  std::string ending;
  for (const char letter : last) ending += lower_of(letter);
  return std::none_of(last.begin(), last.end(), is_digit) &&
         std::find(file_endings.begin(), file_endings.end(), ending) == file_endings.end();
}

// The first octet of each of four, or nothing; `largest` becomes the greatest.
bool is_ipv4(std::string_view text, int& largest) {
  int octet = -1, octets = 0;
  largest = 0;
  for (std::size_t at = 0; at <= text.size(); ++at) {
    if (at < text.size() && is_digit(text[at])) {
      if (octet == 0) return false;  // no leading zeros
      octet = (octet < 0 ? 0 : octet * 10) + (text[at] - '0');
      if (octet > 255) return false;
    } else if ((at == text.size() || text[at] == '.') && octet >= 0) {
      largest = std::max(largest, octet);
      octet = -1;
      ++octets;
    } else {
      return false;
    }
  }
  return octets == 4;
}

bool is_ipv6(std::string_view text) {
  int groups = 0, digits = 0;
  bool shortened = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = lower_of(text[at]);
    if (letter == ':') {
      if (text.substr(at, 2) == "::") {
        if (shortened) return false;
        shortened = true;
        ++at;
      } else if (digits == 0) {
        return false;
      }
      groups += digits > 0;
      digits = 0;
    } else if (is_digit(letter) || (letter >= 'a' && letter <= 'f')) {
      if (++digits > 4) return false;
    } else {
      return false;
    }
  }
  groups += digits > 0;
  return shortened ? groups <= 7 : groups == 8;
}

// "555-0100 ext. 12" without what stands from the extension on.
std::string_view without_extension(std::string_view text) {
  for (const std::string_view mark : {" ext", " x", "x", " poste ", " Durchwahl "}) {
    const std::size_t at = text.find(mark);
    if (at != std::string_view::npos && at >= 7) return text.substr(0, at);
  }
  return text;
}

bool starts_as_date(std::string_view text) {
  return text.size() >= 10 && is_digit(text[0]) && is_digit(text[3]) && !is_digit(text[4]) &&
         !is_digit(text[7]) && text[4] == text[7];
}

}  // namespace

Verdict email(const Value& value) {
  if (value.ats == 0) return Verdict::no;
  std::string_view text = value.text;
  // "Ana Roe <ana@example.org>"; a whole value in such marks is the id of a message.
  if (text.back() == '>') {
    const std::size_t open = text.rfind('<');
    if (open == std::string_view::npos || open == 0) return Verdict::no;
    text = text.substr(open + 1, text.size() - open - 2);
  }
  if (text.starts_with("mailto:")) text.remove_prefix(7);
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos || at == 0 || at > 64 || at != text.rfind('@'))
    return Verdict::no;
  const std::string_view local = text.substr(0, at);
  for (const char letter : local)
    if (!is_letter(letter) && !is_digit(letter) &&
        std::string_view("._%+-'&#/=~").find(letter) == std::string_view::npos &&
        static_cast<unsigned char>(letter) < 0x80)
      return Verdict::no;
  if (local.front() == '.' || local.back() == '.' || local.find("..") != std::string_view::npos)
    return Verdict::no;
  return is_domain(text.substr(at + 1)) ? Verdict::strong : Verdict::no;
}

Verdict phone(const Value& value) {
  if (value.digits < 7 || value.digits > 20 || value.size() > 32 || value.ats || value.colons ||
      value.wide || value.upper > 1)
    return Verdict::no;
  std::string_view text = without_extension(value.text);
  if (starts_as_date(text)) return Verdict::no;
  std::string digits;
  std::size_t marks = 0, first_group = 0;
  bool plus = false, bracket = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    if (is_digit(letter)) {
      digits += letter;
    } else if (letter == '+' && digits.empty() && !plus) {
      plus = true;
    } else if (std::string_view(" -.()/").find(letter) != std::string_view::npos) {
      if (marks++ == 0 && !digits.empty()) first_group = digits.size();
      bracket = bracket || letter == '(';
    } else {
      return Verdict::no;
    }
  }
  if (digits.size() < 7 || digits.size() > 15) return Verdict::no;
  if (plus) {
    // "+44 (0)20 ...": the trunk prefix is not dialled from abroad.
    const std::size_t trunk = text.find("(0)");
    if (trunk != std::string_view::npos) {
      std::string before;
      for (const char letter : text.substr(0, trunk))
        if (is_digit(letter)) before += letter;
      digits.erase(before.size(), 1);
    }
    return is_e164(digits) ? Verdict::strong : Verdict::no;
  }
  if (digits.starts_with("00") && is_e164(std::string_view(digits).substr(2)) && digits.size() > 11)
    return Verdict::strong;
  std::string_view american = digits;
  if (american.size() == 11 && american[0] == '1') american.remove_prefix(1);
  if (marks >= 2 && is_north_american(american)) return Verdict::strong;
  // A trunk prefix and groups: "030 123 4567", "(020) 7946 0958".
  if (digits[0] == '0' && marks >= 1 && digits.size() >= 9 && digits.size() <= 12 &&
      (bracket || first_group >= 2) && value.dots != 1)
    return Verdict::strong;
  if (marks == 1 && value.dots == 1) return Verdict::no;  // a decimal number
  return Verdict::weak;
}

// Four small numbers are a version as well: what has an octet of 64 or more is hardly one.
Verdict ip(const Value& value) {
  if (value.size() < 3 || value.size() > 49) return Verdict::no;
  const std::string_view text = value.text.substr(0, value.text.find('/'));
  int largest = 0;
  if (value.dots == 3 && value.letters() == 0 && is_ipv4(text, largest))
    return largest >= 64 ? Verdict::strong : Verdict::weak;
  // Times and MAC addresses have colons too.
  if (value.colons < 2 || !is_ipv6(text)) return Verdict::no;
  return value.size() >= 12 || text.find("::") != std::string_view::npos ? Verdict::strong
                                                                         : Verdict::weak;
}

// Six pairs between colons or dashes, three fours between dots.
Verdict mac(const Value& value) {
  if (value.size() != 17 && value.size() != 14) return Verdict::no;
  const std::size_t group = value.size() == 17 ? 2 : 4;
  const char mark = value.text[group];
  if (group == 2 ? mark != ':' && mark != '-' : mark != '.') return Verdict::no;
  for (std::size_t at = 0; at < value.size(); ++at) {
    const char letter = lower_of(value.text[at]);
    if (at % (group + 1) == group ? letter != mark
                                  : !is_digit(letter) && !(letter >= 'a' && letter <= 'f'))
      return Verdict::no;
  }
  return Verdict::strong;
}

Verdict username(const Value& value) {
  if (value.size() < 2 || value.size() > 64 || value.spaces > 0 || value.ats > 1 ||
      value.letters() < 2)
    return Verdict::no;
  return Verdict::weak;
}

}  // namespace penstock::classification::checks
