#include "training/store.h"

namespace penstock::training::store {

Result<std::vector<Run>> find_run(sql::Tx& tx, const std::string& project, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<Run>() + " FROM runs WHERE project = $1 AND id = $2";
  return sql::select<Run>(tx, text, {project, id});
}

Result<std::vector<Run>> list_runs(sql::Tx& tx, const std::string& project,
                                   const std::string& pipeline, std::int64_t limit) {
  static const std::string text =
      "SELECT " + columns<Run>() +
      " FROM runs WHERE project = $1 AND ($2 = '' OR pipeline = $2) ORDER BY id DESC LIMIT $3";
  return sql::select<Run>(tx, text, {project, pipeline, limit});
}

Result<std::vector<Run>> next_run(sql::Tx& tx) {
  static const std::string text =
      "SELECT " + columns<Run>() +
      " FROM runs WHERE status IN ('queued', 'running') ORDER BY id LIMIT 1";
  return sql::select<Run>(tx, text, {});
}

Result<void> set_status(sql::Tx& tx, const Run& run) {
  TRY(
      tx.run("UPDATE runs SET status = $3, fault = $4, started_at = $5, finished_at = $6 WHERE "
             "project = $1 AND id = $2",
             {run.project, run.id, sql::to_sql(run.status), run.fault, sql::to_sql(run.started_at),
              sql::to_sql(run.finished_at)}));
  return {};
}

Result<std::vector<StepRun>> steps(sql::Tx& tx, const std::string& project,
                                   const std::string& run) {
  static const std::string text =
      "SELECT " + columns<StepRun>() +
      " FROM run_steps WHERE project = $1 AND run = $2 ORDER BY position";
  return sql::select<StepRun>(tx, text, {project, run});
}

Result<void> put_step(sql::Tx& tx, const StepRun& step) {
  TRY(tx.run("DELETE FROM run_steps WHERE project = $1 AND run = $2 AND step = $3",
             {step.project, step.run, step.step}));
  return sql::insert(tx, "run_steps", step);
}

Result<std::vector<std::vector<Output>>> cached(sql::Tx& tx, const std::string& project,
                                                const std::string& cache_key) {
  const auto rows =
      TRY(tx.run("SELECT outputs FROM step_cache WHERE project = $1 AND cache_key = $2",
                 {project, cache_key}));
  std::vector<std::vector<Output>> out;
  for (const sql::Row& row : rows) sql::from_sql(row.at(0), out.emplace_back());
  return out;
}

Result<void> keep(sql::Tx& tx, const StepRun& step, Timestamp at) {
  TRY(
      tx.run("INSERT INTO step_cache (project, cache_key, outputs, run, created_at) VALUES ($1, "
             "$2, $3, $4, $5) ON CONFLICT (project, cache_key) DO NOTHING",
             {step.project, step.cache_key, sql::to_sql(step.outputs), step.run, sql::to_sql(at)}));
  return {};
}

Result<std::vector<Evaluation>> find_evaluation(sql::Tx& tx, const std::string& project,
                                                const std::string& name) {
  static const std::string text =
      "SELECT " + columns<Evaluation>() + " FROM evaluations WHERE project = $1 AND name = $2";
  return sql::select<Evaluation>(tx, text, {project, name});
}

Result<std::vector<Evaluation>> evaluations_of(sql::Tx& tx, const std::string& project,
                                               const std::string& run) {
  static const std::string text =
      "SELECT " + columns<Evaluation>() + " FROM evaluations WHERE project = $1 AND run = $2";
  return sql::select<Evaluation>(tx, text, {project, run});
}

}  // namespace penstock::training::store
