// Executes queued runs, one at a time, step by step.
#pragma once

#include "features/service.h"
#include "ports/jobs.h"
#include "registry/artifacts.h"
#include "training/service.h"

namespace penstock::training {

struct ExecutorOptions {
  std::string scratch;  // a folder of the local disk; each step has one of its own in it
};

class Executor {
 public:
  Executor(sql::Database& db, const Clock& clock, jobs::Runner& runner,
           registry::Artifacts& artifacts, features::Service& features, olap::Engine& olap,
           ExecutorOptions options)
      : db_(db),
        clock_(clock),
        runner_(runner),
        artifacts_(artifacts),
        features_(features),
        olap_(olap),
        options_(std::move(options)) {}

  // Takes up the oldest run that is not finished and brings it to its end; true if there was one. A
  // run that was under way when the process died is taken up again: its finished steps come from
  // the cache.
  Result<bool> run_once();

 private:
  using Outputs = std::map<std::string, Output>;

  Result<void> execute(const Call& call, const Pipeline& pipeline, Run& run);
  Result<StepRun> execute_step(const Call& call, const Pipeline& pipeline, const Run& run,
                               std::size_t position, const Outputs& made);
  Result<std::vector<Output>> make_dataset(const Call& call, const Run& run,
                                           const PipelineStep& step);
  Result<void> run_command(const Pipeline& pipeline, const Run& run, const PipelineStep& step,
                           const Outputs& made, StepRun& record);
  Result<void> judge(const Call& call, const Run& run, const PipelineStep& step,
                     const StepRun& record);
  Result<std::string> cache_key(const Call& call, const Pipeline& pipeline, const Run& run,
                                const PipelineStep& step, const Outputs& made,
                                const std::string& environment);
  Result<std::string> environment_of(const PipelineStep& step);
  Result<void> finish(const Call& call, Run& run, const Result<void>& result);

  sql::Database& db_;
  const Clock& clock_;
  jobs::Runner& runner_;
  registry::Artifacts& artifacts_;
  features::Service& features_;
  olap::Engine& olap_;
  ExecutorOptions options_;
  std::map<std::string, std::string>
      environments_;  // by program; packages do not change under a server
};

// `text` with each ${name} replaced by the parameter's value; an unknown name is invalid_argument.
Result<std::string> with_parameters(const std::string& text, const json::object& parameters);

}  // namespace penstock::training
