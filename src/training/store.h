// The tables of runs. One function is one statement.
#pragma once

#include "ports/sql.h"
#include "training/pipeline.h"

namespace penstock::training::store {

Result<std::vector<Run>> find_run(sql::Tx& tx, const std::string& project, const std::string& id);
Result<std::vector<Run>> list_runs(sql::Tx& tx, const std::string& project,
                                   const std::string& pipeline, std::int64_t limit);
// The oldest run that is not finished, of any project.
Result<std::vector<Run>> next_run(sql::Tx& tx);
Result<void> set_status(sql::Tx& tx, const Run& run);

Result<std::vector<StepRun>> steps(sql::Tx& tx, const std::string& project, const std::string& run);
Result<void> put_step(sql::Tx& tx, const StepRun& step);

Result<std::vector<std::vector<Output>>> cached(sql::Tx& tx, const std::string& project,
                                                const std::string& cache_key);
Result<void> keep(sql::Tx& tx, const StepRun& step, Timestamp at);

Result<std::vector<Evaluation>> find_evaluation(sql::Tx& tx, const std::string& project,
                                                const std::string& name);
Result<std::vector<Evaluation>> evaluations_of(sql::Tx& tx, const std::string& project,
                                               const std::string& run);

}  // namespace penstock::training::store
