// kind: guardrail, and the chains that routes put together of them.
#pragma once

#include <functional>

#include "base/call.h"
#include "guardrails/chain.h"
#include "ports/sql.h"
#include "resources/service.h"

namespace penstock::guardrails {

// What else must hold of a declaration, in the transaction that stores it.
using DeclarationCheck =
    std::function<Result<void>(sql::Tx&, const Call&, const GuardrailDeclaration&)>;
resources::KindHandler kind(DeclarationCheck also = {});

// The guardrails of these names, in this order; null where there are none. not_found names the one
// that is not declared.
Result<std::shared_ptr<const Chain>> chain(sql::Tx& tx, const std::string& project,
                                           const std::vector<std::string>& names);
// The same in two steps, for those who keep declarations.
Result<std::vector<GuardrailDeclaration>> declared(sql::Tx& tx, const std::string& project,
                                                   const std::vector<std::string>& names);

}  // namespace penstock::guardrails
