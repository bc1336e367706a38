// Words that values of people are made of. Lists are short on purpose: a column is judged by the
// share of its values that hold one.
#pragma once

#include <string_view>

namespace penstock::classification {

// All of these take lower case, with accents taken off as fold() does.
bool is_given_name(std::string_view word);
bool is_street_word(std::string_view word);
bool is_company_word(std::string_view word);
bool is_ethnicity(std::string_view text);
bool is_religion(std::string_view text);
bool is_gender(std::string_view text);
bool is_marital_status(std::string_view text);

}  // namespace penstock::classification
