#include "app/parts.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "adapters/duckdb/duckdb.h"
#include "adapters/kafka/kafka.h"
#include "adapters/kserve/kserve.h"
#include "adapters/localfs/localfs.h"
#include "adapters/onnx/onnx.h"
#include "adapters/postgres/postgres.h"
#include "adapters/postgres/tables.h"
#include "adapters/process/process.h"
#include "adapters/python/python.h"
#include "adapters/redis/redis.h"
#include "adapters/s3/s3.h"
#include "adapters/sqlite/sqlite.h"
#include "api/http/system_routes.h"
#include "app/config.h"
#include "app/descriptions.h"
#include "base/log.h"
#include "features/operations.h"
#include "features/transform/compile.h"
#include "guardrails/service.h"
#include "incidents/about.h"
#include "migrations/migrations.h"
#include "net/client.h"
#include "serving/joins.h"
#include "training/references.h"

namespace penstock::app {
namespace {

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
  TRY(keep_secret(path, key.secret_text()));
  return key;
}

// One kept connection to the receiver that the options name; none where they name none.
lineage::Send openlineage_sender(const SystemOptions& options) {
  if (options.openlineage_url.empty()) return {};
  const std::size_t slash =
      options.openlineage_url.find('/', options.openlineage_url.find("://") + 3);
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

// Whoever owns the source must know, with what changed upstream of it.
Result<void> open_incident(sql::Tx& tx, const Call& call, Timestamp at,
                           const catalog::Failure& failure) {
  std::vector<std::string> suspects;
  for (const catalog::SourceChange& change : TRY(catalog::changes_upstream(
           tx, call, failure.source_urn, at - std::chrono::hours(24 * 7))))
    suspects.push_back("source:" + change.source + "@" + std::to_string(change.version) + " " +
                       change.what);
  const std::string source = failure.source_urn.substr(0, failure.source_urn.find('@'));
  TRY(incidents::open(tx, call, at,
                      {.dedup_key = source + ":" + failure.key,
                       .title = failure.title,
                       .severity = incidents::Severity::warning,
                       .subject = failure.source_urn,
                       .owner = failure.owner,
                       .suspects = std::move(suspects),
                       .detail = failure.detail}));
  return {};
}

// Whoever owns the view must know, with what changed upstream of it; and when it is over.
Result<void> tell_of_view(sql::Tx& tx, const Call& call, Timestamp at,
                          const features::Trouble& trouble) {
  const std::string key = trouble.view_urn + ":" + trouble.key;
  if (trouble.over) {
    for (const incidents::Incident& incident :
         TRY(incidents::about(tx, call, {trouble.view_urn}, 100)))
      if (incident.dedup_key == key && incident.status != incidents::Status::resolved)
        TRY(incidents::note(tx, call, at, incident.id, "over", {{"what", trouble.title}}));
    return {};
  }
  std::vector<std::string> suspects;
  for (const catalog::SourceChange& change :
       TRY(catalog::changes_upstream(tx, call, trouble.view_urn, at - std::chrono::hours(24 * 7))))
    suspects.push_back("source:" + change.source + "@" + std::to_string(change.version) + " " +
                       change.what);
  TRY(incidents::open(
      tx, call, at,
      {.dedup_key = key,
       .title = trouble.title,
       .severity = trouble.minor ? incidents::Severity::info : incidents::Severity::warning,
       .subject = trouble.view_urn,
       .owner = trouble.owner,
       .suspects = std::move(suspects),
       .detail = trouble.detail}));
  return {};
}

// This server, by a name that it keeps when it starts again.
std::string server_name(const std::string& data) {
  std::string host(256, '\0');
  if (gethostname(host.data(), host.size()) != 0) host = "localhost";
  std::error_code fault;
  const auto path = std::filesystem::canonical(data, fault);
  return std::string(host.c_str()) + ":" + (fault ? data : path.string());
}

// Copies of objects wait for the network more than for the processor.
void run_together(std::size_t threads, const std::function<void()>& work) {
  std::vector<std::jthread> all;
  for (std::size_t i = 0; i < threads; ++i) all.emplace_back(work);
}

// Buckets that sources name, each with the keys of its connection.
catalog::OpenBucket open_buckets(const std::map<std::string, S3Options>& connections) {
  return [connections](const std::string& name,
                       const std::string& bucket) -> Result<std::shared_ptr<blob::Objects>> {
    const auto found = connections.find(name);
    if (found == connections.end())
      return Error{Code::failed_precondition, "there is no connection " + name};
    const S3Options& s3 = found->second;
    return std::shared_ptr<blob::Objects>(TRY(s3::open({.bucket = bucket,
                                                        .endpoint = s3.endpoint,
                                                        .region = s3.region,
                                                        .access_key = s3.access_key,
                                                        .secret_key = s3.secret_key})));
  };
}

// Policies are asked beside a component that does not ask them itself.
approvals::Approvable under_policies(approvals::Approvable approvable) {
  approvable.given = [given = std::move(approvable.given)](
                         sql::Tx& tx, const Call& call, const approvals::Subject& subject,
                         const approvals::Given& approval) -> Result<void> {
    if (given) TRY(given(tx, call, subject, approval));
    return policies::enforce_and_note(tx, call, approval.approval.at,
                                      {.action = policies::Action::approve, .urn = subject.urn});
  };
  return approvable;
}

// Brokers that sources name, each as its connection knows them.
catalog::OpenTopics open_topics(const std::map<std::string, KafkaOptions>& connections) {
  return [connections](const std::string& name) -> Result<std::shared_ptr<messages::Reader>> {
    const auto found = connections.find(name);
    if (found == connections.end())
      return Error{Code::failed_precondition, "there is no connection " + name};
    const KafkaOptions& kafka = found->second;
    return std::shared_ptr<messages::Reader>(TRY(kafka::open({.brokers = kafka.brokers,
                                                              .user = kafka.user,
                                                              .password = kafka.password,
                                                              .mechanism = kafka.mechanism,
                                                              .tls = kafka.tls,
                                                              .ca_file = kafka.ca_file})));
  };
}

// A third of the memory of joins is for what they keep beside DuckDB, an eighth for what DuckDB
// does not count as its own.
std::int64_t kept_of_joins(const SystemLimits& limits) { return limits.join_memory_bytes / 3; }

duckdb::Options join_options(const std::string& spill, const SystemLimits& limits) {
  const std::int64_t rest = limits.join_memory_bytes - kept_of_joins(limits);
  return {.temp_directory = spill,
          .memory_limit_mb = (rest - limits.join_memory_bytes / 8) >> 20,
          .threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency())),
          .spill_limit_mb = (limits.join_spill_bytes + (1 << 20) - 1) >> 20};
}

python::Options python_options(const PythonOptions& given, const std::string& data) {
  const std::string absolute = std::filesystem::absolute(data).string();
  python::Options out{.environments = absolute + "/python",
                      .scratch = absolute + "/scratch/python"};
  const auto set = [](const auto& from, auto& to) {
    if (from != std::remove_cvref_t<decltype(from)>{}) to = from;
  };
  set(given.interpreter, out.interpreter);
  set(given.workers, out.workers);
  set(given.threads, out.threads);
  set(given.waiting_max, out.waiting_max);
  set(given.memory_bytes, out.memory_bytes);
  set(given.start_time, out.start_time);
  set(given.run_time, out.run_time);
  return out;
}

std::function<Result<json::value>(const std::string&)> expression_parser(olap::Engine& olap) {
  return [&olap](const std::string& expression) -> Result<json::value> {
    const auto session = TRY(olap.session());
    return features::transform::parse(*session, expression);
  };
}

}  // namespace

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
  const auto read = s3::read_uri(options.artifacts, remote_options);
  if (!read) return Error{read.error().code, "artifacts: " + read.error().message};
  auto opened = s3::open(remote_options);
  if (!opened) return Error{opened.error().code, "artifacts: " + opened.error().message};
  return opened;
}

// One that is not there now may be there later: it is no reason not to start.
Result<std::unique_ptr<kv::Store>> System::Parts::open_redis() const {
  const auto named = [](const Error& error) {
    return Error{error.code, "online_store: " + error.message};
  };
  auto where = redis::read_url(options.online_store);
  if (!where) return named(where.error());
  auto password = resolve_secret(where->password);
  if (!password) return named(password.error());
  where->password = std::move(password).take();
  auto store = redis::open(*where);
  if (!store) return named(store.error());
  if (const auto asked = (*store)->get("penstock"); !asked) {
    if (asked.error().code != Code::unavailable) return named(asked.error());
    log::warn("online_store_unavailable", {{"error", asked.error().message}});
  }
  return store;
}

Result<void> System::Parts::open_stores() {
  TRY(make_directory(options.data));
  TRY(lock.take(options.data));
  own_id = TRY(server_id(options.data));
  TRY(make_directory(options.sources));
  TRY(make_directory(path("scratch")));
  std::error_code ignored;
  std::filesystem::remove_all(path("scratch/copies"), ignored);  // of tables, by the server before
  db = TRY(open_metadata());
  TRY(sql::migrate(*db, migrations(), clock.now()));
  rocks = TRY(rocksdb::open(path("state"), clock));
  if (!options.online_store.empty()) redis = TRY(open_redis());
  blobs = TRY(localfs::open(path("blobs")));
  if (!options.artifacts.empty()) remote = TRY(open_remote());
  olap = duckdb::open({.temp_directory = path("scratch/duckdb")});
  olap_in_order = duckdb::open({.temp_directory = path("scratch/duckdb-in-order"), .threads = 1});
  olap_joins = duckdb::open(join_options(path("scratch/duckdb-joins"), options.limits));
  runtime = onnx::open(
      {.batch_at_once = std::max(1, static_cast<int>(std::thread::hardware_concurrency()))});
  runner = process::runner();
  launcher = process::launcher();
  python = python::open(*launcher, python_options(options.python, options.data));
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
  policies = std::make_unique<policies::Service>(*db, *resources, clock);
  approvals = std::make_unique<approvals::Service>(*db, clock);
  postgres_tables = postgres::table_reader();
  std::vector<std::string> buckets_of;
  for (const auto& [name, s3] : options.s3_connections) buckets_of.push_back(name);
  std::map<std::string, std::string> brokers;
  for (const auto& [name, kafka] : options.kafka_connections) brokers[name] = kafka.brokers;
  catalog = std::make_unique<catalog::Service>(
      *db, *olap, clock,
      catalog::Options{.data_directory = options.sources,
                       .scratch = path("scratch/copies"),
                       .postgres = postgres_tables.get(),
                       .secret = resolve_secret,
                       .copy_bytes_max = options.limits.source_bytes,
                       .bucket = open_buckets(options.s3_connections),
                       .buckets_of = std::move(buckets_of),
                       .together = run_together,
                       .topics = open_topics(options.kafka_connections),
                       .brokers = std::move(brokers)});
  lowerings = std::make_unique<catalog::Lowerings>(*db, clock);
  classification = std::make_unique<classification::Service>(*db, *olap, *catalog, clock);
  lineage = std::make_unique<lineage::Service>(*db, *catalog, clock);
  emitter = std::make_unique<lineage::Emitter>(*db, *catalog, clock, openlineage_sender(options));
  quality = std::make_unique<catalog::Quality>(*db, *olap, *catalog, clock);
  search = std::make_unique<catalog::Search>(*db, *catalog, clock);
  datasets = std::make_unique<catalog::DatasetBuilder>(*db, *olap_in_order, *blobs, *catalog, clock,
                                                       path("scratch"));
  incidents = std::make_unique<incidents::Service>(*db, clock);
  freezes = std::make_unique<freezes::Service>(*db, clock);
  costs = std::make_unique<costs::Service>(*db, clock, &guard);
  features = std::make_unique<features::Service>(
      *db, *olap_joins, *blobs, redis ? *redis : rocks->store(), *catalog, clock, metrics,
      features::Options{.scratch = path("scratch"),
                        .lookup = &duckdb::lookups(),
                        .kept_bytes = kept_of_joins(options.limits),
                        .rows_bytes_max = options.limits.source_bytes,
                        .holder = server_name(options.data),
                        .program = std::string(api::version),
                        .vector_bytes = options.limits.vector_bytes,
                        .vector_age = redis ? Micros(std::chrono::seconds(10)) : Micros(0)});
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
  collector = std::make_unique<artifacts::Collector>(*db, *files, clock);
  tracked_artifacts = std::make_unique<tracking::Artifacts>(*db, *files, clock);
  part_uploads = std::make_unique<tracking::PartUploads>(*tracked_artifacts, *blobs, clock);
  evaluation_datasets = std::make_unique<tracking::EvaluationDatasets>(*db, clock);
  issues = std::make_unique<tracking::Issues>(*db, clock);
  label_schemas = std::make_unique<tracking::LabelSchemas>(*db, clock);
  logged_models = std::make_unique<tracking::LoggedModels>(*db, clock);
  registered_models = std::make_unique<tracking::RegisteredModels>(*db, *registry, clock);
  review_queues = std::make_unique<tracking::ReviewQueues>(*db, clock);
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
  serving::UpstreamOptions allowed{.ca_file = options.upstreams_ca_file};
  for (const auto& [name, secret] : options.secrets)
    allowed.secrets[name] = {secret.value, secret.hosts};
  const auto connect =
      [this](const serving::Remote& called) -> Result<std::shared_ptr<infer::Model>> {
    if (called.protocol == serving::UpstreamProtocol::kserve_grpc)
      return kserve::connect_grpc(clock, called.endpoint, called.model.model);
    return kserve::connect(*upstreams, clock, called.endpoint, called.model.model);
  };
  serving = std::make_unique<serving::Service>(
      *db, log, *runtime, clock, metrics, serving::artifacts_of(*artifacts, *signatures),
      serving::schemas_of(*features),
      serving::ServiceOptions{.table_path = path("routing_table.json"),
                              .upstreams = std::move(allowed),
                              .python = python.get(),
                              .alias = tracking::version_of_alias,
                              .parse = expression_parser(*olap),
                              .connect = connect});
  registry->check_with(serving::runtime_check_of(*artifacts));
  telemetry = std::make_unique<serving::Telemetry>(log, metrics);
  event_reader = std::make_unique<serving::EventReader>(log);
  telemetry->hands_to(*event_reader);
  telemetry->on_trouble(
      [this](const serving::TelemetryTrouble& trouble) { return tell_of_telemetry(trouble); });
  serving->reads_after(*telemetry);
  gateway = std::make_unique<serving::Gateway>(serving->table(), *telemetry, log, clock);
  make_traffic();
  make_routing();
  make_language();
  batch = std::make_unique<serving::BatchScorer>(
      *serving, *db, *olap, *blobs, log, clock, serving::historical_of(*features),
      path("scratch/batch"), serving::historical_reader_of(*features));
  feature_log = std::make_unique<serving::FeatureLog>(*db, log, *olap_in_order, *blobs, *catalog,
                                                      *features, clock, path("scratch"));
  streams = std::make_unique<serving::Streams>(*db, *gateway, log);
  metering = std::make_unique<monitor::Metering>(*event_reader, *costs);
  observer = std::make_unique<monitor::Observer>(*db, *event_reader, *olap, clock,
                                                 monitor::ObserverOptions{.server = own_id});
  monitor = std::make_unique<monitor::Service>(*db, clock);
  release = std::make_unique<release::Service>(*db, *serving, clock);
  controller =
      std::make_unique<release::Controller>(*release, *db, *event_reader, *serving, clock, own_id);
  make_retention();
  record = std::make_unique<record::Service>(
      record::Service::Parts{*db, clock, *catalog, *artifacts, *signatures, *tracking,
                             *registered_models, *tracked_artifacts, *files});
  evidence = std::make_unique<evidence::Service>(evidence::Service::Parts{
      *db, clock, *audit, *approvals, *catalog, *incidents, *release, *record});
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
  resources->add(guardrails::kind(
      [this](sql::Tx& tx, const Call& call, const guardrails::GuardrailDeclaration& declared) {
        return serving->check_classifier(tx, call, declared);
      }));
  serving->register_kinds(*resources);
  for (auto& kind : monitor->kinds()) resources->add(std::move(kind));
  for (auto& kind : release->kinds()) resources->add(std::move(kind));
  resources->add(approvals->kind());
  resources->add(policies->kind());
  resources->add(freezes->kind());
  approvals->answer_for("model", registry->approvable());
  approvals->answer_for("release", release->approvable());
  registered_models->served_by(release->served());
  serving->on_route_applied(
      [this](sql::Tx& tx, const Call& call, const serving::RouteDeclaration& route) {
        return release->align(tx, call, route);
      });
  approvals->answer_for("source/lower-class", under_policies(lowerings->approvable()));
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
  quality->on_failure(open_incident);
  features->operations().on_trouble(tell_of_view);
  features->on_logged([this](const Call& call, const std::string& schema, std::size_t most) {
    static_cast<void>(telemetry->flush(std::chrono::seconds(1)));  // those of a moment ago, too
    return feature_log->newest_reads(call, schema, most);
  });
  describe_all({*catalog, *registry, *artifacts, *training, *serving, *costs, *release});
}

}  // namespace penstock::app
