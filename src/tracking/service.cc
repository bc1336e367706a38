#include "tracking/service.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "tracking/search.h"
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
std::string urn_of(const Run& run) { return "mlflow_run:" + run.id; }

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

std::string conditions(const Search& search, Compiled& compiled) {
  std::string where = compiled.where.empty() ? "" : " AND " + compiled.where;
  if (search.view != View::all)
    where += search.view == View::active ? " AND t.lifecycle = 'active'"
                                         : " AND t.lifecycle = 'deleted'";
  return where;
}

}  // namespace

Result<std::int64_t> offset_of(const std::string& token) {
  std::int64_t offset = 0;
  const auto read = std::from_chars(token.data(), token.data() + token.size(), offset);
  if (!token.empty() &&
      (read.ec != std::errc() || read.ptr != token.data() + token.size() || offset < 0))
    return Error{Code::invalid_argument,
                 "page_token '" + token.substr(0, 50) + "' was not given by this server"};
  return offset;
}

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
  for (const Pair& tag : tags) TRY(check_tag(tag, "tags."));
  TRY(ensure_default(call));
  return db_.write(call, [&](sql::Tx& tx) -> Result<Experiment> {
    const auto same = TRY(store::experiment_by_name(tx, call.project, name));
    if (!same.empty())
      return Error{Code::already_exists,
                   "Experiment '" + name + "' already exists" +
                       (same.front().lifecycle == Lifecycle::deleted
                            ? " in deleted state; restore it, or choose another name"
                            : "")};
    Experiment made{.project = call.project,
                    .id = TRY(store::next_experiment(tx, call.project)),
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
    return ExperimentDetail{TRY(find(tx, call, id)),
                            TRY(store::experiment_tags(tx, call.project, id))};
  });
}

Result<ExperimentDetail> Service::experiment_by_name(const Call& call, const std::string& name) {
  TRY(ensure_default(call));
  return db_.read(call, [&](sql::Tx& tx) -> Result<ExperimentDetail> {
    const auto found = TRY(store::experiment_by_name(tx, call.project, name));
    if (found.empty())
      return Error{Code::not_found, "Could not find experiment with name '" + name + "'"};
    return ExperimentDetail{found.front(),
                            TRY(store::experiment_tags(tx, call.project, found.front().id))};
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
  TRY(check_tag(tag, ""));
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

Result<Found<ExperimentDetail>> Service::search_experiments(const Call& call,
                                                            const Search& search) {
  TRY(check_limit(search.limit));
  TRY(ensure_default(call));
  Compiled compiled = TRY(compile(Subject::experiment, search.filter, search.order_by));
  const std::int64_t offset = TRY(offset_of(search.page_token));
  compiled.parameters.emplace_back(call.project);
  const std::string project = "$" + std::to_string(compiled.parameters.size());
  const std::string order = compiled.order.empty() ? "t.updated_at DESC" : compiled.order;
  const std::string text =
      "SELECT t.project, t.id, t.name, t.artifact_location, t.lifecycle, "
      "t.created_at, t.updated_at FROM experiments t" +
      compiled.joins + " WHERE t.project = " + project + conditions(search, compiled) +
      " ORDER BY " + order + ", t.id DESC LIMIT " + std::to_string(search.limit + 1) + " OFFSET " +
      std::to_string(offset);
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<ExperimentDetail>> {
    auto found = TRY(sql::select<Experiment>(tx, text, compiled.parameters));
    Found<ExperimentDetail> out;
    out.next_page_token = next_token(found, search.limit, offset);
    for (Experiment& one : found) {
      auto tags = TRY(store::experiment_tags(tx, call.project, one.id));
      out.items.push_back({std::move(one), std::move(tags)});
    }
    return out;
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
    for (const Pair& tag : tags) TRY(store::put_tag(tx, run.number, tag));
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
      TRY(store::put_tag(tx, run.number, {name_tag, run.name}));
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
    for (const Pair& param : batch.params) {
      const auto before = TRY(store::param(tx, run.number, param.key));
      if (before.empty())
        TRY(store::put_param(tx, run.number, param));
      else if (before.front().value != param.value)
        return Error{Code::invalid_argument,
                     "Changing param values is not allowed. Param with key='" + param.key +
                         "' was already logged with value='" + before.front().value +
                         "' for run ID='" + id + "'. Attempted logging new value '" + param.value +
                         "'."};
    }
    for (const Pair& tag : batch.tags) {
      TRY(store::put_tag(tx, run.number, tag));
      if (tag.key == name_tag && tag.value != run.name) {
        run.name = tag.value;
        TRY(store::update(tx, run));
      }
    }
    for (const Metric& metric : batch.metrics) TRY(store::put_metric(tx, run.number, metric));
    return {};
  });
}

Result<void> Service::log_datasets(const Call& call, const std::string& id,
                                   const std::vector<DatasetInput>& inputs) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const Run run = TRY(find_active(tx, call, id));
    for (const DatasetInput& input : inputs) TRY(store::put_dataset(tx, run.number, input));
    return {};
  });
}

Result<void> Service::log_models(const Call& call, const std::string& id,
                                 const std::vector<ModelUse>& uses) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const Run run = TRY(find_active(tx, call, id));
    for (const ModelUse& use : uses)
      TRY(
          tx.run("INSERT INTO run_models (run, model, is_output, step) VALUES ($1, $2, $3, $4) ON "
                 "CONFLICT (run, model, is_output) DO UPDATE SET step = excluded.step",
                 {run.number, use.model, use.is_output, use.step}));
    return {};
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

Result<Found<Metric>> Service::history(const Call& call, const std::string& id,
                                       const std::string& key, std::int64_t limit,
                                       const std::string& page_token) {
  if (key.empty()) return Error{Code::invalid_argument, "metric_key is missing"};
  TRY(check_limit(limit));
  const std::int64_t offset = TRY(offset_of(page_token));
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<Metric>> {
    const Run run = TRY(find(tx, call, id));
    Found<Metric> out;
    out.items = TRY(store::history(tx, run.number, key, limit + 1, offset));
    out.next_page_token = next_token(out.items, limit, offset);
    return out;
  });
}

Result<Found<RunDetail>> Service::search_runs(const Call& call, const Search& search) {
  TRY(check_limit(search.limit));
  Compiled compiled = TRY(compile(Subject::run, search.filter, search.order_by));
  const std::int64_t offset = TRY(offset_of(search.page_token));
  if (search.experiments.empty()) return Found<RunDetail>{};
  const auto mark = [&](Scalar value) {
    compiled.parameters.push_back(std::move(value));
    return "$" + std::to_string(compiled.parameters.size());
  };
  std::string where = "t.project = " + mark(call.project) + " AND t.experiment IN (";
  for (std::size_t i = 0; i < search.experiments.size(); ++i)
    where += (i ? ", " : "") + mark(search.experiments[i]);
  where += ")" + conditions(search, compiled);
  const std::string order = compiled.order.empty() ? "" : compiled.order + ", ";
  const std::string text =
      "SELECT t.number, t.project, t.id, t.experiment, t.name, t.user_id, t.status, t.start_time, "
      "t.end_time, t.artifact_uri, t.lifecycle FROM tracked_runs t" +
      compiled.joins + " WHERE " + where + " ORDER BY " + order + "t.start_time DESC, t.id LIMIT " +
      std::to_string(search.limit + 1) + " OFFSET " + std::to_string(offset);
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<RunDetail>> {
    auto runs = TRY(sql::select<Run>(tx, text, compiled.parameters));
    Found<RunDetail> out;
    out.next_page_token = next_token(runs, search.limit, offset);
    out.items = TRY(store::details(tx, std::move(runs)));
    return out;
  });
}

}  // namespace penstock::tracking
