#include "app/system.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "access/authenticator.h"
#include "adapters/duckdb/duckdb.h"
#include "adapters/localfs/localfs.h"
#include "adapters/onnx/onnx.h"
#include "adapters/postgres/postgres.h"
#include "adapters/process/process.h"
#include "adapters/rocksdb/rocksdb.h"
#include "adapters/s3/s3.h"
#include "adapters/sqlite/sqlite.h"
#include "api/grpc/server.h"
#include "api/http/access_routes.h"
#include "api/http/approval_routes.h"
#include "api/http/audit_routes.h"
#include "api/http/catalog_routes.h"
#include "api/http/classification_routes.h"
#include "api/http/cost_routes.h"
#include "api/http/features_routes.h"
#include "api/http/governance_routes.h"
#include "api/http/lineage_routes.h"
#include "api/http/monitor_routes.h"
#include "api/http/record_routes.h"
#include "api/http/registry_routes.h"
#include "api/http/release_routes.h"
#include "api/http/serving_routes.h"
#include "api/http/system_routes.h"
#include "api/http/training_routes.h"
#include "api/http/v2_routes.h"
#include "api/mlflow/artifact_routes.h"
#include "api/mlflow/chart_routes.h"
#include "api/mlflow/evaluation_routes.h"
#include "api/mlflow/logged_model_routes.h"
#include "api/mlflow/registry_routes.h"
#include "api/mlflow/trace_routes.h"
#include "api/mlflow/tracking_routes.h"
#include "api/otlp/routes.h"
#include "app/background.h"
#include "app/descriptions.h"
#include "app/status_page.h"
#include "audit/audit.h"
#include "base/log.h"
#include "costs/service.h"
#include "incidents/service.h"
#include "lineage/emitter.h"
#include "migrations/migrations.h"
#include "monitor/metering.h"
#include "monitor/observer.h"
#include "monitor/service.h"
#include "net/client.h"
#include "net/server.h"
#include "record/service.h"
#include "release/controller.h"
#include "release/service.h"
#include "serving/joins.h"
#include "tracking/artifacts.h"
#include "tracking/evaluation_datasets.h"
#include "tracking/issues.h"
#include "tracking/logged_models.h"
#include "tracking/part_uploads.h"
#include "tracking/registered_models.h"
#include "tracking/scorers.h"
#include "tracking/service.h"
#include "tracking/traces.h"
#include "training/executor.h"
#include "training/references.h"

namespace penstock::app {
namespace {

namespace fs = std::filesystem;

// One server a data directory: two would each think that they alone write.
class DirectoryLock {
 public:
  ~DirectoryLock() {
    if (file_ >= 0) ::close(file_);
  }
  Result<void> take(const std::string& directory) {
    const std::string path = directory + "/lock";
    file_ = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (file_ < 0)
      return Error{Code::unavailable, "cannot write in " + directory +
                                          "; give another directory with --data, or its rights to "
                                          "this user"};
    if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return {};
    return Error{Code::unavailable, "another penstock uses " + directory +
                                        "; stop it, or give another directory with --data"};
  }

 private:
  int file_ = -1;
};

Result<void> make_directory(const std::string& path) {
  std::error_code fault;
  fs::create_directories(path, fault);
  if (!fault) return {};
  return Error{Code::unavailable, "cannot make " + path + ": " + fault.message() +
                                      "; give another directory with --data"};
}

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address.starts_with("[::1]") ||
         address.starts_with("localhost");
}

Result<void> keep_token(const std::string& path, const std::string& token) {
  const int file = ::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
  const std::string line = token + "\n";
  // An older file may have wider rights than it would be made with.
  const bool written =
      file >= 0 && ::fchmod(file, 0600) == 0 &&
      ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
      ::fsync(file) == 0;
  if (file >= 0) ::close(file);
  if (written) return {};
  return Error{Code::unavailable, "cannot write " + path};
}

// The key that signs the audit log: as it was given, or the one of the data directory.
Result<audit::SigningKey> signing_key(const std::string& given, const std::string& path) {
  if (!given.empty()) return audit::SigningKey::parse(given);
  std::ifstream stream(path);
  std::string line;
  if (std::getline(stream, line)) {
    auto key = audit::SigningKey::parse(line);
    if (!key) return Error{key.error().code, path + ": " + key.error().message};
    return key;
  }
  auto key = audit::SigningKey::generate("penstock");
  TRY(keep_token(path, key.secret_text()));
  return key;
}

std::string_view header_of(const api::Request& request, std::string_view name) {
  const std::string* value = request.header(name);
  return value ? std::string_view(*value) : "";
}

// One kept connection to the receiver that the options name; none where they name none.
lineage::Send openlineage_sender(const SystemOptions& options) {
  if (options.openlineage_url.empty()) return {};
  const std::size_t slash = options.openlineage_url.find('/', std::string("http://").size());
  const bool has_path = slash != std::string::npos && slash + 1 < options.openlineage_url.size();
  const std::string target = has_path ? options.openlineage_url.substr(slash) : "/api/v1/lineage";
  auto client = std::make_shared<net::Client>(
      net::ClientOptions{.url = options.openlineage_url.substr(0, slash),
                         .token = options.openlineage_key,
                         .time_limit = std::chrono::seconds(10)});
  return [client, target](const std::string& body) -> Result<int> {
    return TRY(client->send("POST", target, body, {{"Content-Type", "application/json"}})).status;
  };
}

// Small models run on them, so there is one for each processor.
int io_threads() {
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 32);
}

}  // namespace

struct System::Parts {
  SystemOptions options;
  SystemClock clock;
  Metrics metrics;
  DirectoryLock lock;
  std::string first_token;

  std::unique_ptr<sql::Database> db;
  std::unique_ptr<rocksdb::Database> rocks;
  std::unique_ptr<blob::Store> blobs;
  std::unique_ptr<blob::Objects> remote;  // none: artifacts are in `blobs`
  std::unique_ptr<olap::Engine> olap;
  std::unique_ptr<infer::Runtime> runtime;
  std::unique_ptr<jobs::Runner> runner;

  std::unique_ptr<access::Service> access;
  std::unique_ptr<audit::Service> audit;
  std::unique_ptr<resources::Service> resources;
  std::unique_ptr<approvals::Service> approvals;
  std::unique_ptr<catalog::Service> catalog;
  std::unique_ptr<catalog::Lowerings> lowerings;
  std::unique_ptr<classification::Service> classification;
  std::unique_ptr<lineage::Service> lineage;
  std::unique_ptr<lineage::Emitter> emitter;
  std::unique_ptr<incidents::Service> incidents;
  std::unique_ptr<costs::Service> costs;
  std::unique_ptr<features::Service> features;
  std::unique_ptr<artifacts::Files> files;
  std::unique_ptr<artifacts::Checkouts> checkouts;
  std::unique_ptr<registry::Artifacts> artifacts;
  std::unique_ptr<registry::Signatures> signatures;
  std::unique_ptr<registry::Service> registry;
  std::unique_ptr<tracking::Artifacts> tracked_artifacts;
  std::unique_ptr<tracking::PartUploads> part_uploads;
  std::unique_ptr<tracking::EvaluationDatasets> evaluation_datasets;
  std::unique_ptr<tracking::Issues> issues;
  std::unique_ptr<tracking::LoggedModels> logged_models;
  std::unique_ptr<tracking::RegisteredModels> registered_models;
  std::unique_ptr<tracking::Scorers> scorers;
  std::unique_ptr<tracking::Service> tracking;
  std::unique_ptr<tracking::Traces> traces;
  std::unique_ptr<training::Service> training;
  std::unique_ptr<training::Executor> executor;
  std::unique_ptr<serving::Service> serving;
  std::unique_ptr<serving::Gateway> gateway;
  std::unique_ptr<serving::BatchScorer> batch;
  std::unique_ptr<serving::Streams> streams;
  std::unique_ptr<monitor::Metering> metering;
  std::unique_ptr<monitor::Observer> observer;
  std::unique_ptr<monitor::Service> monitor;
  std::unique_ptr<release::Service> release;
  std::unique_ptr<release::Controller> controller;
  std::unique_ptr<record::Service> record;

  std::unique_ptr<net::Server> server;
  std::unique_ptr<api::grpc::Server> grpc;
  Background background;  // the first to stop: its turns use everything above

  std::string path(const std::string& name) const { return options.data + "/" + name; }
  Result<std::unique_ptr<sql::Database>> open_metadata() const;
  Result<std::unique_ptr<blob::Objects>> open_remote() const;
  Result<void> open_stores();
  Result<void> make_audit();
  void make_components();
  void make_serving();
  void join_components();
  std::vector<api::Route> routes();
  Result<void> check_auth() const;
  Result<void> listen();
  void start_background();
  Result<bool> tend_artifacts();

  Timestamp tended{};
};

Result<std::unique_ptr<sql::Database>> System::Parts::open_metadata() const {
  if (options.metadata.empty()) return sqlite::open(path("metadata.db"));
  return postgres::open(options.metadata, options.metadata_schema, options.workers);
}

Result<std::unique_ptr<blob::Objects>> System::Parts::open_remote() const {
  s3::Options remote_options{.endpoint = options.s3.endpoint,
                             .region = options.s3.region,
                             .access_key = options.s3.access_key,
                             .secret_key = options.s3.secret_key,
                             .scratch = path("scratch/s3")};
  TRY(s3::read_uri(options.artifacts, remote_options));
  return s3::open(remote_options);
}

Result<void> System::Parts::open_stores() {
  TRY(make_directory(options.data));
  TRY(lock.take(options.data));
  TRY(make_directory(options.sources));
  TRY(make_directory(path("scratch")));
  db = TRY(open_metadata());
  TRY(sql::migrate(*db, migrations(), clock.now()));
  rocks = TRY(rocksdb::open(path("state"), clock));
  blobs = TRY(localfs::open(path("blobs")));
  if (!options.artifacts.empty()) remote = TRY(open_remote());
  olap = duckdb::open({.temp_directory = path("scratch/duckdb")});
  runtime = onnx::open({});
  runner = process::runner();
  return {};
}

Result<void> System::Parts::make_audit() {
  std::vector<audit::PublicKey> former;
  for (const std::string& text : options.audit_former_keys)
    former.push_back(TRY(audit::PublicKey::parse(text)));
  audit = std::make_unique<audit::Service>(
      *db, clock, TRY(signing_key(options.audit_key, path("audit.key"))), std::move(former));
  return audit->ensure_nodes();
}

void System::Parts::make_components() {
  access = std::make_unique<access::Service>(*db, clock);
  resources = std::make_unique<resources::Service>(*db, clock);
  approvals = std::make_unique<approvals::Service>(*db, clock);
  catalog = std::make_unique<catalog::Service>(*db, *olap, clock,
                                               catalog::Options{.data_directory = options.sources});
  lowerings = std::make_unique<catalog::Lowerings>(*db, clock);
  classification = std::make_unique<classification::Service>(*db, *olap, *catalog, clock);
  lineage = std::make_unique<lineage::Service>(*db, *catalog, clock);
  emitter = std::make_unique<lineage::Emitter>(*db, *catalog, clock, openlineage_sender(options));
  incidents = std::make_unique<incidents::Service>(*db, clock);
  costs = std::make_unique<costs::Service>(*db, clock);
  features =
      std::make_unique<features::Service>(*db, *olap, *blobs, rocks->store(), *catalog, clock,
                                          metrics, features::Options{.scratch = path("scratch")});
  blob::Objects& objects = remote ? *remote : *blobs;
  files = std::make_unique<artifacts::Files>(*db, objects, clock, options.limits.artifact_bytes);
  checkouts = std::make_unique<artifacts::Checkouts>(
      *files, clock,
      artifacts::CheckoutOptions{.folder = path("scratch/artifacts"),
                                 .size_max = options.limits.artifact_cache_bytes});
  artifacts = std::make_unique<registry::Artifacts>(*files, *checkouts, *blobs);
  signatures = std::make_unique<registry::Signatures>(*db, *artifacts, clock);
  registry = std::make_unique<registry::Service>(*db, clock);
  files->held_by("a run", training::refers_to);
  tracked_artifacts = std::make_unique<tracking::Artifacts>(*db, *files, clock);
  part_uploads = std::make_unique<tracking::PartUploads>(*tracked_artifacts, *blobs, clock);
  evaluation_datasets = std::make_unique<tracking::EvaluationDatasets>(*db, clock);
  issues = std::make_unique<tracking::Issues>(*db, clock);
  logged_models = std::make_unique<tracking::LoggedModels>(*db, clock);
  registered_models = std::make_unique<tracking::RegisteredModels>(*db, *registry, clock);
  scorers = std::make_unique<tracking::Scorers>(*db, clock);
  registered_models->keep_files(*tracked_artifacts, *artifacts);
  tracking = std::make_unique<tracking::Service>(*db, clock);
  traces = std::make_unique<tracking::Traces>(*db, clock);
  training = std::make_unique<training::Service>(*db, clock, *registry);
  executor = std::make_unique<training::Executor>(
      *db, clock, *runner, *artifacts, *features, *olap,
      training::ExecutorOptions{.scratch = path("scratch/runs")});
}

void System::Parts::make_serving() {
  events::Log& log = rocks->log();
  serving = std::make_unique<serving::Service>(
      *db, log, *runtime, clock, metrics, serving::artifacts_of(*artifacts, *signatures),
      serving::schemas_of(*features),
      serving::ServiceOptions{.table_path = path("routing_table.json")});
  gateway = std::make_unique<serving::Gateway>(serving->table(), log, clock);
  batch = std::make_unique<serving::BatchScorer>(*serving, *db, *olap, *blobs, log, clock,
                                                 serving::historical_of(*features),
                                                 path("scratch/batch"));
  streams = std::make_unique<serving::Streams>(*db, *gateway, log);
  metering = std::make_unique<monitor::Metering>(log, *costs);
  observer = std::make_unique<monitor::Observer>(*db, log, *olap, clock);
  monitor = std::make_unique<monitor::Service>(*db, clock);
  release = std::make_unique<release::Service>(*db, *serving, *catalog, clock);
  controller = std::make_unique<release::Controller>(*release, *db, log, *serving, clock);
  record = std::make_unique<record::Service>(
      record::Service::Parts{*db, clock, *catalog, *artifacts, *signatures, *tracking,
                             *registered_models, *tracked_artifacts, *files});
}

// Kinds in the order in which they may refer to each other, and what each component says of its
// URNs.
void System::Parts::join_components() {
  catalog->register_kinds(*resources);
  features->register_kinds(*resources);
  for (auto& kind : costs->kinds()) resources->add(std::move(kind));
  resources->add(signatures->kind());
  resources->add(registry->kind());
  resources->add(training->kind());
  serving->register_kinds(*resources);
  for (auto& kind : monitor->kinds()) resources->add(std::move(kind));
  for (auto& kind : release->kinds()) resources->add(std::move(kind));
  resources->add(approvals->kind());
  approvals->answer_for("model", registry->approvable());
  approvals->answer_for("release", release->approvable());
  registered_models->served_by(release->served());
  serving->on_route_applied(
      [this](sql::Tx& tx, const Call& call, const serving::RouteDeclaration& route) {
        return release->align(tx, call, route);
      });
  approvals->answer_for("source/lower-class", lowerings->approvable());
  resources->on_applied([this](const Call&, const resources::ApplyOutput& output) {
    for (const resources::Change& change : output.changes)
      if (change.kind == "stream" && change.action != resources::Action::unchanged) {
        if (const auto done = streams->reload(); !done)
          log::error("streams_not_reloaded", {{"error", done.error().message}});
        return;
      }
  });
  lineage->describe_nodes();
  resources->on_applied([this](const Call& call, const resources::ApplyOutput& output) {
    std::vector<std::string> sources;
    for (const resources::Change& change : output.changes)
      if (change.kind == "source" && change.action != resources::Action::unchanged)
        sources.push_back(change.name);
    if (const auto done = lineage->sources_declared(call, sources); !done)
      log::warn("sources_not_joined", {{"error", done.error().message}});
  });
  describe_all({*catalog, *registry, *artifacts, *training, *serving, *costs, *release});
}

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
  add(api::catalog_routes(*catalog));
  add(api::classification_routes(*classification, *lowerings));
  add(api::lineage_routes(*catalog, *lineage));
  add(api::incident_routes(*incidents));
  add(api::cost_routes(*costs));
  add(api::features_routes(*features));
  add(api::registry_routes(*registry, *artifacts));
  add(api::record_routes(*record, *signatures));
  add(api::mlflow_chart_routes(*tracking));
  add(api::mlflow_logged_model_routes(*logged_models));
  add(api::mlflow_registry_routes(*registered_models));
  add(api::mlflow_tracking_routes(*tracking));
  add(api::mlflow_artifact_routes({*tracking, *logged_models, *registered_models,
                                   *tracked_artifacts, *part_uploads, *files, clock}));
  add(api::mlflow_trace_routes(*traces, *tracked_artifacts));
  add(api::mlflow_evaluation_routes({*evaluation_datasets, *scorers, *issues}));
  add(api::otlp::routes(*traces));
  add(api::training_routes(*training));
  add(api::serving_routes({*serving, *gateway, *batch, *streams, rocks->log()}));
  add(api::v2_routes(*gateway));
  add(api::monitor_routes(*monitor));
  add(api::release_routes(*release));
  add(status_routes({*serving, *release, *incidents, *costs}));
  all.push_back(api::openapi_route(all));
  return all;
}

Result<void> System::Parts::check_auth() const {
  if (options.auth != "none" && options.auth != "token")
    return Error{Code::invalid_argument, "--auth must be token or none, not " + options.auth};
  for (const std::string& address : {options.http, options.grpc})
    if (options.auth == "none" && !address.empty() && !is_loopback(address))
      return Error{Code::invalid_argument,
                   "--auth none is only for a loopback address, and " + address +
                       " is none; use --auth token, or an address such as 127.0.0.1:8080"};
  return {};
}

Result<void> System::Parts::listen() {
  const auto made = TRY(access->ensure_admin(
      [this](const std::string& text) { return keep_token(path("admin.token"), text); }));
  if (made) first_token = *made;
  TRY(access->load());
  const auto authorize = [who = access::Authenticator(*access, options.auth == "none")](
                             const api::Request& request, api::Permission permission, Call& call) {
    return who.authorize({.authorization = header_of(request, "authorization"),
                          .project = header_of(request, "x-penstock-project"),
                          .tenant = header_of(request, "x-penstock-tenant")},
                         name_of(permission), call);
  };
  const SystemLimits& limits = options.limits;
  server = std::make_unique<net::Server>(net::ServerOptions{.address = options.http,
                                                            .io_threads = io_threads(),
                                                            .workers = options.workers,
                                                            .queue_max = limits.queued_requests,
                                                            .connections_max = limits.connections,
                                                            .header_max = limits.header_bytes,
                                                            .body_max = limits.body_bytes,
                                                            .stream_max = limits.artifact_bytes,
                                                            .request_time = limits.request_time,
                                                            .drain_time = limits.drain_time},
                                         routes(), authorize, metrics, clock);
  TRY(server->start());
  if (options.grpc.empty()) return {};
  grpc = std::make_unique<api::grpc::Server>(
      api::grpc::ServerOptions{.address = options.grpc,
                               .message_max = static_cast<int>(limits.body_bytes),
                               .request_time = limits.request_time,
                               .drain_time = limits.drain_time},
      *gateway, authorize,
      [this](std::function<void()> work) { return server->post(std::move(work)); }, clock);
  return grpc->start();
}

void System::Parts::start_background() {
  using Turn = Background::Turn;
  const auto every = [&](const char* name, Background::Rhythm rhythm, auto work) {
    background.start(name, rhythm, [work]() -> Result<Turn> { return Turn{TRY(work())}; });
  };
  every("training", {std::chrono::milliseconds(50)}, [this] { return executor->run_once(); });
  every("streams", {std::chrono::milliseconds(10)}, [this] { return streams->step(); });
  every("metering", {std::chrono::milliseconds(200), std::chrono::milliseconds(20)},
        [this] { return metering->run_once(); });
  every("monitor", {std::chrono::milliseconds(200), std::chrono::milliseconds(20)},
        [this] { return observer->run_once(); });
  every("artifacts", {std::chrono::seconds(1)}, [this] { return tend_artifacts(); });
  every("audit", {std::chrono::minutes(1)}, [this]() -> Result<bool> {
    TRY(audit->checkpoint({.actor = "service:audit"}));
    return false;
  });
  every("classification", {std::chrono::seconds(30), std::chrono::seconds(1)},
        [this] { return classification->run_once(); });
  every("openlineage", {std::chrono::milliseconds(500), std::chrono::milliseconds(20)},
        [this] { return emitter->run_once(); });
  every("release", {std::chrono::milliseconds(50)}, [this] { return controller->advance(); });
}

// Opens an incident for bytes that were found to be others, and forgets uploads that nobody ends.
Result<bool> System::Parts::tend_artifacts() {
  constexpr Micros rhythm = std::chrono::hours(1), upload_time = std::chrono::hours(48);
  const Call call{.actor = "service:artifacts"};
  for (const std::string& digest : files->take_damaged())
    TRY(incidents->open(call,
                        {.dedup_key = "artifact:" + digest + ":damaged",
                         .title = "A stored file is damaged: its bytes are not those of " + digest,
                         .severity = incidents::Severity::critical,
                         .subject = "artifact:" + digest}));
  if (clock.now() < tended + rhythm) return false;
  tended = clock.now();
  TRY(part_uploads->clear(tended - upload_time));
  TRY(artifacts->clear_uploads(tended - upload_time));
  return false;
}

System::System() : parts_(std::make_unique<Parts>()) {}
System::~System() { stop(); }

Result<void> System::start(const SystemOptions& options) {
  Parts& parts = *parts_;
  parts.options = options;
  if (parts.options.sources.empty()) parts.options.sources = options.data + "/sources";
  TRY(parts.check_auth());
  TRY(parts.open_stores());
  TRY(parts.make_audit());
  parts.make_components();
  parts.make_serving();
  parts.join_components();
  TRY(parts.serving->restore());
  const Call call{.actor = "service:start"};
  if (const auto published = parts.serving->publish(call); !published)
    log::warn("routes_not_published", {{"error", published.error().message}});
  TRY(parts.streams->reload());
  TRY(parts.listen());
  parts.start_background();
  return {};
}

std::string System::address() const { return parts_->server->address(); }
std::string System::grpc_address() const { return parts_->grpc ? parts_->grpc->address() : ""; }
const std::string& System::first_admin_token() const { return parts_->first_token; }

void System::stop() {
  if (parts_->grpc) parts_->grpc->stop();  // its work runs on the server's workers
  if (parts_->server) parts_->server->stop();
  parts_->background.stop();
}

}  // namespace penstock::app
