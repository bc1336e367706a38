#include "base/urn.h"

#include <algorithm>

namespace penstock {
namespace {

constexpr std::string_view digits = "0123456789ABCDEF";

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

// Where the "-v2" of "a-v2" begins; npos where the name does not end so.
std::size_t version_at(std::string_view name) {
  const std::size_t at = name.rfind("-v");
  if (at == std::string_view::npos || at + 2 == name.size()) return std::string_view::npos;
  const std::string_view number = name.substr(at + 2);
  return std::all_of(number.begin(), number.end(), is_digit) ? at : std::string_view::npos;
}

}  // namespace

std::string urn_name(std::string_view name) {
  const std::size_t version = version_at(name);
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char letter = name[i];
    const bool stays =
        Urn::is_name_letter(letter) && letter != '/' && letter != '~' && i != version;
    if (stays) {
      out += letter;
      continue;
    }
    const auto byte = static_cast<unsigned char>(letter);
    out += {'~', digits[byte >> 4], digits[byte & 15]};
  }
  return out;
}

std::string plain_name(std::string_view urn_name) {
  std::string out;
  for (std::size_t i = 0; i < urn_name.size(); ++i) {
    const std::size_t high = i + 2 < urn_name.size() ? digits.find(urn_name[i + 1]) : digits.npos;
    const std::size_t low = i + 2 < urn_name.size() ? digits.find(urn_name[i + 2]) : digits.npos;
    if (urn_name[i] == '~' && high != digits.npos && low != digits.npos) {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += urn_name[i];
    }
  }
  return out;
}

}  // namespace penstock
