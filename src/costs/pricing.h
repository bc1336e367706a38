// Prices and posted lines inside a transaction of another component.
#pragma once

#include "base/call.h"
#include "costs/ledger.h"
#include "ports/sql.h"

namespace penstock::costs {

// What usages would cost: priced as Service::post does, and not posted.
Result<std::vector<LedgerLine>> priced(sql::Tx& tx, const Call& call,
                                       const std::vector<Usage>& usages);
// The lines of one call or run.
Result<std::vector<LedgerLine>> posted(sql::Tx& tx, const Call& call, const std::string& source,
                                       const std::string& id);

}  // namespace penstock::costs
