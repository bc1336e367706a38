#include "training/service.h"

#include <algorithm>
#include <set>

#include "audit/audit.h"
#include "base/id.h"
#include "training/store.h"

namespace penstock::training {
namespace {

bool is_file_name(const std::string& name) {
  return !name.empty() && name.size() <= 100 && name.front() != '.' &&
         name.find_first_not_of(
             "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-") ==
             std::string::npos;
}

// Inputs may only name outputs of steps before: the order of the list is the order of the work.
void check_step(const PipelineStep& step, const std::string& path, std::set<std::string>& made,
                std::vector<Violation>& faults) {
  if (step.dataset.has_value() != step.command.empty())
    faults.push_back({path, "must have either dataset or command"});
  const bool own_name = step.outputs.empty() || step.outputs == std::vector{step.name};
  if (step.dataset && !(own_name && step.inputs.empty()))
    faults.push_back({path, "is a dataset step: its output is its name, and it has no inputs"});
  for (std::size_t i = 0; i < step.inputs.size(); ++i)
    if (!made.contains(step.inputs[i]))
      faults.push_back(
          {path + ".inputs[" + std::to_string(i) + "]",
           "names " + step.inputs[i] + ", which no step before makes (a pipeline has no cycles)"});
  const std::vector<std::string> outputs = step.dataset ? std::vector{step.name} : step.outputs;
  for (const std::string& output : outputs)
    if (!is_file_name(output) || !made.insert(output).second)
      faults.push_back(
          {path + ".outputs", "must be unused names of letters, digits or . _ -, not " + output});
  if (step.gate && std::find(step.outputs.begin(), step.outputs.end(), step.gate->predictions) ==
                       step.outputs.end())
    faults.push_back({path + ".gate.predictions", "must be an output of this step"});
}

Result<void> check(sql::Tx& tx, const Call& call, const Pipeline& pipeline) {
  std::vector<Violation> faults;
  std::set<std::string> made, names;
  for (const auto& [name, text] : pipeline.files)
    if (!is_file_name(name) || text.size() > 1'000'000)
      faults.push_back({"files." + name, "must be a plain file name and at most 1 MB of text"});
  for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
    const std::string path = "steps[" + std::to_string(i) + "]";
    if (!is_file_name(pipeline.steps[i].name) || !names.insert(pipeline.steps[i].name).second)
      faults.push_back({path + ".name", "must be an unused name of letters, digits or . _ -"});
    check_step(pipeline.steps[i], path, made, faults);
    if (pipeline.steps[i].dataset && !resources::get(tx, call.project, "feature_schema",
                                                     pipeline.steps[i].dataset->feature_schema))
      faults.push_back(
          {path + ".dataset.feature_schema",
           "names " + pipeline.steps[i].dataset->feature_schema + ", which is not declared"});
  }
  if (faults.empty()) return {};
  return Error{Code::invalid_argument, "the pipeline has faults", std::move(faults)};
}

Result<Run> must_find(sql::Tx& tx, const Call& call, const std::string& id) {
  auto found = TRY(store::find_run(tx, call.project, id));
  if (!found.empty()) return std::move(found.front());
  return Error{Code::not_found, "there is no run " + id + " in project " + call.project};
}

Result<Run> queue(sql::Tx& tx, const Call& call, Run run) {
  run.project = call.project;
  run.id = new_ulid(run.created_at);
  run.author = call.actor;
  run.tenant = call.tenant;
  TRY(sql::insert(tx, "runs", run));
  TRY(audit::record(tx, call, run.created_at,
                    {"training.run.queued",
                     "run:" + run.id,
                     {{"pipeline", run.pipeline},
                      {"pipeline_version", run.pipeline_version},
                      {"parameters", run.parameters},
                      {"seed", run.seed},
                      {"reproduces", run.reproduces}}}));
  return run;
}

std::vector<Reproduced> compare(const std::vector<StepRun>& steps,
                                const std::vector<StepRun>& originals) {
  std::vector<Reproduced> out;
  for (std::size_t i = 0; i < std::min(steps.size(), originals.size()); ++i)
    for (std::size_t k = 0; k < std::min(steps[i].outputs.size(), originals[i].outputs.size()); ++k)
      out.push_back({steps[i].step, steps[i].outputs[k].name, steps[i].outputs[k].digest,
                     originals[i].outputs[k].digest,
                     steps[i].outputs[k].digest == originals[i].outputs[k].digest});
  return out;
}

// The record that a run knows: its model's artifact, its dataset, its evaluation and its features.
Result<registry::Record> record_of(sql::Tx& tx, const Call& call, const Run& run,
                                   const RegisterInput& input) {
  if (run.status != RunStatus::succeeded)
    return Error{Code::failed_precondition, "run " + run.id + " is " +
                                                std::string(name_of(run.status)) +
                                                (run.fault.empty() ? "" : ": " + run.fault)};
  registry::Record record{.model_id = input.model,
                          .owner = input.owner,
                          .approved_for = input.approved_for,
                          .rollback_to = input.rollback_to,
                          .run = run.id,
                          .runtime = "onnx",
                          .description = input.description,
                          .licence = input.licence,
                          .risk_class = input.risk_class};
  const Pipeline pipeline = TRY(resources::declared<Pipeline>(tx, call.project, "pipeline",
                                                              run.pipeline, run.pipeline_version));
  for (const StepRun& step : TRY(store::steps(tx, run.project, run.id)))
    for (const Output& output : step.outputs) {
      if (output.name == "model") {
        record.artifact_uri = output.uri;
        record.artifact_digest = output.digest;
      }
      // "dataset:NAME@N" is known in a record as NAME@N. The first dataset is the one trained on.
      if (!output.urn.empty() && !record.training_data)
        record.training_data = output.urn.substr(std::string_view("dataset:").size());
    }
  for (const PipelineStep& step : pipeline.steps)
    if (step.dataset && !record.feature_schema)
      record.feature_schema = step.dataset->feature_schema;
  if (record.artifact_uri.empty())
    return Error{Code::failed_precondition,
                 "run " + run.id + " has no output called model; name one so in the pipeline"};
  for (const Evaluation& evaluation : TRY(store::evaluations_of(tx, run.project, run.id))) {
    if (!evaluation.passed)
      return Error{Code::failed_precondition, "evaluation " + evaluation.name + " of run " +
                                                  run.id + " did not pass its gate"};
    record.eval_report = evaluation.name;
    const SliceMetrics& all = evaluation.slices.front();
    record.metrics = {{"brier", all.brier},
                      {"baseline_brier", all.baseline_brier},
                      {"log_loss", all.log_loss},
                      {"accuracy", all.accuracy},
                      {"rows", static_cast<double>(all.rows)}};
  }
  return record;
}

}  // namespace

resources::KindHandler Service::kind() const {
  return {.kind = "pipeline", .check = resources::checked_as<Pipeline>(check)};
}

Result<Run> Service::start(const Call& call, const StartInput& input) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<Run> {
    const resources::Resource resource =
        TRY(resources::get(tx, call.project, "pipeline", input.pipeline));
    const Pipeline pipeline = TRY(decode<Pipeline>(resource.declaration));
    Run run{.pipeline = input.pipeline,
            .pipeline_version = resource.version,
            .parameters = pipeline.parameters,
            .seed = input.seed,
            .use_cache = input.use_cache,
            .git_commit = input.git_commit,
            .created_at = clock_.now()};
    for (const auto& given : input.parameters) {
      if (!pipeline.parameters.contains(given.key()))
        return Error{Code::invalid_argument,
                     "pipeline " + input.pipeline + " has no parameter " + std::string(given.key()),
                     {{"parameters." + std::string(given.key()), "is not known to the pipeline"}}};
      run.parameters[given.key()] = given.value();
    }
    return queue(tx, call, std::move(run));
  });
}

Result<Run> Service::reproduce(const Call& call, const RunName& name) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<Run> {
    const Run original = TRY(must_find(tx, call, name.id));
    return queue(tx, call,
                 {.pipeline = original.pipeline,
                  .pipeline_version = original.pipeline_version,
                  .parameters = original.parameters,
                  .seed = original.seed,
                  .use_cache = false,
                  .reproduces = original.id,
                  .git_commit = original.git_commit,
                  .created_at = clock_.now()});
  });
}

Result<RunList> Service::list(const Call& call, const ListInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<RunList> {
    return RunList{TRY(store::list_runs(tx, call.project, input.pipeline, input.limit))};
  });
}

Result<RunDetail> Service::get(const Call& call, const RunName& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<RunDetail> {
    RunDetail detail{.run = TRY(must_find(tx, call, name.id))};
    detail.steps = TRY(store::steps(tx, call.project, name.id));
    detail.evaluations = TRY(store::evaluations_of(tx, call.project, name.id));
    if (detail.run.status == RunStatus::succeeded && !detail.run.reproduces.empty())
      detail.reproduced =
          compare(detail.steps, TRY(store::steps(tx, call.project, detail.run.reproduces)));
    return detail;
  });
}

Result<Evaluation> Service::evaluation(const Call& call, const EvaluationName& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<Evaluation> {
    auto found = TRY(store::find_evaluation(tx, call.project, name.name));
    if (!found.empty()) return std::move(found.front());
    return Error{Code::not_found, "there is no evaluation " + name.name};
  });
}

Result<registry::ModelVersion> Service::register_model(const Call& call,
                                                       const RegisterInput& input) {
  const auto record = TRY(db_.read(call, [&](sql::Tx& tx) -> Result<registry::Record> {
    const Run run = TRY(must_find(tx, call, input.id));
    return record_of(tx, call, run, input);
  }));
  return registry_.register_version(call, record);
}

Result<std::optional<std::string>> evaluation_urn(sql::Tx& tx, const Call& call,
                                                  const std::string& name) {
  if (TRY(store::find_evaluation(tx, call.project, name)).empty())
    return std::optional<std::string>();
  return std::optional<std::string>("evaluation:" + name);
}

Result<std::optional<std::string>> run_urn(sql::Tx& tx, const Call& call, const std::string& name) {
  if (TRY(store::find_run(tx, call.project, name)).empty()) return std::optional<std::string>();
  return std::optional<std::string>("run:" + name);
}

}  // namespace penstock::training
