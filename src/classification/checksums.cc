#include "classification/checksums.h"

#include <array>
#include <cstddef>

namespace penstock::classification {
namespace {

// The multiplication of the dihedral group D5, and Verhoeff's permutation of positions.
constexpr std::array<std::array<int, 10>, 10> dihedral = {{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
                                                           {1, 2, 3, 4, 0, 6, 7, 8, 9, 5},
                                                           {2, 3, 4, 0, 1, 7, 8, 9, 5, 6},
                                                           {3, 4, 0, 1, 2, 8, 9, 5, 6, 7},
                                                           {4, 0, 1, 2, 3, 9, 5, 6, 7, 8},
                                                           {5, 9, 8, 7, 6, 0, 4, 3, 2, 1},
                                                           {6, 5, 9, 8, 7, 1, 0, 4, 3, 2},
                                                           {7, 6, 5, 9, 8, 2, 1, 0, 4, 3},
                                                           {8, 7, 6, 5, 9, 3, 2, 1, 0, 4},
                                                           {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}}};
constexpr std::array<std::array<int, 10>, 8> permutation = {{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
                                                             {1, 5, 7, 6, 2, 8, 3, 0, 9, 4},
                                                             {5, 8, 0, 3, 7, 9, 6, 1, 4, 2},
                                                             {8, 9, 1, 6, 0, 4, 3, 5, 2, 7},
                                                             {9, 4, 5, 3, 1, 2, 6, 8, 7, 0},
                                                             {4, 2, 8, 6, 5, 7, 3, 9, 0, 1},
                                                             {2, 7, 9, 3, 8, 0, 6, 4, 1, 5},
                                                             {7, 0, 4, 6, 9, 1, 3, 2, 5, 8}}};

}  // namespace

bool luhn_holds(std::string_view digits) {
  int sum = 0;
  bool twice = false;
  for (std::size_t at = digits.size(); at-- > 0; twice = !twice) {
    int digit = digits[at] - '0';
    if (twice) digit = digit > 4 ? 2 * digit - 9 : 2 * digit;
    sum += digit;
  }
  return !digits.empty() && sum % 10 == 0;
}

int mod_97(std::string_view letters_and_digits) {
  int rest = 0;
  for (const char letter : letters_and_digits)
    rest =
        letter <= '9' ? (rest * 10 + (letter - '0')) % 97 : (rest * 100 + (letter - 'A' + 10)) % 97;
  return rest;
}

bool mod_11_10_holds(std::string_view digits) {
  int product = 10;
  for (std::size_t at = 0; at + 1 < digits.size(); ++at) {
    int sum = (digits[at] - '0' + product) % 10;
    if (sum == 0) sum = 10;
    product = sum * 2 % 11;
  }
  return !digits.empty() && (11 - product) % 10 == digits.back() - '0';
}

bool verhoeff_holds(std::string_view digits) {
  int check = 0;
  std::size_t place = 0;
  for (std::size_t at = digits.size(); at-- > 0; ++place) {
    const auto digit = static_cast<std::size_t>(digits[at] - '0');
    const auto turned = static_cast<std::size_t>(permutation[place % 8][digit]);
    check = dihedral[static_cast<std::size_t>(check)][turned];
  }
  return !digits.empty() && check == 0;
}

int weighted_sum(std::string_view digits, std::string_view weights) {
  int sum = 0;
  for (std::size_t at = 0; at < weights.size(); ++at)
    sum += (digits[at] - '0') * (weights[at] - '0');
  return sum;
}

}  // namespace penstock::classification
