// What the log holds about things, with its proofs, inside a transaction of another component.
#pragma once

#include "audit/audit.h"

namespace penstock::audit {

// Every event of the project about any of these subjects among the first `size`, in order.
// resource_exhausted where there are more than `limit`.
Result<std::vector<Inclusion>> inclusions_about(sql::Tx& tx, const std::string& project,
                                                const std::vector<std::string>& subjects,
                                                std::int64_t size, std::int64_t limit);
// Whether something was done to any of them after the first `size`.
Result<bool> changed_since(sql::Tx& tx, const std::string& project,
                           const std::vector<std::string>& subjects, std::int64_t size);

}  // namespace penstock::audit
