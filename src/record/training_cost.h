#pragma once

#include "base/call.h"
#include "ports/sql.h"
#include "record/facts.h"
#include "training/facts.h"

namespace penstock::record {

// Of a pipeline's run, or of a tracked one (`run` is nothing then). Nothing is guessed: seconds
// that no price list covers stay without an amount.
Result<TrainingCost> training_cost(sql::Tx& tx, const Call& call, const std::string& run_id,
                                   const std::optional<training::RunFacts>& run);

}  // namespace penstock::record
