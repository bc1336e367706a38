// What a run knew: its pipeline, its steps and the packages of its interpreters.
#pragma once

#include "base/call.h"
#include "ports/sql.h"
#include "training/pipeline.h"

namespace penstock::training {

struct RunFacts {
  Run run;
  Pipeline pipeline;
  std::vector<StepRun> steps;
  std::string packages;  // of the last step that had an interpreter: its version, then one a line
};
// Nothing where there is no run of that id.
Result<std::optional<RunFacts>> run_facts(sql::Tx& tx, const Call& call, const std::string& id);
Result<std::optional<Evaluation>> find_evaluation(sql::Tx& tx, const Call& call,
                                                  const std::string& name);

// Under the digest that StepRun::environment names.
Result<void> keep_environment(sql::Tx& tx, const std::string& digest, const std::string& packages);

}  // namespace penstock::training
