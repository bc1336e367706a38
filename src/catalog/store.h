// The statements of the catalog's tables; what they mean is the service's business.
#pragma once

#include "catalog/service.h"

namespace penstock::catalog::store {

Result<std::vector<Dataset>> datasets(sql::Tx& tx, const std::string& project,
                                      const std::string& name, std::int64_t limit);
// Version 0 is the newest. Empty where there is none.
Result<std::vector<Dataset>> dataset(sql::Tx& tx, const std::string& project,
                                     const std::string& name, std::int64_t version);
Result<std::vector<Dataset>> dataset_of_digest(sql::Tx& tx, const std::string& project,
                                               const std::string& name, const std::string& digest);
Result<std::vector<SourceChange>> changes(sql::Tx& tx, const std::string& project,
                                          const std::string& source, Timestamp since,
                                          std::int64_t limit);

struct Reached {
  std::string urn;
  std::int64_t depth = 0;
};
// Every URN within `depth` edges of `start`, with the length of the shortest way; `start` itself
// first.
Result<std::vector<Reached>> reach(sql::Tx& tx, const std::string& project,
                                   const std::string& start, Direction direction,
                                   std::int64_t depth, std::int64_t limit);
// Every edge of what is upstream of whatever is within `depth` edges of `start` in `direction`:
// what a classification may flow along.
Result<std::vector<TraceEdge>> edges_above(sql::Tx& tx, const std::string& project,
                                           const std::string& start, Direction direction,
                                           std::int64_t depth);

}  // namespace penstock::catalog::store
