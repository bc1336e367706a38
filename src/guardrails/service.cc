#include "guardrails/service.h"

namespace penstock::guardrails {

resources::KindHandler kind(DeclarationCheck also) {
  const auto compiles = [also = std::move(also)](
                            sql::Tx& tx, const Call& call,
                            const GuardrailDeclaration& declaration) -> Result<void> {
    TRY(Chain::make({declaration}));
    return also ? also(tx, call, declaration) : Result<void>();
  };
  return {.kind = "guardrail", .check = resources::checked_as<GuardrailDeclaration>(compiles)};
}

Result<std::vector<GuardrailDeclaration>> declared(sql::Tx& tx, const std::string& project,
                                                   const std::vector<std::string>& names) {
  std::vector<GuardrailDeclaration> out;
  for (const std::string& name : names)
    out.push_back(TRY(resources::declared<GuardrailDeclaration>(tx, project, "guardrail", name)));
  return out;
}

Result<std::shared_ptr<const Chain>> chain(sql::Tx& tx, const std::string& project,
                                           const std::vector<std::string>& names) {
  if (names.empty()) return std::shared_ptr<const Chain>();
  return Chain::make(TRY(declared(tx, project, names)));
}

}  // namespace penstock::guardrails
