#include "classification/rules.h"

#include "base/digest.h"
#include "classification/rule_tables.h"

namespace penstock::classification {

const std::vector<Rule>& rules() {
  static const std::vector<Rule> all = [] {
    std::vector<Rule> out;
    for (auto* part :
         {contact_rules, person_rules, identity_rules, money_rules, secret_rules, special_rules})
      for (Rule& rule : part()) out.push_back(std::move(rule));
    return out;
  }();
  return all;
}

const std::string& rules_digest() {
  static const std::string digest = [] {
    std::string text;
    for (const Rule& rule : rules())
      text += std::string(rule.id) + "@" + std::to_string(rule.version) + "\n";
    return sha256_hex(text);
  }();
  return digest;
}

}  // namespace penstock::classification
