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
Result<std::vector<Dataset>> dataset_at(sql::Tx& tx, const std::string& project,
                                        const std::string& uri);
Result<std::vector<SourceChange>> changes(sql::Tx& tx, const std::string& project,
                                          const std::string& source, Timestamp since,
                                          std::int64_t limit);

// `start` and all upstream of it now, inside a transaction that may have changed it; at most
// upstream_max. Questions of people go by the graph in memory (graphs.h).
inline constexpr std::size_t upstream_max = 100'000;
Result<std::vector<std::string>> upstream(sql::Tx& tx, const std::string& project,
                                          const std::string& start);

}  // namespace penstock::catalog::store
