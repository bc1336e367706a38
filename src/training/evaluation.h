#pragma once

#include "ports/olap.h"
#include "training/pipeline.h"

namespace penstock::training {

// Metrics of a Parquet file of predictions (label BOOLEAN, score and baseline DOUBLE, slice
// columns), on all rows and on each slice, and whether the gate lets them pass. The interval of the
// mean of paired differences is the normal one. invalid_argument where columns are missing or a
// score is not in [0, 1].
Result<std::vector<SliceMetrics>> evaluate(olap::Session& session, const std::string& path,
                                           const Gate& gate);
bool passed(const std::vector<SliceMetrics>& slices);

}  // namespace penstock::training
