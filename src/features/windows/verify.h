// A windowed view's online tiles against its offline events.
#pragma once

#include "features/windows/store.h"

namespace penstock::features::windows {

// `cause` is one of features/causes.h, `more` says what is known beyond it.
using Differs = std::function<void(std::string_view key, const std::string& feature,
                                   const std::string& online, const std::string& offline,
                                   std::string_view cause, const std::string& more)>;

struct VerifyInput {
  const ViewHandle& view;
  Table now;
  // The sources changed since the tiles were moved; and where the events were, as they were then.
  bool changed = false;
  std::optional<Table> then;
  Timestamp watermark;
  std::size_t sample = 0;
};

// Compares what the tiles give as of the watermark with what the offline events give as of it, for
// a sample of the entities that have one, and looks for entities that have none. Pushed events are
// not compared: they are later than the watermark. Counts into `out`, and tells each difference,
// with the cause of each value's own: of an entity's events those that came into the sources and
// those that went are told apart.
Result<void> verify(kv::Store& kv, Store& store, const VerifyInput& input, VerifyOutput& out,
                    const Differs& differs);

}  // namespace penstock::features::windows
