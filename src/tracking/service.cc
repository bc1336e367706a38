#include "tracking/service.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "catalog/lineage.h"
#include "tracking/lineage.h"
#include "tracking/store.h"

namespace penstock::tracking {
namespace {

constexpr const char* name_tag = "mlflow.runName";

Error no_experiment(const std::string& which) {
  return {Code::not_found, "No Experiment with " + which + " exists"};
}

Result<Experiment> find(sql::Tx& tx, const Call& call, std::int64_t id) {
  auto found = TRY(store::experiment(tx, call.project, id));
  if (found.empty()) return no_experiment("id=" + std::to_string(id));
  return std::move(found.front());
}

Result<Run> find(sql::Tx& tx, const Call& call, const std::string& id) {
  auto found = TRY(store::run(tx, call.project, id));
  if (found.empty()) return Error{Code::not_found, "Run with id=" + id + " not found"};
  return std::move(found.front());
}

// What is deleted takes no data until it is restored.
Result<Run> find_active(sql::Tx& tx, const Call& call, const std::string& id) {
  Run run = TRY(find(tx, call, id));
  if (run.lifecycle != Lifecycle::active)
    return Error{Code::invalid_argument, "The run " + id +
                                             " must be in the 'active' state, and is in the "
                                             "deleted state; restore it first"};
  return run;
}

std::string urn_of(const Experiment& experiment) {
  return "experiment:" + std::to_string(experiment.id);
}
std::string urn_of(const Run& run) { return "run:" + run.id; }

std::string made_up_name(const std::string& id) {
  static constexpr std::array first = {"amber", "brisk", "calm",  "deep",  "eager", "fair",
                                       "grand", "handy", "keen",  "light", "merry", "nimble",
                                       "quick", "rapid", "sharp", "true"};
  static constexpr std::array second = {"brook", "canal", "creek",  "delta", "eddy", "ford",
                                        "gate",  "heron", "inlet",  "lock",  "mill", "otter",
                                        "pond",  "river", "spring", "weir"};
  const auto digit = [&](std::size_t at) {
    return static_cast<std::size_t>(std::stoi(id.substr(at, 1), nullptr, 16));
  };
  return std::string(first[digit(0)]) + "-" + second[digit(1)] + "-" +
         std::to_string(std::stoi(id.substr(2, 3), nullptr, 16) % 1'000);
}

// The last of each key, in the order of the keys.
std::vector<Pair> last_of_each(const std::vector<Pair>& pairs) {
  std::map<std::string, std::string> by_key;
  for (const Pair& one : pairs) by_key[one.key] = one.value;
  std::vector<Pair> out;
  for (auto& [key, value] : by_key) out.push_back({key, std::move(value)});
  return out;
}

// The newest of each key, as latest_metrics compares them.
std::vector<Metric> newest_of_each(const std::vector<Metric>& metrics) {
  std::map<std::string_view, const Metric*> by_key;
  for (const Metric& one : metrics) {
    const auto [place, fresh] = by_key.emplace(one.key, &one);
    const Metric& before = *place->second;
    if (!fresh &&
        std::tie(one.step, one.at, one.value) > std::tie(before.step, before.at, before.value))
      place->second = &one;
  }
  std::vector<Metric> out;
  for (const auto& [key, one] : by_key) out.push_back(*one);
  return out;
}

// Those that are new. One that is there, or in the same batch, with another value is refused.
Result<std::vector<Pair>> new_params(sql::Tx& tx, const Run& run, const std::vector<Pair>& params) {
  if (params.empty()) return params;
  std::map<std::string, std::string> known;
  for (Pair& one : TRY(store::params(tx, run.number, params)))
    known.emplace(std::move(one.key), std::move(one.value));
  std::vector<Pair> fresh;
  for (const Pair& one : params) {
    const auto [before, is_new] = known.emplace(one.key, one.value);
    if (is_new)
      fresh.push_back(one);
    else if (before->second != one.value)
      return Error{Code::invalid_argument,
                   "Changing param values is not allowed. Param with key='" + one.key +
                       "' was already logged with value='" + before->second + "' for run ID='" +
                       run.id + "'. Attempted logging new value '" + one.value + "'."};
  }
  return fresh;
}

Result<void> put_model_metrics(sql::Tx& tx, const Call& call, const Run& run,
                               const std::vector<ModelMetric>& metrics) {
  if (metrics.empty()) return {};
  std::map<std::string, std::int64_t> numbers;
  for (const ModelMetric& one : metrics) {
    if (numbers.contains(one.model)) continue;
    const auto found = TRY(store::logged_model(tx, call.project, one.model));
    if (!found) return Error{Code::not_found, "Logged model with ID '" + one.model + "' not found"};
    numbers.emplace(one.model, *found);
  }
  return store::put_model_points(tx, run.id, numbers, metrics);
}

}  // namespace

Result<void> check_limit(std::int64_t limit) {
  if (limit < 1 || limit > 50'000)
    return Error{Code::invalid_argument, "Invalid value " + std::to_string(limit) +
                                             " for parameter 'max_results' supplied: it must be "
                                             "from 1 to 50000"};
  return {};
}

std::int64_t Service::now() const { return clock_.now().time_since_epoch().count() / 1'000; }

Result<void> Service::ensure_default(const Call& call) {
  {
    const std::lock_guard lock(mutex_);
    if (has_default_.contains(call.project)) return {};
  }
  const bool there = TRY(db_.read(call, [&](sql::Tx& tx) -> Result<bool> {
    return !TRY(store::experiment(tx, call.project, 0)).empty();
  }));
  if (!there)
    TRY(db_.write(call, [&](sql::Tx& tx) -> Result<void> {
      return store::put_default_experiment(tx, call.project, now());
    }));
  const std::lock_guard lock(mutex_);
  has_default_.insert(call.project);
  return {};
}

Result<Experiment> Service::create_experiment(const Call& call, const std::string& name,
                                              const std::string& artifact_location,
                                              const std::vector<Pair>& tags) {
  TRY(check_experiment_name(name));
  for (const Pair& tag : tags) TRY(check_experiment_tag(tag));
  TRY(ensure_default(call));
  return db_.write(call, [&](sql::Tx& tx) -> Result<Experiment> {
    const auto same = TRY(store::experiment_by_name(tx, call.project, name));
    if (!same.empty())
      return Error{Code::already_exists,
                   "Experiment '" + name + "' already exists" +
                       (same.front().lifecycle == Lifecycle::deleted
                            ? " in deleted state; restore it, or choose another name"
                            : "")};
    auto id = TRY(store::next_experiment(tx, call.project));
    Experiment made{.project = call.project,
                    .id = std::move(id),
                    .name = name,
                    .artifact_location = artifact_location,
                    .created_at = now(),
                    .updated_at = now()};
    if (made.artifact_location.empty())
      made.artifact_location = "mlflow-artifacts:/" + std::to_string(made.id);
    TRY(sql::insert(tx, "experiments", made));
    for (const Pair& tag : tags)
      TRY(tx.run(
          "INSERT INTO experiment_tags (project, experiment, key, value) VALUES ($1, $2, $3, $4) "
          "ON CONFLICT (project, experiment, key) DO UPDATE SET value = excluded.value",
          {call.project, made.id, tag.key, tag.value}));
    TRY(audit::record(tx, call, clock_.now(),
                      {"tracking.experiment.created", urn_of(made), {{"name", name}}}));
    return made;
  });
}

Result<ExperimentDetail> Service::experiment(const Call& call, std::int64_t id) {
  TRY(ensure_default(call));
  return db_.read(call, [&](sql::Tx& tx) -> Result<ExperimentDetail> {
    return std::move(TRY(store::details(tx, {TRY(find(tx, call, id))})).front());
  });
}

Result<ExperimentDetail> Service::experiment_by_name(const Call& call, const std::string& name) {
  TRY(ensure_default(call));
  return db_.read(call, [&](sql::Tx& tx) -> Result<ExperimentDetail> {
    auto found = TRY(store::experiment_by_name(tx, call.project, name));
    if (found.empty())
      return Error{Code::not_found, "Could not find experiment with name '" + name + "'"};
    return std::move(TRY(store::details(tx, std::move(found))).front());
  });
}

Result<void> Service::rename_experiment(const Call& call, std::int64_t id,
                                        const std::string& name) {
  TRY(check_experiment_name(name));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    Experiment experiment = TRY(find(tx, call, id));
    if (experiment.lifecycle != Lifecycle::active)
      return Error{Code::invalid_argument,
                   "Cannot rename an experiment that is deleted; restore it first"};
    const auto same = TRY(store::experiment_by_name(tx, call.project, name));
    if (!same.empty() && same.front().id != id)
      return Error{Code::already_exists, "Experiment '" + name + "' already exists"};
    const std::string before = experiment.name;
    experiment.name = name;
    experiment.updated_at = now();
    TRY(store::update(tx, experiment));
    return audit::record(
        tx, call, clock_.now(),
        {"tracking.experiment.renamed", urn_of(experiment), {{"before", before}, {"name", name}}});
  });
}

Result<void> Service::move_experiment(const Call& call, std::int64_t id, Lifecycle to) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    Experiment experiment = TRY(find(tx, call, id));
    if (experiment.lifecycle == to)
      return no_experiment("id=" + std::to_string(id) + " that is not " + std::string(name_of(to)) +
                           " already");
    experiment.lifecycle = to;
    experiment.updated_at = now();
    TRY(store::update(tx, experiment));
    TRY(tx.run("UPDATE tracked_runs SET lifecycle = $3 WHERE project = $1 AND experiment = $2",
               {call.project, id, sql::to_sql(to)}));
    return audit::record(
        tx, call, clock_.now(),
        {to == Lifecycle::deleted ? "tracking.experiment.deleted" : "tracking.experiment.restored",
         urn_of(experiment),
         {}});
  });
}

Result<void> Service::set_experiment_tag(const Call& call, std::int64_t id, const Pair& tag) {
  TRY(check_experiment_tag(tag));
  TRY(ensure_default(call));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(find(tx, call, id));
    TRY(tx.run(
        "INSERT INTO experiment_tags (project, experiment, key, value) VALUES ($1, $2, $3, $4) ON "
        "CONFLICT (project, experiment, key) DO UPDATE SET value = excluded.value",
        {call.project, id, tag.key, tag.value}));
    return {};
  });
}

Result<void> Service::remove_experiment_tag(const Call& call, std::int64_t id,
                                            const std::string& key) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(find(tx, call, id));
    const auto gone = TRY(
        tx.run("DELETE FROM experiment_tags WHERE project = $1 AND experiment = $2 AND key = $3 "
               "RETURNING key",
               {call.project, id, key}));
    if (gone.empty())
      return Error{Code::not_found,
                   "No tag with name: " + key + " in experiment " + std::to_string(id)};
    return {};
  });
}

Result<RunDetail> Service::create_run(const Call& call, const CreateRun& input) {
  TRY(check(Batch{.tags = input.tags}));
  TRY(ensure_default(call));
  return db_.write(call, [&](sql::Tx& tx) -> Result<RunDetail> {
    const Experiment experiment = TRY(find(tx, call, input.experiment));
    if (experiment.lifecycle != Lifecycle::active)
      return Error{Code::invalid_argument,
                   "The experiment " + std::to_string(experiment.id) +
                       " must be in the 'active' state, and is deleted; restore it first"};
    Run run{.number = TRY(store::next_run(tx)),
            .project = call.project,
            .id = sha256_hex(new_ulid(clock_.now())).substr(0, 32),
            .experiment = experiment.id,
            .name = input.name,
            .user_id = input.user_id,
            .start_time = input.start_time.value_or(now())};
    run.artifact_uri = experiment.artifact_location + "/" + run.id + "/artifacts";
    std::vector<Pair> tags = input.tags;
    const auto named =
        std::find_if(tags.begin(), tags.end(), [](const Pair& tag) { return tag.key == name_tag; });
    if (named != tags.end()) {
      if (!run.name.empty() && run.name != named->value)
        return Error{Code::invalid_argument,
                     "Both 'run_name' argument and 'mlflow.runName' tag "
                     "are specified, but with different values"};
      run.name = named->value;
    }
    if (run.name.empty()) run.name = made_up_name(run.id);
    if (named == tags.end()) tags.push_back({name_tag, run.name});
    TRY(sql::insert(tx, "tracked_runs", run));
    tags = last_of_each(tags);
    TRY(store::put_tags(tx, run.number, tags));
    TRY(audit::record(tx, call, clock_.now(),
                      {"tracking.run.created", urn_of(run), {{"experiment", experiment.id}}}));
    return RunDetail{.run = std::move(run), .tags = std::move(tags)};
  });
}

Result<RunDetail> Service::run(const Call& call, const std::string& id) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<RunDetail> {
    return std::move(TRY(store::details(tx, {TRY(find(tx, call, id))})).front());
  });
}

Result<Run> Service::update_run(const Call& call, const UpdateRun& input) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<Run> {
    Run run = TRY(find_active(tx, call, input.id));
    if (!input.name.empty()) {
      run.name = input.name;
      TRY(store::put_tags(tx, run.number, {{name_tag, run.name}}));
    }
    if (input.status) run.status = *input.status;
    if (input.end_time) run.end_time = input.end_time;
    TRY(store::update(tx, run));
    if (input.status)
      TRY(audit::record(tx, call, clock_.now(),
                        {"tracking.run.updated", urn_of(run), {{"status", name_of(run.status)}}}));
    return run;
  });
}

Result<void> Service::move_run(const Call& call, const std::string& id, Lifecycle to) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    Run run = TRY(find(tx, call, id));
    if (run.lifecycle == to) return {};
    run.lifecycle = to;
    TRY(store::update(tx, run));
    return audit::record(
        tx, call, clock_.now(),
        {to == Lifecycle::deleted ? "tracking.run.deleted" : "tracking.run.restored",
         urn_of(run),
         {}});
  });
}

Result<void> Service::log(const Call& call, const std::string& id, const Batch& batch) {
  TRY(check(batch));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    Run run = TRY(find_active(tx, call, id));
    TRY(store::put_params(tx, run.number, TRY(new_params(tx, run, batch.params))));
    const auto tags = last_of_each(batch.tags);
    TRY(store::put_tags(tx, run.number, tags));
    for (const Pair& tag : tags)
      if (tag.key == name_tag && tag.value != run.name) {
        run.name = tag.value;
        TRY(store::update(tx, run));
      }
    TRY(store::put_points(tx, run.number, batch.metrics));
    TRY(put_model_metrics(tx, call, run, batch.model_metrics));
    return store::put_latest(tx, run, newest_of_each(batch.metrics));
  });
}

Result<void> Service::log_datasets(const Call& call, const std::string& id,
                                   const std::vector<DatasetInput>& inputs) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const Run run = TRY(find_active(tx, call, id));
    for (const DatasetInput& input : inputs) {
      TRY(store::put_dataset(tx, run.number, input));
      TRY(catalog::add_edge(tx, call, clock_.now(), urn_of(run), TRY(dataset_urn(tx, call, input)),
                            "reads"));
    }
    return {};
  });
}

Result<void> Service::log_models(const Call& call, const std::string& id,
                                 const std::vector<ModelUse>& uses) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const Run run = TRY(find_active(tx, call, id));
    for (const ModelUse& use : uses) {
      TRY(
          tx.run("INSERT INTO run_models (run, model, is_output, step) VALUES ($1, $2, $3, $4) ON "
                 "CONFLICT (run, model, is_output) DO UPDATE SET step = excluded.step",
                 {run.number, use.model, use.is_output, use.step}));
      const std::string model = "logged_model:" + use.model;
      if (use.is_output)
        TRY(catalog::add_edge(tx, call, clock_.now(), model, urn_of(run), "written_by"));
      else
        TRY(catalog::add_edge(tx, call, clock_.now(), urn_of(run), model, "reads"));
    }
    return {};
  });
}

Result<void> Service::add_model_record(const Call& call, const std::string& id,
                                       const json::value& model) {
  constexpr const char* history_tag = "mlflow.log-model.history";
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const Run run = TRY(find_active(tx, call, id));
    const auto before = TRY(tx.run("SELECT value FROM tracked_tags WHERE run = $1 AND key = $2",
                                   {run.number, history_tag}));
    boost::system::error_code fault;
    json::value list = json::array{};
    if (!before.empty()) list = json::parse(std::get<std::string>(before[0].at(0)), fault);
    if (fault || !list.is_array()) list = json::array{};
    list.as_array().push_back(model);
    const Pair tag{history_tag, json::serialize(list)};
    TRY(check_tag(tag, ""));
    return store::put_tags(tx, run.number, {tag});
  });
}

Result<void> Service::remove_tag(const Call& call, const std::string& id, const std::string& key) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const Run run = TRY(find_active(tx, call, id));
    const auto gone = TRY(tx.run(
        "DELETE FROM tracked_tags WHERE run = $1 AND key = $2 RETURNING key", {run.number, key}));
    if (gone.empty())
      return Error{Code::not_found, "No tag with name: " + key + " in run with id " + id};
    return {};
  });
}

}  // namespace penstock::tracking
