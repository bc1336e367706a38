// The statements of the catalog's tables; what they mean is the service's business.
#pragma once

#include "catalog/quality.h"

namespace penstock::catalog::store {

Result<std::vector<Dataset>> datasets(sql::Tx& tx, const std::string& project,
                                      const std::string& name, std::int64_t limit);
// Version 0 is the newest. Empty where there is none.
Result<std::vector<Dataset>> dataset(sql::Tx& tx, const std::string& project,
                                     const std::string& name, std::int64_t version);
Result<std::vector<Dataset>> dataset_of_inputs(sql::Tx& tx, const std::string& project,
                                               const std::string& name, const std::string& digest);
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

// When a source is measured: a row of source_schedules, or none where its declaration asks for
// none.
struct Schedule {
  std::string project, source;
  Micros every{0};
  Timestamp next_at;
};
BOOST_DESCRIBE_STRUCT(Schedule, (), (project, source, every, next_at))
Result<void> schedule(sql::Tx& tx, const std::string& project, const Source& source, Timestamp now);
// The one that has been due for longest; empty where none is.
Result<std::vector<Schedule>> due(sql::Tx& tx, Timestamp now);
// Moves it to its next time; false where another did.
Result<bool> claim(sql::Tx& tx, const Schedule& schedule, Timestamp now);

// Newest first.
Result<std::vector<Measure>> measures(sql::Tx& tx, const std::string& project,
                                      const std::string& source, std::int64_t limit);
// The newest whose snapshot begins with `snapshot`, or none.
Result<std::vector<SourceProfile>> profile(sql::Tx& tx, const std::string& project,
                                           const std::string& source, const std::string& snapshot);
Result<void> prune(sql::Tx& tx, const std::string& project, const std::string& source,
                   std::int64_t measures_kept, std::int64_t profiles_kept);

}  // namespace penstock::catalog::store
