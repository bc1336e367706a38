// One value of a column, as the checks look at it.
#pragma once

#include <string_view>

namespace penstock::classification {

// A value without the blanks around it, with what is in it counted once for all checks.
struct Value {
  explicit Value(std::string_view raw);

  std::string_view text;
  int digits = 0, upper = 0, lower = 0, wide = 0;  // wide: bytes of letters that are not ASCII
  int spaces = 0, dots = 0, dashes = 0, colons = 0, ats = 0;
  int others = 0;  // any other byte

  int letters() const { return upper + lower + wide; }
  std::size_t size() const { return text.size(); }
  bool only_digits() const { return digits > 0 && static_cast<std::size_t>(digits) == size(); }
};

// `weak`: it has the shape. `strong`: it holds what chance and other data seldom do, such as a
// check digit, a prefix or a form of its own.
enum class Verdict { no, weak, strong };

bool is_digit(char letter);
bool is_upper(char letter);
bool is_lower(char letter);
char lower_of(char letter);

}  // namespace penstock::classification
