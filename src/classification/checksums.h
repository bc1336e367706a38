// Check digits of published schemes, over texts of ASCII digits (and letters where it says so).
#pragma once

#include <string_view>

namespace penstock::classification {

// ISO/IEC 7812-1 annex B.
bool luhn_holds(std::string_view digits);
// ISO 7064 MOD 97-10 over digits and capital letters (A = 10): the remainder, as IBANs use it.
int mod_97(std::string_view letters_and_digits);
// ISO 7064 MOD 11,10: the German tax number.
bool mod_11_10_holds(std::string_view digits);
// Verhoeff 1969: Aadhaar.
bool verhoeff_holds(std::string_view digits);
// The sum of each digit times its weight.
int weighted_sum(std::string_view digits, std::string_view weights);

}  // namespace penstock::classification
