// The whole program, put together: the only place that knows every concrete type.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace penstock::app {

struct SystemLimits {
  std::size_t body_bytes = 64 << 20;
  std::size_t header_bytes = 64 << 10;
  std::size_t connections = 4'096;
  std::size_t queued_requests = 1'024;
  std::int64_t artifact_bytes = std::int64_t{100} << 30;       // of one file
  std::int64_t artifact_cache_bytes = std::int64_t{20} << 30;  // of all local copies together
  std::int64_t source_bytes = std::int64_t{16} << 30;          // of a source that is copied
  std::int64_t join_memory_bytes = std::int64_t{2} << 30;      // of all joins of features together
  std::int64_t join_spill_bytes = 0;  // on disk, beyond that; 0: most of what is free
  std::int64_t vector_bytes = std::int64_t{1} << 30;  // of memory, for nearest neighbours
  Micros request_time = std::chrono::seconds(60);
  Micros drain_time = std::chrono::seconds(10);
};

struct S3Options {
  std::string endpoint;  // "http://127.0.0.1:9000"; empty: AWS
  std::string region = "us-east-1";
  std::string access_key, secret_key;  // empty: what AWS's own tools would use
};

struct WebhookOptions {
  bool allow_http = false, allow_private = false;
  std::string ca_file;  // empty: the system's authorities
  std::string key;      // what secrets are sealed with; empty: webhooks.key in the data directory
};

struct KafkaOptions {
  std::string brokers, user, password, mechanism;  // as kafka::Options
  bool tls = false;
  std::string ca_file;
};

// A key that declarations may name as secret:NAME, and the hosts that it may go to.
struct SecretOptions {
  std::string value;
  std::vector<std::string> hosts;  // "host" (over TLS only) or "host:port"
};

// Of models of runtime python; 0 or empty: as adapters/python says.
struct PythonOptions {
  std::string interpreter;
  int workers = 0, threads = 0;
  std::size_t waiting_max = 0;
  std::int64_t memory_bytes = 0;
  Micros start_time{}, run_time{};
};

struct SystemOptions {
  std::string data;     // directory of everything that is kept
  std::string sources;  // where relative paths of sources start; empty: data/sources
  std::string http = "127.0.0.1:8080";
  std::string grpc;             // "127.0.0.1:8001"; empty: no gRPC
  std::string auth = "token";   // or "none", on a loopback address only
  std::string metadata;         // "postgresql://..."; empty: SQLite in the data directory
  std::string metadata_schema;  // of PostgreSQL; empty: the user's own
  std::string artifacts;        // "s3://bucket/prefix"; empty: in the data directory
  std::string online_store;     // "redis://..."; empty: RocksDB in the data directory
  S3Options s3;
  std::map<std::string, S3Options> s3_connections;  // of sources, by name
  std::map<std::string, KafkaOptions> kafka_connections;
  // What signs the audit log: PRIVATE+KEY+...; empty: audit.key in the data directory, made at the
  // first start.
  std::string audit_key;
  std::vector<std::string> audit_former_keys;  // public ones, whose checkpoints still count
  int workers = 24;
  std::string openlineage_url;  // where our own events go; empty: kept here only
  std::string openlineage_key;  // may be empty
  WebhookOptions webhooks;
  std::map<std::string, SecretOptions> secrets;
  PythonOptions python;
  std::string upstreams_ca_file;  // empty: the system's authorities
  SystemLimits limits;
  std::optional<Micros> keep_predictions;        // none: for ever
  std::optional<std::int64_t> prediction_bytes;  // of the inference log on disk; none: any
};

class System {
 public:
  System();
  ~System();

  // Opens the stores, migrates, loads the routing table and listens. The error says what to do.
  Result<void> start(const SystemOptions& options);
  std::string address() const;
  std::string grpc_address() const;  // empty where there is none
  // Printed once, when the first start made it; empty otherwise.
  const std::string& first_admin_token() const;
  // Drains requests, then background work, then closes the stores.
  void stop();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace penstock::app
