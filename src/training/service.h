#pragma once

#include "base/call.h"
#include "catalog/service.h"
#include "ports/sql.h"
#include "registry/service.h"
#include "resources/service.h"
#include "training/pipeline.h"

namespace penstock::training {

struct StartInput {
  std::string pipeline;
  json::object parameters;  // over the pipeline's defaults
  std::int64_t seed = 0;
  bool use_cache = true;
  std::string git_commit;
};
BOOST_DESCRIBE_STRUCT(StartInput, (), (pipeline, parameters, seed, use_cache, git_commit))
constexpr auto rules_of(const StartInput&) {
  return std::array{Rule{.field = "parameters", .may_miss = true},
                    Rule{.field = "seed", .may_miss = true},
                    Rule{.field = "use_cache", .may_miss = true},
                    Rule{.field = "git_commit", .max = 100, .may_miss = true}};
}
struct RunName {
  std::string id;
};
BOOST_DESCRIBE_STRUCT(RunName, (), (id))
struct RunList {
  std::vector<Run> runs;
};
BOOST_DESCRIBE_STRUCT(RunList, (), (runs))
struct ListInput {
  std::string pipeline;
  std::int64_t limit = 100;
};
BOOST_DESCRIBE_STRUCT(ListInput, (), (pipeline, limit))
constexpr auto rules_of(const ListInput&) {
  return std::array{Rule{.field = "pipeline", .max = 200, .may_miss = true},
                    Rule{.field = "limit", .min = 1, .max = 1000, .may_miss = true}};
}
// An output of a run that repeats another, beside the one it repeats.
struct Reproduced {
  std::string step, output, digest, original;
  bool same = false;
};
BOOST_DESCRIBE_STRUCT(Reproduced, (), (step, output, digest, original, same))
struct RunDetail {
  Run run;
  std::vector<StepRun> steps;
  std::vector<Evaluation> evaluations;
  std::vector<Reproduced> reproduced;  // of a finished run that repeats another
};
BOOST_DESCRIBE_STRUCT(RunDetail, (), (run, steps, evaluations, reproduced))
// What a run's outputs do not say of the version that they become.
struct RegisterInput {
  std::string id;  // of the run
  std::string model, owner;
  std::optional<std::string> approved_for, rollback_to, description, licence, risk_class;
};
BOOST_DESCRIBE_STRUCT(RegisterInput, (),
                      (id, model, owner, approved_for, rollback_to, description, licence,
                       risk_class))
struct EvaluationName {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(EvaluationName, (), (name))

class Service {
 public:
  Service(sql::Database& db, const Clock& clock, registry::Service& registry)
      : db_(db), clock_(clock), registry_(registry) {}

  // kind `pipeline`: steps in order, so it has no cycle; a step that reads what no step before it
  // makes is a fault.
  resources::KindHandler kind() const;

  // Queues a run; the executor takes it up. Unknown parameters are refused.
  Result<Run> start(const Call& call, const StartInput& input);
  // The same pipeline version, parameters and seed again, without the cache.
  Result<Run> reproduce(const Call& call, const RunName& name);
  Result<RunList> list(const Call& call, const ListInput& input);
  Result<RunDetail> get(const Call& call, const RunName& name);
  Result<Evaluation> evaluation(const Call& call, const EvaluationName& name);
  // The run's `model` output as the next version of a model, with all that the run knows of it.
  // Refused where the run failed or its evaluation did not pass.
  Result<registry::ModelVersion> register_model(const Call& call, const RegisterInput& input);

 private:
  sql::Database& db_;
  const Clock& clock_;
  registry::Service& registry_;
};

// For the registry: the URN of an evaluation or run, if there is one of that name.
Result<std::optional<std::string>> evaluation_urn(sql::Tx& tx, const Call& call,
                                                  const std::string& name);
Result<std::optional<std::string>> run_urn(sql::Tx& tx, const Call& call, const std::string& name);

}  // namespace penstock::training
