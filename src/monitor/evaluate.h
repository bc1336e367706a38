// What a monitor says of a window.
#pragma once

#include "base/call.h"
#include "monitor/store.h"

namespace penstock::monitor {

// One version over the window.
struct Window {
  const Tally* current = nullptr;
  const Tally* features_before = nullptr;  // of every version on the route
  const Tally* same_before = nullptr;      // of this version
  const Profile* profile = nullptr;        // none: features have no names
  const TrainingReference* training = nullptr;
  const Counts* view = nullptr;  // the feature in its view's profiles, in the profile's bins
};

struct Judgement {
  Verdict verdict = Verdict::no_data;
  std::optional<double> value;
  std::int64_t calls = 0;
  std::string reason;
};

// No calls is no_data. Else, with fewer than min_calls in the window or the reference, undecided.
Judgement judge(const MonitorDeclaration& monitor, const Window& window);

// Looks at each monitor of the route over its window that ends with `day`, keeps what it says and
// opens an incident for each breach. One call for a day that was looked at before replaces what was
// said, and opens nothing again. Shadows are left out: nobody was given what they said.
Result<void> evaluate(sql::Tx& tx, const Call& call, Timestamp now, const std::string& route,
                      std::int64_t day, bool labels_only = false);

}  // namespace penstock::monitor
