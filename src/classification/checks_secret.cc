// What opens doors. A secret is known by how it begins, or by how little of it can be guessed.
#include <algorithm>
#include <array>
#include <cmath>

#include "classification/checks.h"

namespace penstock::classification::checks {
namespace {

// Shannon entropy of the bytes of `text`, in bits a byte.
double entropy(std::string_view text) {
  std::array<int, 256> times{};
  for (const char letter : text) ++times[static_cast<unsigned char>(letter)];
  double bits = 0;
  for (const int count : times)
    if (count > 0) {
      const double share = static_cast<double>(count) / static_cast<double>(text.size());
      bits -= share * std::log2(share);
    }
  return bits;
}

bool is_base64url(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char letter) {
    return is_digit(letter) || is_upper(letter) || is_lower(letter) || letter == '-' ||
           letter == '_' || letter == '=';
  });
}

bool is_uuid(const Value& value) {
  return value.size() == 36 && value.dashes == 4 && value.text[8] == '-' && value.text[13] == '-';
}

struct Prefix {
  std::string_view text;
  std::size_t shortest;  // of the whole
};
// As their issuers publish them, so that leaks can be found.
constexpr std::array prefixes = {
    Prefix{"AKIA", 20},   Prefix{"ASIA", 20},     Prefix{"AIza", 39},     Prefix{"ghp_", 40},
    Prefix{"gho_", 40},   Prefix{"ghs_", 40},     Prefix{"ghu_", 40},     Prefix{"github_pat_", 50},
    Prefix{"glpat-", 26}, Prefix{"sk_live_", 24}, Prefix{"sk_test_", 24}, Prefix{"rk_live_", 24},
    Prefix{"xoxb-", 30},  Prefix{"xoxp-", 30},    Prefix{"xoxa-", 30},    Prefix{"SG.", 60},
    Prefix{"hf_", 30},    Prefix{"npm_", 40},     Prefix{"sk-", 35},      Prefix{"dop_v1_", 60},
    Prefix{"shpat_", 36}, Prefix{"ya29.", 40},    Prefix{"pypi-", 60},    Prefix{"lin_api_", 40},
    Prefix{"key-", 36},   Prefix{"dapi", 36},     Prefix{"pst_", 30}};

// Of one piece, mixed, and hard to guess. A digest is hex and says so by its length.
bool is_random(const Value& value, std::size_t shortest) {
  if (value.size() < shortest || value.size() > 512 || value.spaces > 0 || value.digits == 0 ||
      value.letters() == 0 || value.wide > 0 || is_uuid(value))
    return false;
  return entropy(value.text) >= (value.size() < 24 ? 3.0 : 3.4);
}

}  // namespace

Verdict private_key(const Value& value) {
  return value.size() > 40 && value.text.starts_with("-----BEGIN ") &&
                 value.text.substr(0, 60).find("PRIVATE KEY") != std::string_view::npos
             ? Verdict::strong
             : Verdict::no;
}

Verdict api_key(const Value& value) {
  if (value.size() < 16 || value.size() > 512 || value.spaces > 0) return Verdict::no;
  for (const Prefix& prefix : prefixes)
    if (value.size() >= prefix.shortest && value.text.starts_with(prefix.text))
      return is_random(value, prefix.shortest) ? Verdict::strong : Verdict::no;
  return is_random(value, 16) ? Verdict::weak : Verdict::no;
}

// RFC 7519: a JSON header in base64url begins with "eyJ".
Verdict jwt(const Value& value) {
  if (!value.text.starts_with("eyJ") || value.dots != 2 || value.size() < 40) return Verdict::no;
  const std::size_t first = value.text.find('.'), second = value.text.rfind('.');
  return value.text.substr(first + 1).starts_with("eyJ") && second - first > 4 &&
                 is_base64url(value.text.substr(0, first)) &&
                 is_base64url(value.text.substr(second + 1))
             ? Verdict::strong
             : Verdict::no;
}

Verdict token(const Value& value) {
  if (jwt(value) == Verdict::strong) return Verdict::no;
  return is_random(value, 16) || (value.size() >= 32 && is_uuid(value)) ? Verdict::weak
                                                                        : Verdict::no;
}

// What password hashing functions write is strong. Anything of one piece may be a password, but
// not a path, a number of less than four digits, or yes and no.
Verdict password(const Value& value) {
  for (const std::string_view prefix : {"$2a$", "$2b$", "$2y$", "$argon2", "$5$", "$6$", "$1$",
                                        "pbkdf2_", "scrypt:", "{SSHA}", "$scrypt$", "$P$"})
    if (value.text.starts_with(prefix) && value.size() >= 20) return Verdict::strong;
  if (value.size() < 4 || value.size() > 128 || value.text.front() == '/' || value.spaces > 3 ||
      value.text == "true" || value.text == "false")
    return Verdict::no;
  return value.colons >= 2 && value.letters() <= 1 ? Verdict::no : Verdict::weak;
}

}  // namespace penstock::classification::checks
