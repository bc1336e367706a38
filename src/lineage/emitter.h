// Penstock's own changes as OpenLineage run events. The audit log is their outbox: it holds each
// change in order, in the change's own transaction, so no run waits for a receiver, nothing is lost
// while one is away, and nothing more is stored for it than how far it has come.
#pragma once

#include <functional>

#include "audit/follow.h"
#include "catalog/service.h"

namespace penstock::lineage {

// Posts one event; gives the status that came back. None: events are kept here only.
using Send = std::function<Result<int>(const std::string& body)>;

class Emitter {
 public:
  Emitter(sql::Database& db, catalog::Service& catalog, const Clock& clock, Send send)
      : db_(db), catalog_(catalog), clock_(clock), send_(std::move(send)) {}

  // Before anything can happen that is to be told: a receiver that is named for the first time
  // hears what happens from here on.
  Result<void> start();
  // Tells what the audit log holds since the last time, at most 100 changes; true where there may
  // be more. What the receiver refuses (4xx) is logged and left behind; when it cannot be reached
  // the error says so, and the next call begins where this one stopped.
  Result<bool> run_once();

 private:
  Result<bool> keep_some();
  Result<bool> send_some();

  sql::Database& db_;
  catalog::Service& catalog_;
  const Clock& clock_;
  Send send_;
  std::int64_t kept_ = 0, sent_ = 0;  // the next number of each
};

}  // namespace penstock::lineage
