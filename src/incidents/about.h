// Incidents about things, inside a transaction of another component.
#pragma once

#include "base/call.h"
#include "incidents/incident.h"
#include "ports/sql.h"

namespace penstock::incidents {

// Those about any of these URNs, newest first.
Result<std::vector<Incident>> about(sql::Tx& tx, const Call& call,
                                    const std::vector<std::string>& subjects, std::int64_t limit);

}  // namespace penstock::incidents
