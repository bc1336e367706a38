// Every part of the program, each by its concrete type: what wires them sees them all.
#pragma once

#include "access/service.h"
#include "adapters/rocksdb/rocksdb.h"
#include "api/openai/exchange.h"
#include "api/openai/gate.h"
#include "app/background.h"
#include "app/directory.h"
#include "app/graph_tools.h"
#include "app/system.h"
#include "approvals/service.h"
#include "artifacts/checkouts.h"
#include "artifacts/collector.h"
#include "artifacts/files.h"
#include "audit/audit.h"
#include "base/metrics.h"
#include "base/time.h"
#include "catalog/dataset_builder.h"
#include "catalog/lowerings.h"
#include "catalog/quality.h"
#include "catalog/search.h"
#include "catalog/service.h"
#include "classification/service.h"
#include "costs/price_book.h"
#include "costs/service.h"
#include "evidence/service.h"
#include "features/service.h"
#include "freezes/service.h"
#include "incidents/service.h"
#include "lineage/emitter.h"
#include "lineage/service.h"
#include "monitor/metering.h"
#include "monitor/observer.h"
#include "monitor/service.h"
#include "net/server.h"
#include "policies/service.h"
#include "ports/blob.h"
#include "ports/http.h"
#include "ports/infer.h"
#include "ports/jobs.h"
#include "ports/olap.h"
#include "ports/sql.h"
#include "ports/tables.h"
#include "record/service.h"
#include "registry/artifacts.h"
#include "registry/service.h"
#include "registry/signatures.h"
#include "release/controller.h"
#include "release/service.h"
#include "resources/service.h"
#include "serving/admission.h"
#include "serving/batch.h"
#include "serving/experiment.h"
#include "serving/feature_log.h"
#include "serving/gateway.h"
#include "serving/retention.h"
#include "serving/service.h"
#include "serving/stream.h"
#include "serving/telemetry.h"
#include "serving/upstream_checks.h"
#include "tracking/artifacts.h"
#include "tracking/evaluation_datasets.h"
#include "tracking/issues.h"
#include "tracking/label_schemas.h"
#include "tracking/logged_models.h"
#include "tracking/part_uploads.h"
#include "tracking/registered_models.h"
#include "tracking/review_queues.h"
#include "tracking/scorers.h"
#include "tracking/service.h"
#include "tracking/traces.h"
#include "tracking/webhook_delivery.h"
#include "training/executor.h"
#include "training/service.h"

namespace penstock::app {

struct System::Parts {
  SystemOptions options;
  SystemClock clock;
  Metrics metrics;
  DirectoryLock lock;
  std::string first_token;

  std::unique_ptr<sql::Database> db;
  std::unique_ptr<rocksdb::Database> rocks;
  std::unique_ptr<kv::Store> redis;  // none: online features are in `rocks`
  std::unique_ptr<blob::Store> blobs;
  std::unique_ptr<blob::Objects> remote;              // none: artifacts are in `blobs`
  std::unique_ptr<olap::Engine> olap, olap_in_order;  // the second on one thread
  std::unique_ptr<olap::Engine> olap_joins;           // of features, on every core
  std::unique_ptr<jobs::Runner> runner;
  std::unique_ptr<jobs::Launcher> launcher;
  std::unique_ptr<infer::Runtime> runtime, python;
  // Also the http::Caller of whatever asks other servers.
  std::shared_ptr<net::Upstreams> upstreams = std::make_shared<net::Upstreams>(metrics, clock);

  std::unique_ptr<access::Service> access;
  std::unique_ptr<audit::Service> audit;
  std::unique_ptr<resources::Service> resources;
  std::unique_ptr<policies::Service> policies;
  std::unique_ptr<approvals::Service> approvals;
  std::unique_ptr<tables::Reader> postgres_tables;
  std::unique_ptr<catalog::Service> catalog;
  std::unique_ptr<catalog::Lowerings> lowerings;
  std::unique_ptr<classification::Service> classification;
  std::unique_ptr<lineage::Service> lineage;
  std::unique_ptr<lineage::Emitter> emitter;
  std::unique_ptr<catalog::Quality> quality;
  std::unique_ptr<catalog::Search> search;
  std::unique_ptr<catalog::DatasetBuilder> datasets;
  std::unique_ptr<incidents::Service> incidents;
  std::unique_ptr<freezes::Service> freezes;
  std::unique_ptr<costs::Service> costs;
  std::unique_ptr<features::Service> features;
  std::unique_ptr<artifacts::Files> files;
  std::unique_ptr<artifacts::Collector> collector;
  std::unique_ptr<artifacts::Checkouts> checkouts;
  std::unique_ptr<registry::Artifacts> artifacts;
  std::unique_ptr<registry::Signatures> signatures;
  std::unique_ptr<registry::Service> registry;
  std::unique_ptr<tracking::Artifacts> tracked_artifacts;
  std::unique_ptr<tracking::PartUploads> part_uploads;
  std::unique_ptr<tracking::EvaluationDatasets> evaluation_datasets;
  std::unique_ptr<tracking::Issues> issues;
  std::unique_ptr<tracking::LabelSchemas> label_schemas;
  std::unique_ptr<tracking::LoggedModels> logged_models;
  std::unique_ptr<tracking::RegisteredModels> registered_models;
  std::unique_ptr<tracking::ReviewQueues> review_queues;
  std::unique_ptr<tracking::Scorers> scorers;
  std::unique_ptr<tracking::Service> tracking;
  std::unique_ptr<tracking::Traces> traces;
  std::unique_ptr<tracking::Webhooks> webhooks;
  std::unique_ptr<tracking::WebhookDelivery> webhook_delivery;
  std::unique_ptr<training::Service> training;
  std::unique_ptr<training::Executor> executor;
  std::unique_ptr<serving::Service> serving;
  std::unique_ptr<serving::EventReader> event_reader;
  std::unique_ptr<serving::Telemetry> telemetry;
  std::unique_ptr<serving::Gateway> gateway;
  std::unique_ptr<serving::Reports> reports;
  std::unique_ptr<serving::Retention> retention;
  std::unique_ptr<serving::Experiments> experiments;
  std::unique_ptr<serving::Payloads> payloads;
  // By project, of those with routes: what shadows may cost is told by them.
  using Prices = std::map<std::string, costs::PriceBook>;
  std::atomic<std::shared_ptr<const Prices>> prices;
  std::unique_ptr<serving::BatchScorer> batch;
  std::unique_ptr<serving::FeatureLog> feature_log;
  std::unique_ptr<serving::Streams> streams;
  std::unique_ptr<monitor::Metering> metering;
  std::unique_ptr<monitor::Observer> observer;
  std::unique_ptr<monitor::Service> monitor;
  std::unique_ptr<release::Service> release;
  std::unique_ptr<release::Controller> controller;
  std::unique_ptr<record::Service> record;
  std::unique_ptr<evidence::Service> evidence;

  traffic::Limiter limiter;
  traffic::Health health;
  costs::Guard guard;
  std::unique_ptr<serving::Admission> admission;
  std::unique_ptr<serving::UpstreamChecks> upstream_checks;
  std::unique_ptr<api::openai::Gate> language_gate;
  std::unique_ptr<api::openai::Plane> language;
  std::unique_ptr<GraphTools> graph_tools;

  std::unique_ptr<net::Server> server;
  Background background;  // the first to stop: its turns use everything above

  std::string path(const std::string& name) const { return options.data + "/" + name; }
  Result<std::unique_ptr<sql::Database>> open_metadata() const;
  Result<std::unique_ptr<blob::Objects>> open_remote() const;
  Result<std::unique_ptr<kv::Store>> open_redis() const;
  Result<void> open_stores();
  Result<void> make_audit();
  Result<void> make_webhooks();
  void make_components();
  void make_serving();
  void make_routing();
  Result<void> tell_of_telemetry(const serving::TelemetryTrouble& trouble);
  void make_retention();
  Result<void> begin_readers();
  void make_traffic();
  void make_language();
  void join_components();
  std::vector<api::Route> routes();
  Result<void> check_auth() const;
  Result<void> listen();
  void start_background();
  Result<bool> tend_artifacts();
  Result<void> open_budgets();
  Result<void> close_budgets();
  Result<bool> tend_traffic();
  Result<bool> tend_routing();
  Result<void> read_prices();
  void show_shadows();

  std::string own_id;  // of this server, for as long as its data directory lives
  Timestamp tended{}, refreshed{}, classes_read{}, prices_read{};
  int memory_turns = 0;
  std::int64_t followed = 0;           // number of the table whose upstreams are known
  std::vector<costs::Notice> notices;  // not told yet
};

}  // namespace penstock::app
