// penstock.yaml: what `penstock serve` is told where no flag says it.
#pragma once

#include "app/system.h"
#include "base/described.h"

namespace penstock::app {

struct LimitsConfig {
  std::optional<std::int64_t> body_bytes, header_bytes, connections, queued_requests;
  std::optional<std::int64_t> artifact_bytes, artifact_cache_bytes, source_bytes, vector_bytes;
  std::optional<std::int64_t> join_memory_bytes, join_spill_bytes;
  std::optional<Micros> request_time, drain_time;
};
BOOST_DESCRIBE_STRUCT(LimitsConfig, (),
                      (body_bytes, header_bytes, connections, queued_requests, artifact_bytes,
                       artifact_cache_bytes, source_bytes, vector_bytes, join_memory_bytes,
                       join_spill_bytes, request_time, drain_time))
constexpr auto rules_of(const LimitsConfig&) {
  return std::array{Rule{.field = "body_bytes", .min = 1 << 10, .max = 1 << 30},
                    Rule{.field = "header_bytes", .min = 1 << 10, .max = 1 << 20},
                    Rule{.field = "connections", .min = 1, .max = 1'000'000},
                    Rule{.field = "queued_requests", .min = 1, .max = 1'000'000},
                    Rule{.field = "artifact_bytes", .min = 1 << 10, .max = 5'000'000'000'000},
                    Rule{.field = "artifact_cache_bytes", .min = 0, .max = 1'000'000'000'000'000},
                    Rule{.field = "source_bytes", .min = 1 << 10, .max = 1'000'000'000'000'000},
                    Rule{.field = "join_memory_bytes", .min = 256 << 20, .max = 1'000'000'000'000},
                    Rule{.field = "join_spill_bytes", .min = 0, .max = 1'000'000'000'000'000},
                    Rule{.field = "vector_bytes", .min = 1 << 20, .max = 1'000'000'000'000}};
}

struct S3Config {
  std::optional<std::string> endpoint, region;
  std::optional<std::string> access_key, secret_key;  // as metadata: a name of the secret
};
BOOST_DESCRIBE_STRUCT(S3Config, (), (endpoint, region, access_key, secret_key))

// Where sources lie that are not files of the server. Declarations name it; its secrets stay here.
struct KafkaConfig {
  std::string brokers;                        // "host:9092,host:9092"
  std::optional<std::string> user, password;  // the password as metadata: a name of the secret
  std::optional<std::string> mechanism;       // SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN
  bool tls = false;
  std::optional<std::string> ca_file;
};
BOOST_DESCRIBE_STRUCT(KafkaConfig, (), (brokers, user, password, mechanism, tls, ca_file))
constexpr auto rules_of(const KafkaConfig&) {
  return std::array{Rule{.field = "brokers", .min = 1, .max = 2'000},
                    Rule{.field = "tls", .may_miss = true}};
}

struct ConnectionConfig {
  std::optional<S3Config> s3;
  std::optional<KafkaConfig> kafka;
};
BOOST_DESCRIBE_STRUCT(ConnectionConfig, (), (s3, kafka))

struct AuditConfig {
  // Like `metadata`, it names a secret without holding it. Servers of one database share one key.
  std::optional<std::string> key;
  std::vector<std::string> former_keys;
};
BOOST_DESCRIBE_STRUCT(AuditConfig, (), (key, former_keys))
constexpr auto rules_of(const AuditConfig&) {
  return std::array{Rule{.field = "key", .min = 1, .max = 2'000},
                    Rule{.field = "former_keys", .max = 100}};
}

// Where Penstock's own runs, datasets and releases are told as OpenLineage events.
struct OpenLineageConfig {
  std::string url;  // "http://host:5000"; "/api/v1/lineage" is added where it names no path
  std::optional<std::string> api_key;  // ${ENV:NAME} or file:PATH
};
BOOST_DESCRIBE_STRUCT(OpenLineageConfig, (), (url, api_key))
constexpr auto rules_of(const OpenLineageConfig&) {
  return std::array{Rule{.field = "url", .min = 8, .max = 2'000}};
}

// How webhooks may reach out. Without it only https:// to public addresses.
struct WebhooksConfig {
  bool allow_http = false, allow_private = false;
  std::optional<std::string> ca_file;  // PEM, instead of the system's authorities
  // Seals secrets: base64 of 32 bytes, named as `metadata` is. DATA/webhooks.key if not said;
  // servers of one database share one.
  std::optional<std::string> key;
};
BOOST_DESCRIBE_STRUCT(WebhooksConfig, (), (allow_http, allow_private, ca_file, key))
constexpr auto rules_of(const WebhooksConfig&) {
  return std::array{Rule{.field = "allow_http", .may_miss = true},
                    Rule{.field = "allow_private", .may_miss = true},
                    Rule{.field = "ca_file", .min = 1, .max = 2'000},
                    Rule{.field = "key", .min = 1, .max = 2'000}};
}

// What declarations may name as secret:NAME.
struct SecretConfig {
  std::string value;               // as metadata: a name of the secret
  std::vector<std::string> hosts;  // where it may go: "host" (over TLS only) or "host:port"
};
BOOST_DESCRIBE_STRUCT(SecretConfig, (), (value, hosts))
constexpr auto rules_of(const SecretConfig&) {
  return std::array{Rule{.field = "value", .min = 1, .max = 20'000},
                    Rule{.field = "hosts", .min = 1, .max = 100}};
}

// Servers that run models for us (kind: upstream).
struct UpstreamsConfig {
  std::optional<std::string> ca_file;  // PEM, instead of the system's authorities
};
BOOST_DESCRIBE_STRUCT(UpstreamsConfig, (), (ca_file))
constexpr auto rules_of(const UpstreamsConfig&) {
  return std::array{Rule{.field = "ca_file", .min = 1, .max = 2'000}};
}

// Models of runtime python: MLflow's of any flavor but onnx.
struct PythonConfig {
  // A path, or a name in PATH. It needs pyarrow, mlflow or mlflow-skinny, and the packages of every
  // model for which no environment was prepared (penstock models prepare).
  std::optional<std::string> interpreter;
  std::optional<std::int64_t> workers;       // processes of one model
  std::optional<std::int64_t> threads;       // of each
  std::optional<std::int64_t> waiting;       // calls of one model that wait for a process
  std::optional<std::int64_t> memory_bytes;  // of one process
  std::optional<Micros> start_time, run_time;
};
BOOST_DESCRIBE_STRUCT(PythonConfig, (),
                      (interpreter, workers, threads, waiting, memory_bytes, start_time, run_time))
constexpr auto rules_of(const PythonConfig&) {
  return std::array{Rule{.field = "interpreter", .min = 1, .max = 2'000},
                    Rule{.field = "workers", .min = 1, .max = 64},
                    Rule{.field = "threads", .min = 1, .max = 256},
                    Rule{.field = "waiting", .min = 1, .max = 10'000},
                    Rule{.field = "memory_bytes", .min = 256 << 20, .max = 1'000'000'000'000}};
}

// How long the inference log is kept. Without it nothing is taken out of it.
struct RetentionConfig {
  std::optional<Micros> predictions;             // with their labels, after they were logged
  std::optional<std::int64_t> prediction_bytes;  // on disk, about
};
BOOST_DESCRIBE_STRUCT(RetentionConfig, (), (predictions, prediction_bytes))
constexpr auto rules_of(const RetentionConfig&) {
  return std::array{
      Rule{.field = "prediction_bytes", .min = 1 << 20, .max = 1'000'000'000'000'000}};
}

struct Config {
  std::optional<std::string> http, grpc, auth, sources;
  // "sqlite", or what libpq connects to; ${ENV:NAME} and file:PATH name a secret without holding it
  std::optional<std::string> metadata;
  std::optional<std::string> metadata_schema;
  std::optional<std::string> artifacts;  // "s3://bucket/prefix"; DATA/blobs if not said
  // "rocksdb" in DATA, or where Redis is: redis://USER:${ENV:NAME}@HOST:6379/0,
  // redis+cluster://...; the password, or all of it, may be named as `metadata` is
  std::optional<std::string> online_store;
  std::optional<S3Config> s3;
  std::map<std::string, ConnectionConfig> connections;  // by the name that sources call them
  std::optional<std::int64_t> workers;
  std::optional<LimitsConfig> limits;
  std::optional<AuditConfig> audit;
  std::optional<OpenLineageConfig> openlineage;
  std::optional<WebhooksConfig> webhooks;
  std::map<std::string, SecretConfig> secrets;  // by the name that declarations call them
  std::optional<UpstreamsConfig> upstreams;
  std::optional<PythonConfig> python;
  std::optional<RetentionConfig> retention;
};
BOOST_DESCRIBE_STRUCT(Config, (),
                      (http, grpc, auth, sources, metadata, metadata_schema, artifacts,
                       online_store, s3, connections, workers, limits, audit, openlineage, webhooks,
                       secrets, upstreams, python, retention))
constexpr auto rules_of(const Config&) {
  return std::array{Rule{.field = "workers", .min = 1, .max = 256},
                    Rule{.field = "metadata_schema", .max = 63}};
}

// invalid_argument names file, line and field.
Result<Config> read_config(const std::string& path);

// Puts what the file says in the place of defaults. Fields in `given` were said by flags and stay.
Result<void> merge(const Config& config, const std::vector<std::string>& given,
                   SystemOptions& options);

// "${ENV:NAME}" is that variable, "file:PATH" that file's first line, all else itself.
// invalid_argument, which never holds the value, where there is no such variable or file.
Result<std::string> resolve_secret(const std::string& text);

}  // namespace penstock::app
