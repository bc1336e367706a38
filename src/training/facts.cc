#include "training/facts.h"

#include "resources/service.h"
#include "training/store.h"

namespace penstock::training {
namespace {

// Empty where nobody kept them.
Result<std::string> environment(sql::Tx& tx, const std::string& digest) {
  const auto rows =
      TRY(tx.run("SELECT packages FROM run_environments WHERE digest = $1", {digest}));
  return rows.empty() ? std::string() : std::get<std::string>(rows.front().at(0));
}

}  // namespace

Result<std::optional<RunFacts>> run_facts(sql::Tx& tx, const Call& call, const std::string& id) {
  const auto found = TRY(store::find_run(tx, call.project, id));
  if (found.empty()) return std::optional<RunFacts>();
  RunFacts facts{.run = found.front()};
  facts.pipeline = TRY(resources::declared<Pipeline>(
      tx, call.project, "pipeline", facts.run.pipeline, facts.run.pipeline_version));
  facts.steps = TRY(store::steps(tx, call.project, id));
  for (const StepRun& step : facts.steps)
    if (!step.environment.empty()) facts.packages = TRY(environment(tx, step.environment));
  return std::optional(std::move(facts));
}

Result<std::optional<Evaluation>> find_evaluation(sql::Tx& tx, const Call& call,
                                                  const std::string& name) {
  auto found = TRY(store::find_evaluation(tx, call.project, name));
  if (found.empty()) return std::optional<Evaluation>();
  return std::optional(std::move(found.front()));
}

Result<void> keep_environment(sql::Tx& tx, const std::string& digest, const std::string& packages) {
  TRY(
      tx.run("INSERT INTO run_environments (digest, packages) VALUES ($1, $2) ON CONFLICT (digest) "
             "DO NOTHING",
             {digest, packages}));
  return {};
}

}  // namespace penstock::training
