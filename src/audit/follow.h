// The log for readers that keep their own place in it, such as the emitter of lineage events.
#pragma once

#include "audit/audit.h"

namespace penstock::audit {

// How many there are.
Result<std::int64_t> size(sql::Tx& tx);
// Events of every project from `number` on, in order.
Result<std::vector<Stored>> events_from(sql::Tx& tx, std::int64_t number, std::int64_t limit);
// That of the event that comes next.
Result<std::int64_t> next_number(sql::Tx& tx);

}  // namespace penstock::audit
