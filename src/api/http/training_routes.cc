#include "api/http/training_routes.h"

#include "training/service.h"

namespace penstock::api {

std::vector<Route> training_routes(training::Service& service) {
  using namespace training;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<StartInput, Run>(
          "POST", "/api/v1/pipelines/{pipeline}:run", "Queue a run of a pipeline",
          Permission::write,
          [&](const Call& call, const StartInput& in) { return service.start(call, in); }),
      route<ListInput, RunList>(
          "GET", "/api/v1/runs", "List runs, newest first", Permission::read,
          [&](const Call& call, const ListInput& in) { return service.list(call, in); }),
      route<RunName, RunDetail>(
          "GET", "/api/v1/runs/{id}", "Show a run with its steps and evaluations", Permission::read,
          [&](const Call& call, const RunName& in) { return service.get(call, in); }),
      route<RunName, Run>(
          "POST", "/api/v1/runs/{id}:reproduce", "Run again without the cache, and compare",
          Permission::write,
          [&](const Call& call, const RunName& in) { return service.reproduce(call, in); }),
      route<RegisterInput, registry::ModelVersion>("POST", "/api/v1/runs/{id}:register",
                                                   "Register a run's model with all the run knows",
                                                   Permission::write,
                                                   [&](const Call& call, const RegisterInput& in) {
                                                     return service.register_model(call, in);
                                                   }),
      route<EvaluationName, Evaluation>(
          "GET", "/api/v1/evaluations/{name}", "Show an evaluation", Permission::read,
          [&](const Call& call, const EvaluationName& in) { return service.evaluation(call, in); }),
  };
}

}  // namespace penstock::api
