// The append-only record of who did what: a Merkle log (RFC 6962) over canonical events.
#pragma once

#include "base/call.h"
#include "ports/sql.h"

namespace penstock::audit {

// One thing that somebody did. Written in the transaction that did it, so the log and the
// data cannot disagree.
struct Event {
  std::string action;   // "registry.version.registered"
  std::string subject;  // the URN it was done to
  json::object detail;
};

Result<void> record(sql::Tx& tx, const Call& call, Timestamp at, const Event& event);

}  // namespace penstock::audit
