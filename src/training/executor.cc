#include "training/executor.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/log.h"
#include "catalog/lineage.h"
#include "training/evaluation.h"
#include "training/facts.h"
#include "training/store.h"

namespace penstock::training {
namespace {

namespace fs = std::filesystem;

std::string upper(std::string text) {
  for (char& letter : text)
    letter = letter == '-' || letter == '.' ? '_' : static_cast<char>(std::toupper(letter));
  return text;
}

Result<void> write_file(const fs::path& path, const std::string& text) {
  std::ofstream stream(path, std::ios::binary);
  stream << text;
  stream.close();
  if (stream) return {};
  return Error{Code::unavailable, "cannot write " + path.string() + "; is the disk full?"};
}

// The folder of an output. A command may write a file or a folder at its path; a file is put into a
// folder of its own so that every artifact is a folder.
Result<std::string> as_folder(const fs::path& output) {
  if (fs::is_directory(output)) return output.string();
  if (!fs::exists(output))
    return Error{
        Code::failed_precondition,
        "the command ended well but left nothing at its output " + output.filename().string()};
  const fs::path folder = output.string() + ".folder";
  fs::create_directories(folder);
  fs::rename(output, folder / output.filename());
  return folder.string();
}

}  // namespace

Result<std::string> with_parameters(const std::string& text, const json::object& parameters) {
  std::string out;
  std::size_t at = 0;
  for (;;) {
    const std::size_t start = text.find("${", at);
    out += text.substr(at, start - at);
    if (start == std::string::npos) return out;
    const std::size_t end = text.find('}', start);
    const std::string name =
        end == std::string::npos ? "" : text.substr(start + 2, end - start - 2);
    const json::value* value = parameters.if_contains(name);
    if (!value)
      return Error{Code::invalid_argument, "${" + name + "} names no parameter of the pipeline"};
    out += value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
    at = end + 1;
  }
}

namespace {

json::object named(const Output& output) {
  json::object out{{"name", output.name}, {"digest", output.digest}};
  if (!output.urn.empty()) out["urn"] = output.urn;
  return out;
}

// What the audit log, and whoever follows it, needs to know of a step.
json::object told_of(const Run& run, const PipelineStep& step, const StepRun& record,
                     const std::map<std::string, Output>& made) {
  json::array inputs, outputs;
  for (const std::string& input : step.inputs)
    if (const auto found = made.find(input); found != made.end())
      inputs.push_back(named(found->second));
  for (const Output& output : record.outputs) outputs.push_back(named(output));
  return {{"pipeline", run.pipeline},
          {"step", record.step},
          {"cached", record.cached},
          {"started_at", to_rfc3339(record.started_at)},
          {"inputs", std::move(inputs)},
          {"outputs", std::move(outputs)},
          {"fault", record.status == RunStatus::failed ? record.log_tail : ""}};
}

}  // namespace

Result<bool> Executor::run_once() {
  const Call reader{.actor = "service:training"};
  auto found = TRY(db_.read(reader, [](sql::Tx& tx) { return store::next_run(tx); }));
  if (found.empty()) return false;
  Run run = std::move(found.front());
  const Call call{.actor = run.author,
                  .tenant = run.tenant,
                  .project = run.project,
                  .request_id = "run:" + run.id};
  const auto pipeline = db_.write(call, [&](sql::Tx& tx) -> Result<Pipeline> {
    run.status = RunStatus::running;
    if (!run.started_at) run.started_at = clock_.now();
    TRY(store::set_status(tx, run));
    return resources::declared<Pipeline>(tx, run.project, "pipeline", run.pipeline,
                                         run.pipeline_version);
  });
  Result<void> result = pipeline ? Result<void>() : Result<void>(pipeline.error());
  if (pipeline) result = execute(call, *pipeline, run);
  std::error_code ignored;
  fs::remove_all(fs::path(options_.scratch) / run.id, ignored);
  TRY(finish(call, run, result));
  return true;
}

Result<void> Executor::execute(const Call& call, const Pipeline& pipeline, Run& run) {
  Outputs made;
  for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
    const StepRun record = TRY(execute_step(call, pipeline, run, i, made));
    TRY(db_.write(call, [&](sql::Tx& tx) -> Result<void> {
      TRY(store::put_step(tx, record));
      TRY(audit::record(tx, call, *record.finished_at,
                        {"training.step." + std::string(name_of(record.status)), "run:" + run.id,
                         told_of(run, pipeline.steps[i], record, made)}));
      if (record.status != RunStatus::succeeded) return {};
      TRY(store::keep(tx, record, clock_.now()));
      for (const Output& output : record.outputs)
        if (!output.urn.empty())
          TRY(catalog::add_edge(tx, call, clock_.now(), "run:" + run.id, output.urn, "reads"));
      return {};
    }));
    if (record.status != RunStatus::succeeded)
      return Error{Code::failed_precondition,
                   "step " + record.step + " failed: " + record.log_tail};
    for (const Output& output : record.outputs) made[output.name] = output;
    if (pipeline.steps[i].gate) TRY(judge(call, run, pipeline.steps[i], record));
  }
  return {};
}

Result<StepRun> Executor::execute_step(const Call& call, const Pipeline& pipeline, const Run& run,
                                       std::size_t position, const Outputs& made) {
  const PipelineStep& step = pipeline.steps[position];
  auto environment = TRY(environment_of(step));
  StepRun record{.project = run.project,
                 .run = run.id,
                 .step = step.name,
                 .position = static_cast<std::int64_t>(position),
                 .environment = std::move(environment),
                 .status = RunStatus::succeeded,
                 .started_at = clock_.now()};
  record.cache_key = TRY(cache_key(call, pipeline, run, step, made, record.environment));
  if (run.use_cache && !step.dataset) {
    auto cached = TRY(db_.read(
        call, [&](sql::Tx& tx) { return store::cached(tx, run.project, record.cache_key); }));
    if (!cached.empty()) {
      record.cached = true;
      record.outputs = std::move(cached.front());
      record.finished_at = clock_.now();
      return record;
    }
  }
  // A dataset is content-addressed and kept by the feature store itself: asking again is its cache.
  if (step.dataset) {
    auto outputs = make_dataset(call, run, step);
    if (outputs) {
      record.outputs = std::move(outputs).take();
    } else {
      record.status = RunStatus::failed;
      record.log_tail = outputs.error().message;
    }
  } else {
    TRY(run_command(pipeline, run, step, made, record));
  }
  record.finished_at = clock_.now();
  return record;
}

Result<std::vector<Output>> Executor::make_dataset(const Call& call, const Run& run,
                                                   const PipelineStep& step) {
  features::HistoricalInput input;
  input.entity_sql = TRY(with_parameters(step.dataset->entity_sql, run.parameters));
  input.feature_schema = step.dataset->feature_schema;
  input.dataset = TRY(with_parameters(step.dataset->name, run.parameters));
  const auto made = TRY(features_.historical(call, input));
  return std::vector<Output>{{step.name, made.digest, made.uri, made.dataset}};
}

Result<void> Executor::run_command(const Pipeline& pipeline, const Run& run,
                                   const PipelineStep& step, const Outputs& made, StepRun& record) {
  const fs::path folder = fs::absolute(fs::path(options_.scratch) / run.id / step.name);
  std::error_code fault;
  fs::remove_all(folder, fault);
  fs::create_directories(folder / "outputs", fault);
  if (fault) return Error{Code::unavailable, folder.string() + ": " + fault.message()};
  for (const auto& [name, text] : pipeline.files) TRY(write_file(folder / name, text));
  TRY(write_file(folder / "parameters.json", json::serialize(run.parameters)));

  jobs::Command command{
      .arguments = step.command,
      .environment = {{"PENSTOCK_PARAMETERS", (folder / "parameters.json").string()},
                      {"PENSTOCK_SEED", std::to_string(run.seed)},
                      {"PYTHONHASHSEED", "0"}},
      .directory = folder.string(),
      .log_path = (folder / "log.txt").string(),
      .time_limit = step.time_limit};
  for (std::string& argument : command.arguments)
    argument = TRY(with_parameters(argument, run.parameters));
  for (const std::string& input : step.inputs) {
    const Output& output = made.at(input);
    command.environment["PENSTOCK_INPUT_" + upper(input)] =
        output.urn.empty() ? TRY(artifacts_.local_path(output.uri)) : output.uri;
  }
  for (const std::string& output : step.outputs)
    command.environment["PENSTOCK_OUTPUT_" + upper(output)] =
        (folder / "outputs" / output).string();

  const jobs::Outcome outcome = TRY(runner_.run(command));
  record.cpu_seconds = outcome.cpu_seconds;
  record.peak_memory = outcome.peak_memory;
  record.log_tail = outcome.tail;
  if (outcome.exit_code != 0) {
    record.status = RunStatus::failed;
    record.log_tail = (outcome.timed_out ? "ran into its time limit; " : "") +
                      std::string("exit code ") + std::to_string(outcome.exit_code) + ": " +
                      outcome.tail;
    return {};
  }
  for (const std::string& name : step.outputs) {
    const auto output = as_folder(folder / "outputs" / name);
    if (!output) {
      record.status = RunStatus::failed;
      record.log_tail = output.error().message;
      return {};
    }
    const auto artifact = TRY(artifacts_.add_local(*output));
    record.outputs.push_back({name, artifact.digest, artifact.uri, ""});
  }
  return {};
}

Result<void> Executor::judge(const Call& call, const Run& run, const PipelineStep& step,
                             const StepRun& record) {
  const auto predictions =
      std::find_if(record.outputs.begin(), record.outputs.end(),
                   [&](const Output& output) { return output.name == step.gate->predictions; });
  const auto session = TRY(olap_.session());
  const std::string path = TRY(artifacts_.local_path(predictions->uri));
  const auto slices = TRY(evaluate(*session, path, *step.gate));
  const Evaluation evaluation{.project = run.project,
                              .name = run.pipeline + "-" + run.id,
                              .run = run.id,
                              .passed = passed(slices),
                              .gate = *step.gate,
                              .slices = slices,
                              .predictions_uri = predictions->uri,
                              .created_at = clock_.now()};
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    // A run that was taken up again after a crash has judged before.
    if (!TRY(store::find_evaluation(tx, run.project, evaluation.name)).empty()) return {};
    TRY(sql::insert(tx, "evaluations", evaluation));
    TRY(catalog::add_edge(tx, call, evaluation.created_at, "evaluation:" + evaluation.name,
                          "run:" + run.id, "made_by"));
    return audit::record(tx, call, evaluation.created_at,
                         {"training.evaluated",
                          "evaluation:" + evaluation.name,
                          {{"passed", evaluation.passed}, {"all", encode(slices.front())}}});
  });
}

Result<std::string> Executor::environment_of(const PipelineStep& step) {
  if (step.command.empty() || step.command.front().find("python") == std::string::npos)
    return std::string();
  const std::string& program = step.command.front();
  const auto known = environments_.find(program);
  if (known != environments_.end()) return known->second;
  const fs::path folder = fs::absolute(options_.scratch);
  fs::create_directories(folder);
  const auto outcome = TRY(runner_.run(
      {.arguments =
           {program, "-c",
            "import sys, importlib.metadata as m; print(sys.version); print(*sorted(f'{d.name}"
            "=={d.version}' for d in m.distributions()), sep='\\n')"},
       .directory = folder.string(),
       .log_path = (folder / "environment.txt").string(),
       .time_limit = std::chrono::minutes(1)}));
  if (outcome.exit_code != 0)
    return Error{Code::failed_precondition, program + " does not run: " + outcome.tail};
  std::ifstream stream(folder / "environment.txt", std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  const std::string digest = sha256_hex(text);
  TRY(db_.write({.actor = "service:training"},
                [&](sql::Tx& tx) -> Result<void> { return keep_environment(tx, digest, text); }));
  return environments_[program] = digest;
}

Result<std::string> Executor::cache_key(const Call&, const Pipeline& pipeline, const Run& run,
                                        const PipelineStep& step, const Outputs& made,
                                        const std::string& environment) {
  json::object inputs;
  for (const std::string& input : step.inputs) inputs[input] = made.at(input).digest;
  return sha256_hex(canonical(json::object{{"step", encode(step)},
                                           {"files", encode(pipeline.files)},
                                           {"inputs", inputs},
                                           {"parameters", run.parameters},
                                           {"environment", environment},
                                           {"seed", run.seed}}));
}

Result<void> Executor::finish(const Call& call, Run& run, const Result<void>& result) {
  run.status = result ? RunStatus::succeeded : RunStatus::failed;
  run.fault = result ? "" : result.error().message;
  run.finished_at = clock_.now();
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(store::set_status(tx, run));
    TRY(catalog::add_edge(tx, call, *run.finished_at, "run:" + run.id,
                          "pipeline:" + run.pipeline + "@" + std::to_string(run.pipeline_version),
                          "runs"));
    return audit::record(tx, call, *run.finished_at,
                         {"training.run." + std::string(name_of(run.status)),
                          "run:" + run.id,
                          {{"fault", run.fault}}});
  });
}

}  // namespace penstock::training
