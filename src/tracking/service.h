#pragma once

#include <mutex>
#include <set>

#include "ports/sql.h"
#include "tracking/page.h"
#include "tracking/tracking.h"

namespace penstock::tracking {

struct CreateRun {
  std::int64_t experiment = 0;
  std::string name, user_id;
  std::optional<std::int64_t> start_time;  // milliseconds; now without it
  std::vector<Pair> tags;
};
struct UpdateRun {
  std::string id, name;  // empty: as it is
  std::optional<Status> status;
  std::optional<std::int64_t> end_time;
};

enum class View { active, deleted, all };
struct Search {
  View view = View::active;
  std::vector<std::int64_t> experiments;  // of runs
  std::string filter;
  std::vector<std::string> order_by;
  std::int64_t limit = 1'000;
  std::string page_token;  // as the page before gave it
  // Of logged models: metrics count only where they were measured on one of these, and the model
  // must have one. And what each entry of `order_by` is limited to, where it is.
  std::vector<OnDataset> datasets = {}, order_datasets = {};
};
// 1 to 50,000, as MLflow has it.
Result<void> check_limit(std::int64_t limit);
struct RunPoints {
  std::string run;
  std::vector<Metric> points;
};
struct Sampling {
  std::vector<std::string> runs;
  std::string key;
  std::optional<std::int64_t> first_step, last_step;  // both or neither
  std::int64_t limit = 2'500;
};

// Every function is one transaction. What changes a run's or experiment's own state is in the audit
// log; points, params and tags are a run's data and are not.
//
// not_found where there is no such thing, already_exists where a name is taken, invalid_argument
// for all that the caller could have known.
class Service {
 public:
  Service(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  Result<Experiment> create_experiment(const Call& call, const std::string& name,
                                       const std::string& artifact_location,
                                       const std::vector<Pair>& tags);
  Result<ExperimentDetail> experiment(const Call& call, std::int64_t id);
  Result<ExperimentDetail> experiment_by_name(const Call& call, const std::string& name);
  Result<void> rename_experiment(const Call& call, std::int64_t id, const std::string& name);
  // With its runs: those that went with it come back with it.
  Result<void> move_experiment(const Call& call, std::int64_t id, Lifecycle to);
  Result<void> set_experiment_tag(const Call& call, std::int64_t id, const Pair& tag);
  Result<void> remove_experiment_tag(const Call& call, std::int64_t id, const std::string& key);
  Result<Found<ExperimentDetail>> search_experiments(const Call& call, const Search& search);

  Result<RunDetail> create_run(const Call& call, const CreateRun& input);
  Result<RunDetail> run(const Call& call, const std::string& id);
  Result<Run> update_run(const Call& call, const UpdateRun& input);
  Result<void> move_run(const Call& call, const std::string& id, Lifecycle to);
  // All of it or nothing. A param that was logged with another value is refused.
  Result<void> log(const Call& call, const std::string& run, const Batch& batch);
  Result<void> log_datasets(const Call& call, const std::string& run,
                            const std::vector<DatasetInput>& inputs);
  Result<void> log_models(const Call& call, const std::string& run,
                          const std::vector<ModelUse>& uses);
  Result<void> remove_tag(const Call& call, const std::string& run, const std::string& key);
  // By time, then step, then value.
  Result<Found<Metric>> history(const Call& call, const std::string& run, const std::string& key,
                                std::int64_t limit, const std::string& page_token);
  // At most `limit` points of each run, by run and as `history` has them. Unknown runs have none.
  Result<std::vector<RunPoints>> histories(const Call& call, const std::vector<std::string>& runs,
                                           const std::string& key, std::int64_t limit);
  // Of each run an even sample of `limit` points or fewer by step, with the first and the last.
  Result<std::vector<RunPoints>> samples(const Call& call, const Sampling& sampling);
  // Different ones, at most 1,000.
  Result<std::vector<DatasetSummary>> datasets(const Call& call,
                                               const std::vector<std::int64_t>& experiments);
  // MLflow's old record of a model, added to the list in a tag of the run.
  Result<void> add_model_record(const Call& call, const std::string& run, const json::value& model);
  Result<Found<RunDetail>> search_runs(const Call& call, const Search& search);

 private:
  Result<void> ensure_default(const Call& call);
  std::int64_t now() const;

  sql::Database& db_;
  const Clock& clock_;
  std::mutex mutex_;
  std::set<std::string> has_default_;  // projects whose experiment 0 is known to be there
};

}  // namespace penstock::tracking
