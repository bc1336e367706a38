// What each server holds of a hard budget. Private to guard*.cc and leases.cc.
#pragma once

#include "costs/guard_state.h"

namespace penstock::costs {

struct RunningCall {
  std::string id;
  Money worst;
};
BOOST_DESCRIBE_STRUCT(RunningCall, (), (id, worst))

// A row of budget_leases.
struct Lease {
  std::string project, budget;
  std::int64_t period_from = 0;
  std::string holder, server;
  Money amount, running, wanted;
  std::vector<RunningCall> calls;
  Timestamp renewed_at;
  bool unsettled = false;
};
BOOST_DESCRIBE_STRUCT(Lease, (),
                      (project, budget, period_from, holder, server, amount, running, wanted, calls,
                       renewed_at, unsettled))

Result<std::vector<Lease>> read_leases(sql::Tx& tx, const std::string& project);

// What others hold, and what is counted for calls that ended with their server.
void note_leases(std::vector<Node>& nodes, const std::vector<Lease>& leases, const Lessee& me);

// Whether lines of this call are among what `nodes` read of the ledger.
bool was_read(const std::vector<Node>& nodes, const Held& one);

// The same of many that ended.
class Coverage {
 public:
  Coverage(const std::vector<Node>& nodes, const EndedCalls& calls);
  bool was_read(const Ended& one) const;

 private:
  const std::vector<Node>& nodes_;
  std::vector<std::vector<bool>> covered_;  // payers, by node
};

// A turn of the leases, in the transaction that read `nodes` of the ledger: writes what this server
// holds from now on, and says so in `nodes`. From here until the caller has put `nodes` in place,
// calls may take no more than both the old and the new portion allow, so that neither a commit nor
// its failure makes them overspend.
Result<void> renew(sql::Tx& tx, Project& project, const Lessee& me, std::vector<Node>& nodes,
                   const std::vector<Lease>& leases, Timestamp now);

}  // namespace penstock::costs
