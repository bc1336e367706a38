// The tables of tracking. One function is one statement, or one for each row of a batch.
#pragma once

#include "ports/sql.h"
#include "tracking/tracking.h"

namespace penstock::tracking::store {

Result<std::vector<Experiment>> experiment(sql::Tx& tx, const std::string& project,
                                           std::int64_t id);
Result<std::vector<Experiment>> experiment_by_name(sql::Tx& tx, const std::string& project,
                                                   const std::string& name);
Result<std::vector<Pair>> experiment_tags(sql::Tx& tx, const std::string& project, std::int64_t id);
Result<void> update(sql::Tx& tx, const Experiment& experiment);
// Experiment 0 of a project, where it is not there yet. `now`: milliseconds since 1970.
Result<void> put_default_experiment(sql::Tx& tx, const std::string& project, std::int64_t now);
Result<std::int64_t> next_experiment(sql::Tx& tx, const std::string& project);

Result<std::vector<Run>> run(sql::Tx& tx, const std::string& project, const std::string& id);
Result<void> update(sql::Tx& tx, const Run& run);
Result<std::int64_t> next_run(sql::Tx& tx);

Result<std::vector<Pair>> param(sql::Tx& tx, std::int64_t run, const std::string& key);
Result<void> put_param(sql::Tx& tx, std::int64_t run, const Pair& param);
Result<void> put_tag(sql::Tx& tx, std::int64_t run, const Pair& tag);
Result<void> put_metric(sql::Tx& tx, std::int64_t run, const Metric& metric);
Result<void> put_dataset(sql::Tx& tx, std::int64_t run, const DatasetInput& input);
Result<std::vector<Metric>> history(sql::Tx& tx, std::int64_t run, const std::string& key,
                                    std::int64_t limit, std::int64_t offset);

// Each run with what was logged to it, in the order given.
Result<std::vector<RunDetail>> details(sql::Tx& tx, std::vector<Run> runs);

}  // namespace penstock::tracking::store
