// Asks upstreams that declare a `health_path` how they are, also while no call goes there.
#pragma once

#include "ports/http.h"
#include "serving/table.h"
#include "traffic/health.h"

namespace penstock::serving {

class UpstreamChecks {
 public:
  UpstreamChecks(const TableHolder& table, traffic::Health& health, http::Caller& caller,
                 const Clock& clock)
      : table_(table), health_(health), caller_(caller), clock_(clock) {}

  // One turn: each upstream of the table once. Blocks for at most 2 seconds on each.
  Result<void> run_once();

 private:
  const TableHolder& table_;
  traffic::Health& health_;
  http::Caller& caller_;
  const Clock& clock_;
};

}  // namespace penstock::serving
