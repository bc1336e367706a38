// Every route of the program.
#include "api/otlp/routes.h"
#include "api/http/access_routes.h"
#include "api/http/approval_routes.h"
#include "api/http/audit_routes.h"
#include "api/http/catalog_routes.h"
#include "api/http/classification_routes.h"
#include "api/http/cost_routes.h"
#include "api/http/evidence_routes.h"
#include "api/http/features_routes.h"
#include "api/http/freeze_routes.h"
#include "api/http/governance_routes.h"
#include "api/http/invocations.h"
#include "api/http/lineage_routes.h"
#include "api/http/monitor_routes.h"
#include "api/http/policy_routes.h"
#include "api/http/record_routes.h"
#include "api/http/registry_routes.h"
#include "api/http/release_routes.h"
#include "api/http/routing_routes.h"
#include "api/http/serving_routes.h"
#include "api/http/system_routes.h"
#include "api/http/traffic_routes.h"
#include "api/http/training_routes.h"
#include "api/http/v2_repository.h"
#include "api/http/v2_routes.h"
#include "api/mlflow/artifact_routes.h"
#include "api/mlflow/chart_routes.h"
#include "api/mlflow/evaluation_routes.h"
#include "api/mlflow/logged_model_routes.h"
#include "api/mlflow/registry_routes.h"
#include "api/mlflow/review_routes.h"
#include "api/mlflow/trace_routes.h"
#include "api/mlflow/tracking_routes.h"
#include "api/mlflow/webhook_routes.h"
#include "api/openai/routes.h"
#include "app/parts.h"
#include "app/status_page.h"

namespace penstock::app {

std::vector<api::Route> System::Parts::routes() {
  std::vector<api::Route> all = api::system_routes(metrics, [this]() -> Result<void> {
    TRY(db->read({.actor = "service:ready"}, [](sql::Tx& tx) { return tx.run("SELECT 1", {}); }));
    return {};
  });
  const auto add = [&](std::vector<api::Route> more) {
    all.insert(all.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
  };
  add(api::access_routes(*access));
  add(api::resource_routes(*resources));
  add(api::audit_routes(*audit));
  add(api::approval_routes(*approvals));
  add(api::policy_routes(*policies));
  add(api::catalog_routes({*catalog, *quality, *search, *datasets, *olap}));
  add(api::classification_routes(*classification, *lowerings));
  add(api::lineage_routes(*catalog, *lineage));
  add(api::incident_routes(*incidents));
  add(api::freeze_routes(*freezes));
  add(api::cost_routes(*costs));
  add(api::features_routes(*features));
  add(api::feature_log_routes(*feature_log));
  add(api::registry_routes(*registry, *artifacts));
  add(api::artifact_routes(*collector));
  add(api::record_routes(*record, *signatures));
  add(api::evidence_routes(*evidence));
  add(api::mlflow_chart_routes(*tracking));
  add(api::mlflow_logged_model_routes(*logged_models));
  add(api::mlflow_registry_routes(*registered_models));
  add(api::mlflow_tracking_routes(*tracking));
  add(api::mlflow_artifact_routes({*tracking, *logged_models, *registered_models,
                                   *tracked_artifacts, *part_uploads, *files, clock}));
  add(api::mlflow_trace_routes(*traces, *tracked_artifacts));
  add(api::mlflow_evaluation_routes({*evaluation_datasets, *scorers, *issues}));
  add(api::mlflow_review_routes(*label_schemas, *review_queues));
  add(api::mlflow_webhook_routes(*webhooks));
  add(api::otlp::routes(*traces));
  add(api::training_routes(*training));
  add(api::serving_routes({*serving, *gateway, *batch, *streams, rocks->log(), *retention}));
  add(api::routing_routes(*reports, *experiments, *payloads));
  add(api::v2_routes(*gateway));
  add(api::openai::routes(*language));
  add(api::traffic_routes({serving->table(), health, guard, clock}));
  add(api::v2_repository_routes(*serving));
  add(api::invocation_routes(*gateway));
  add(api::monitor_routes(*monitor));
  add(api::release_routes(*release));
  add(status_routes({*serving, *release, *incidents, *costs}));
  all.push_back(api::openapi_route(all));
  return all;
}

}  // namespace penstock::app
