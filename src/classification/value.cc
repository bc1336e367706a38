#include "classification/value.h"

namespace penstock::classification {

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }
bool is_upper(char letter) { return letter >= 'A' && letter <= 'Z'; }
bool is_lower(char letter) { return letter >= 'a' && letter <= 'z'; }
char lower_of(char letter) {
  return is_upper(letter) ? static_cast<char>(letter - 'A' + 'a') : letter;
}

Value::Value(std::string_view raw) : text(raw) {
  const auto blank = [](char letter) {
    return letter == ' ' || (letter >= '\t' && letter <= '\r');
  };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  for (const char letter : text) {
    if (is_digit(letter))
      ++digits;
    else if (is_lower(letter))
      ++lower;
    else if (is_upper(letter))
      ++upper;
    else if (static_cast<unsigned char>(letter) >= 0x80)
      ++wide;
    else if (letter == ' ')
      ++spaces;
    else if (letter == '.')
      ++dots;
    else if (letter == '-')
      ++dashes;
    else if (letter == ':')
      ++colons;
    else if (letter == '@')
      ++ats;
    else
      ++others;
  }
}

}  // namespace penstock::classification
