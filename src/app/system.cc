#include "app/system.h"

#include <algorithm>
#include <thread>

#include "access/authenticator.h"
#include "api/grpc/services.h"
#include "app/memory.h"
#include "app/parts.h"
#include "base/log.h"
#include "base/memory.h"
#include "features/operations.h"
#include "incidents/about.h"

namespace penstock::app {
namespace {

constexpr std::size_t thread_caches_max = 8 << 20;  // of 60 threads, of which few have much to do

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address.starts_with("[::1]") ||
         address.starts_with("localhost");
}

std::string_view header_of(const api::Request& request, std::string_view name) {
  const std::string* value = request.header(name);
  return value ? std::string_view(*value) : "";
}

// Small models run on them, so there is one for each processor.
int io_threads() {
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 32);
}

}  // namespace

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
      [this](const std::string& text) { return keep_secret(path("admin.token"), text); }));
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
  std::vector<api::Rpc> rpcs = api::grpc::inference_rpcs(*gateway, *serving);
  for (api::Rpc& one : api::grpc::feature_rpcs(*features)) rpcs.push_back(std::move(one));
  server = std::make_unique<net::Server>(net::ServerOptions{.address = options.http,
                                                            .grpc = options.grpc,
                                                            .io_threads = io_threads(),
                                                            .workers = options.workers,
                                                            .queue_max = limits.queued_requests,
                                                            .connections_max = limits.connections,
                                                            .header_max = limits.header_bytes,
                                                            .body_max = limits.body_bytes,
                                                            .stream_max = limits.artifact_bytes,
                                                            .request_time = limits.request_time,
                                                            .drain_time = limits.drain_time},
                                         routes(), authorize, metrics, clock, upstreams,
                                         std::move(rpcs));
  return server->start();
}

void System::Parts::start_background() {
  using Turn = Background::Turn;
  const auto every = [&](const char* name, Background::Rhythm rhythm, auto work) {
    background.start(name, rhythm, [work]() -> Result<Turn> { return Turn{TRY(work())}; });
  };
  every("training", {std::chrono::milliseconds(50)}, [this] { return executor->run_once(); });
  // It waits for events by itself.
  every("telemetry", {std::chrono::milliseconds(1)},
        [this] { return telemetry->write(std::chrono::milliseconds(50)); });
  every("telemetry-watch", {std::chrono::milliseconds(500)}, [this]() -> Result<bool> {
    gateway->measure(metrics);
    TRY(telemetry->watch());
    return false;
  });
  every("streams", {std::chrono::milliseconds(10)}, [this] { return streams->step(); });
  // Readers of inference events. Each turn is a write of its own, so few events wait for others.
  const auto follows = [&](const char* name, auto read) {
    constexpr std::size_t few = 100, many = serving::EventReader::stretch_max;
    every(name, {std::chrono::milliseconds(200), std::chrono::milliseconds(20), true},
          [read]() -> Result<bool> {
            std::size_t all = 0, count = many;
            for (int round = 0; round < 10 && count >= many; ++round) {
              count = TRY(read());
              all += count;
            }
            return all >= few;
          });
  };
  follows("metering", [this] { return metering->run_once(); });
  follows("monitor", [this] { return observer->run_once(); });
  follows("reports", [this] { return reports->run_once(); });
  every("retention", {retention->rhythm(), std::chrono::milliseconds(50), true},
        [this] { return retention->run_once(); });
  every("traffic", {std::chrono::milliseconds(200)}, [this] { return tend_traffic(); });
  every("upstreams", {std::chrono::seconds(2)}, [this]() -> Result<bool> {
    TRY(upstream_checks->run_once());
    return false;
  });
  every("artifacts", {std::chrono::seconds(1)}, [this] { return tend_artifacts(); });
  // What a burst of calls or a large join took and gave back, before much of it lies about; and
  // five seconds after the start, then every five minutes, what is mapped of files for nothing.
  every("memory", {std::chrono::seconds(1)}, [this]() -> Result<bool> {
    give_back_free_memory();
    if (memory_turns++ % 300 == 5) split_used_mappings();
    return false;
  });
  every("audit", {std::chrono::minutes(1)}, [this]() -> Result<bool> {
    TRY(audit->checkpoint({.actor = "service:audit"}));
    return false;
  });
  every("classification", {std::chrono::seconds(30), std::chrono::seconds(1)},
        [this] { return classification->run_once(); });
  every("lineage", {std::chrono::seconds(2)}, [this]() -> Result<bool> {
    TRY(catalog->keep_graphs({.actor = "service:lineage"}));
    return false;
  });
  every("openlineage", {std::chrono::milliseconds(500), std::chrono::milliseconds(20)},
        [this] { return emitter->run_once(); });
  every("webhooks", {std::chrono::milliseconds(300), std::chrono::milliseconds(20)},
        [this] { return webhook_delivery->collect(); });
  // A few, so that a slow receiver does not hold up the others.
  for (const char* name : {"webhooks-1", "webhooks-2", "webhooks-3", "webhooks-4"})
    every(name, {std::chrono::milliseconds(300)}, [this] { return webhook_delivery->deliver(); });
  every("quality", {std::chrono::seconds(1)}, [this] { return quality->run_due(); });
  // Two, so that a slow view does not hold up the others.
  for (const char* name : {"features-1", "features-2"})
    every(name, {std::chrono::seconds(1), std::chrono::milliseconds(20)},
          [this] { return features->operations().run_due(); });
  every("features-verify", {std::chrono::seconds(5), std::chrono::milliseconds(200)},
        [this] { return features->operations().verify_due(); });
  every("features-freshness", {std::chrono::seconds(5)}, [this]() -> Result<bool> {
    TRY(features->operations().measure());
    return false;
  });
  every("nearest", {std::chrono::milliseconds(100), std::chrono::milliseconds(10)},
        [this]() -> Result<bool> { return features->grow_indexes(); });
  // Slower than it could be: what it writes, callers wait for.
  every("search", {std::chrono::milliseconds(500), std::chrono::milliseconds(100)},
        [this] { return search->run_once(); });
  every("routing", {std::chrono::seconds(1), std::chrono::milliseconds(20)},
        [this] { return tend_routing(); });
  every("heal", {std::chrono::seconds(1)}, [this]() -> Result<bool> {
    TRY(serving->heal({.actor = "service:serving"}));
    return false;
  });
  every("release", {std::chrono::milliseconds(50)}, [this] { return controller->advance(); });
}

// Opens an incident for bytes that were found to be others, and forgets uploads that nobody ends.
Result<bool> System::Parts::tend_artifacts() {
  constexpr Micros rhythm = std::chrono::hours(1), upload_time = std::chrono::hours(48);
  const Call call{.actor = "service:artifacts"};
  // Whoever logged the file must know; one that no project named is told to the default one.
  const auto tell = [&](const std::string& digest) -> Result<void> {
    auto projects = TRY(db->read(call, [&](sql::Tx& tx) {
      return tx.run("SELECT DISTINCT project FROM artifact_files WHERE digest = $1", {digest});
    }));
    if (projects.empty()) projects.push_back({std::string("default")});
    for (const sql::Row& row : projects) {
      Call theirs = call;
      theirs.project = std::get<std::string>(row.at(0));
      TRY(incidents->open(
          theirs, {.dedup_key = "artifact:" + digest + ":damaged",
                   .title = "A stored file is damaged: its bytes are not those of " + digest,
                   .severity = incidents::Severity::critical,
                   .subject = "artifact:" + digest}));
    }
    return {};
  };
  for (const std::string& digest : files->take_damaged()) TRY(tell(digest));
  if (clock.now() < tended + rhythm) return false;
  tended = clock.now();
  TRY(part_uploads->clear(tended - upload_time));
  TRY(artifacts->clear_uploads(tended - upload_time));
  return false;
}

// Whoever runs the server must know: events that are lost are missing from every report.
Result<void> System::Parts::tell_of_telemetry(const serving::TelemetryTrouble& trouble) {
  const Call call{.actor = "service:telemetry", .project = "default"};
  const std::string key = "telemetry:log";
  if (!trouble.over) {
    TRY(incidents->open(call, {.dedup_key = key,
                               .title = "Inference events do not reach the log: " + trouble.what,
                               .severity = incidents::Severity::critical,
                               .subject = "telemetry:log",
                               .detail = {{"dropped", trouble.dropped}}}));
    return {};
  }
  return db->write(call, [&](sql::Tx& tx) -> Result<void> {
    for (const incidents::Incident& incident :
         TRY(incidents::about(tx, call, {"telemetry:log"}, 100)))
      if (incident.dedup_key == key && incident.status != incidents::Status::resolved)
        TRY(incidents::note(tx, call, clock.now(), incident.id, "over",
                            {{"dropped", trouble.dropped}}));
    return {};
  });
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
  TRY(parts.make_webhooks());
  parts.make_serving();
  parts.join_components();
  TRY(parts.catalog->keep_columns());
  // Broken, or another version's: the database says what to serve, as soon as it can be asked.
  if (const auto restored = parts.serving->restore(); !restored)
    log::warn("routing_table_unreadable", {{"error", restored.error().message}});
  TRY(parts.emitter->start());
  const Call call{.actor = "service:start"};
  if (const auto published = parts.serving->publish(call); !published)
    log::warn("routes_not_published", {{"error", published.error().message}});
  TRY(parts.read_prices());
  TRY(parts.streams->reload());
  TRY(parts.open_budgets());
  TRY(parts.begin_readers());
  TRY(parts.listen());
  parts.start_background();
  bound_thread_caches(thread_caches_max);
  let_go_of_start_pages();
  return {};
}

std::string System::address() const { return parts_->server->address(); }
std::string System::grpc_address() const { return parts_->server->grpc_address(); }
const std::string& System::first_admin_token() const { return parts_->first_token; }

void System::stop() {
  if (parts_->server) parts_->server->stop();
  parts_->background.stop();
  if (!parts_->telemetry) return;
  if (const auto done = parts_->telemetry->flush(parts_->options.limits.drain_time); !done)
    log::error("telemetry_not_written", {{"error", done.error().message}});
  if (!parts_->guard.leases()) return;
  if (const auto done = parts_->close_budgets(); !done)
    log::error("budgets_not_given_back", {{"error", done.error().message}});
}

}  // namespace penstock::app
