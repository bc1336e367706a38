// Which rules speak of a subject and scope, and what they say together.
#include <algorithm>

#include "access/token.h"
#include "approvals/service.h"
#include "base/pattern.h"

namespace penstock::approvals {
namespace {

bool is_role(const std::string& name) {
  return std::any_of(access::role_rights.begin(), access::role_rights.end(),
                     [&](const access::RoleRights& rights) { return rights.role == name; });
}

Result<void> check_rule(sql::Tx&, const Call&, const RuleDeclaration& rule) {
  std::vector<Violation> faults;
  const auto valid_for = duration_from(rule.valid_for);
  if (!valid_for || *valid_for <= Micros(0))
    faults.push_back({"valid_for", "must be a duration such as 12h or 90d"});
  for (std::size_t i = 0; i < rule.approvers.size(); ++i)
    if (!rule.approvers[i].starts_with("user:") || rule.approvers[i].size() <= 5)
      faults.push_back(
          {"approvers[" + std::to_string(i) + "]", "must be user:NAME: only a person can approve"});
  for (std::size_t i = 0; i < rule.roles.size(); ++i)
    if (!is_role(rule.roles[i]))
      faults.push_back({"roles[" + std::to_string(i) + "]",
                        "must be one of viewer, developer, approver, operator, admin"});
  if (!rule.approvers.empty() && static_cast<std::int64_t>(rule.approvers.size()) < rule.needed)
    faults.push_back({"needed", "is more than the approvers that are named"});
  if (faults.empty()) return {};
  return Error{Code::invalid_argument, faults.front().field + " " + faults.front().problem, faults};
}

}  // namespace

resources::KindHandler Service::kind() const {
  return {.kind = "approval_rule", .check = resources::checked_as<RuleDeclaration>(check_rule)};
}

Result<Rule> rule_for(sql::Tx& tx, const std::string& project, const std::string& urn,
                      const std::string& scope) {
  Rule out;
  for (const auto& resource : TRY(resources::list(tx, project, "approval_rule"))) {
    const auto rule = TRY(decode<RuleDeclaration>(resource.declaration));
    if (!fits(rule.subjects, urn) || !fits(rule.scopes, scope)) continue;
    const Micros valid_for = duration_from(rule.valid_for).value_or(Micros(0));
    out.needed = std::max(out.needed, rule.needed);
    // The first rule takes the place of the default, which may be the shorter.
    out.valid_for = out.names.empty() ? valid_for : std::min(out.valid_for, valid_for);
    if (!rule.approvers.empty()) out.people.push_back(rule.approvers);
    if (!rule.roles.empty()) out.roles.push_back(rule.roles);
    out.names.push_back(rule.name);
  }
  return out;
}

}  // namespace penstock::approvals
