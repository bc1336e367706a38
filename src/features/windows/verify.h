// A windowed view's online tiles against its offline events.
#pragma once

#include "features/windows/store.h"

namespace penstock::features::windows {

using Differs =
    std::function<void(std::string_view key, const std::string& feature, const std::string& online,
                       const std::string& offline, const std::string& cause)>;

// Compares what the tiles give as of the watermark with what the offline events give as of it, for
// a sample of the entities that have one, and looks for entities that have none. Pushed events are
// not compared: they are later than the watermark. Counts into `out`, and tells each difference.
Result<void> verify(kv::Store& kv, Store& store, const ViewHandle& view, const Table& table,
                    Timestamp watermark, std::size_t sample, VerifyOutput& out,
                    const Differs& differs);

}  // namespace penstock::features::windows
