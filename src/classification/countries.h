// What standards say of countries: their codes, and the lengths of account and telephone numbers.
#pragma once

#include <cstddef>
#include <string_view>

namespace penstock::classification {

bool is_country(std::string_view alpha_2);  // ISO 3166-1, and XK
// The length of the country's IBANs, 0 where it has none (SWIFT IBAN registry, release 99).
std::size_t iban_length(std::string_view alpha_2);
// Whether digits after a "+" are a country code of E.164 and as many digits as its numbers have.
bool is_e164(std::string_view digits);
// Whether ten digits may be a number of the North American plan: area and exchange from 2 on, and
// no service codes (N11).
bool is_north_american(std::string_view digits);

}  // namespace penstock::classification
