// A join that looks for the row of each view that counts, and fetches its features while the entity
// rows are written: those are read in their order, and never sorted with what they get.
#pragma once

#include "features/join.h"
#include "ports/lookup.h"

namespace penstock::features {

struct Gather {
  std::string statement;                             // as join_statement's, over numbered rows
  std::vector<std::unique_ptr<olap::Offer>> offers;  // what it reads: keep them until it has run
};

// Nothing where what has to be kept would take more than `memory` bytes, or has a type that cannot
// be kept.
Result<std::optional<Gather>> gather(olap::Session& session, olap::Lookup& lookup,
                                     const SchemaHandle& schema,
                                     const std::vector<JoinedView>& views, const NumberedRows& rows,
                                     const JoinOptions& options, std::int64_t memory);

}  // namespace penstock::features
