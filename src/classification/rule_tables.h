// The tables that rules() puts together, one file a subject.
#pragma once

#include "classification/checks.h"
#include "classification/rules.h"

namespace penstock::classification {

std::vector<Rule> contact_rules();   // rules_person.cc
std::vector<Rule> person_rules();    // rules_person.cc
std::vector<Rule> identity_rules();  // rules_identity.cc
std::vector<Rule> money_rules();     // rules_identity.cc
std::vector<Rule> secret_rules();    // rules_special.cc
std::vector<Rule> special_rules();   // rules_special.cc

}  // namespace penstock::classification
