// Reads every inference event into the ledger.
#pragma once

#include "costs/service.h"
#include "ports/log.h"
#include "serving/inference_event.h"

namespace penstock::monitor {

// What a call used: one request, and the runtime's time. A call that failed before it reached a
// model used nothing.
std::vector<costs::Usage> usages_of(const serving::InferenceEvent& event);

class Metering {
 public:
  Metering(events::Log& log, costs::Service& costs) : log_(log), costs_(costs) {}

  // Posts what came since the last turn, then moves on; true if there is more. The ledger counts a
  // line once, so a crash between both posts it again without counting it again.
  Result<bool> run_once();

 private:
  events::Log& log_;
  costs::Service& costs_;
};

}  // namespace penstock::monitor
