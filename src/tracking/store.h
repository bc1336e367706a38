// The tables of tracking. One function is one statement, or a few for a long list.
#pragma once

#include <map>

#include "ports/sql.h"
#include "tracking/tracking.h"

namespace penstock::tracking::store {

Result<std::vector<Experiment>> experiment(sql::Tx& tx, const std::string& project,
                                           std::int64_t id);
Result<std::vector<Experiment>> experiment_by_name(sql::Tx& tx, const std::string& project,
                                                   const std::string& name);
// Each with its tags, in the order given; of one project.
Result<std::vector<ExperimentDetail>> details(sql::Tx& tx, std::vector<Experiment> experiments);
Result<void> update(sql::Tx& tx, const Experiment& experiment);
// Experiment 0 of a project, where it is not there yet. `now`: milliseconds since 1970.
Result<void> put_default_experiment(sql::Tx& tx, const std::string& project, std::int64_t now);
Result<std::int64_t> next_experiment(sql::Tx& tx, const std::string& project);

Result<std::vector<Run>> run(sql::Tx& tx, const std::string& project, const std::string& id);
Result<void> update(sql::Tx& tx, const Run& run);
Result<std::int64_t> next_run(sql::Tx& tx);

// Those of `keys` that are there.
Result<std::vector<Pair>> params(sql::Tx& tx, std::int64_t run, const std::vector<Pair>& keys);
// No key twice, and none that is there.
Result<void> put_params(sql::Tx& tx, std::int64_t run, const std::vector<Pair>& params);
// No key twice.
Result<void> put_tags(sql::Tx& tx, std::int64_t run, const std::vector<Pair>& tags);
// A point that is there stays as it is.
Result<void> put_points(sql::Tx& tx, std::int64_t run, const std::vector<Metric>& metrics);
// No key twice. An older point than what is there changes nothing.
Result<void> put_latest(sql::Tx& tx, const Run& run, const std::vector<Metric>& metrics);
// The number of a logged model, if there is one.
Result<std::optional<std::int64_t>> logged_model(sql::Tx& tx, const std::string& project,
                                                 const std::string& id);
// `numbers` has every model by its id. A point that is there stays as it is.
Result<void> put_model_points(sql::Tx& tx, const std::string& run,
                              const std::map<std::string, std::int64_t>& numbers,
                              const std::vector<ModelMetric>& metrics);
Result<void> put_dataset(sql::Tx& tx, std::int64_t run, const DatasetInput& input);

// Each run with what was logged to it, in the order given.
Result<std::vector<RunDetail>> details(sql::Tx& tx, std::vector<Run> runs);

}  // namespace penstock::tracking::store
