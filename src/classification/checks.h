// What a single value may be, judged by itself: no names, no neighbours, nothing read.
#pragma once

#include "classification/value.h"

namespace penstock::classification::checks {

// checks_money.cc
Verdict card(const Value& value);
Verdict iban(const Value& value);
Verdict bic(const Value& value);
Verdict cvv(const Value& value);
Verdict account(const Value& value);

// checks_identity.cc
Verdict us_ssn(const Value& value);
Verdict uk_nino(const Value& value);
Verdict de_tax_id(const Value& value);
Verdict fr_nir(const Value& value);
Verdict es_dni(const Value& value);
Verdict it_fiscal_code(const Value& value);
Verdict nl_bsn(const Value& value);
Verdict br_cpf(const Value& value);
Verdict in_aadhaar(const Value& value);
Verdict pl_pesel(const Value& value);
Verdict se_personal_number(const Value& value);
Verdict fi_personal_code(const Value& value);
Verdict ca_sin(const Value& value);
Verdict passport(const Value& value);

// checks_contact.cc
Verdict email(const Value& value);
Verdict phone(const Value& value);
Verdict ip(const Value& value);
Verdict mac(const Value& value);
Verdict username(const Value& value);

// checks_person.cc
Verdict person_name(const Value& value);
Verdict street_address(const Value& value);
Verdict postal_code(const Value& value);
Verdict birth_date(const Value& value);
Verdict latitude(const Value& value);
Verdict longitude(const Value& value);
Verdict coordinates(const Value& value);

// checks_secret.cc
Verdict private_key(const Value& value);
Verdict api_key(const Value& value);
Verdict jwt(const Value& value);
Verdict token(const Value& value);
Verdict password(const Value& value);

// checks_special.cc
Verdict icd10(const Value& value);
Verdict blood_type(const Value& value);
Verdict wording(const Value& value);  // words, not numbers, codes or dates
Verdict record_number(const Value& value);
Verdict gender(const Value& value);
Verdict ethnicity(const Value& value);
Verdict religion(const Value& value);
Verdict marital_status(const Value& value);

}  // namespace penstock::classification::checks
