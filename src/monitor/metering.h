// Reads every inference event into the ledger.
#pragma once

#include "costs/service.h"
#include "serving/event_reader.h"

namespace penstock::monitor {

// What a call used, a usage for each meter: one request, the runtime's time, tokens, GPU time,
// calls of retrieval and reranking. A call that failed, or whose caller hung up, is metered for
// what it used until then; one that failed before it used anything used nothing, and an answer out
// of the cache one request. A shadow's are its own, in mode shadow.
std::vector<costs::Usage> usages_of(const serving::InferenceEvent& event);
// The same without what the lines say besides: the call's own first.
std::vector<costs::Metered> metered_of(const serving::InferenceEvent& event);

class Metering {
 public:
  Metering(serving::EventReader& events, costs::Service& costs) : events_(events), costs_(costs) {}

  // Posts what came since the last turn, then moves on; of how many events, 0 if nothing came. The
  // ledger counts a line once, so a crash between both posts it again without counting it again.
  Result<std::size_t> run_once();
  // What it reads next.
  Result<std::int64_t> position() const;

 private:
  serving::EventReader& events_;
  costs::Service& costs_;
};

}  // namespace penstock::monitor
