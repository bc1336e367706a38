// Names of columns and texts of values as plain words.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace penstock::classification {

// In lower case, with the accents of Latin letters taken off: "Straße" is "strasse".
std::string fold(std::string_view text);
// "customerEmail2" -> customer, email, 2. "IBAN_Nr" -> iban, nr.
std::vector<std::string> words_of(std::string_view name);

}  // namespace penstock::classification
