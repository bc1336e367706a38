#include "app/config.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <tuple>

#include "base/told.h"
#include "base/yaml.h"

namespace penstock::app {

Result<Config> read_config(const std::string& path) {
  const auto wrong = [&](const std::string& what) {
    return Error{Code::invalid_argument, path + what};
  };
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return wrong(": cannot be read");
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  auto documents = yaml::parse(text);
  if (!documents) return wrong(": " + documents.error().message);
  if (documents->empty()) return Config{};
  if (documents->size() > 1) return wrong(": must be one YAML document");
  const yaml::Document& document = documents->front();
  auto config = decode<Config>(document.value);
  if (config) return config;
  // Each fault on a line of its own, as a compiler says them.
  std::string message;
  for (const Violation& fault : config.error().violations) {
    const auto line = document.lines.find(fault.field);
    message += (message.empty() ? "" : "\n") + path +
               (line == document.lines.end() ? "" : ":" + std::to_string(line->second)) + ": " +
               fault.field + " " + told_problem(fault);
  }
  return Error{Code::invalid_argument, message};
}

Result<std::string> resolve_secret(const std::string& text) {
  if (text.starts_with("${ENV:") && text.ends_with("}")) {
    const std::string name = text.substr(6, text.size() - 7);
    const char* value = std::getenv(name.c_str());
    if (value && *value) return std::string(value);
    return Error{Code::invalid_argument, "the environment variable " + name + " is not set"};
  }
  if (text.starts_with("file:")) {
    std::ifstream stream(text.substr(5));
    std::string line;
    if (std::getline(stream, line) && !line.empty()) return line;
    return Error{Code::invalid_argument, text.substr(5) + " cannot be read, or is empty"};
  }
  return text;
}

namespace {

Result<S3Options> s3_of(const S3Config& config) {
  auto access_key = TRY(resolve_secret(config.access_key.value_or("")));
  auto secret_key = TRY(resolve_secret(config.secret_key.value_or("")));
  return S3Options{.endpoint = config.endpoint.value_or(""),
                   .region = config.region.value_or(S3Options{}.region),
                   .access_key = std::move(access_key),
                   .secret_key = std::move(secret_key)};
}

Result<KafkaOptions> kafka_of(const KafkaConfig& config) {
  auto password = TRY(resolve_secret(config.password.value_or("")));
  return KafkaOptions{.brokers = config.brokers,
                      .user = config.user.value_or(""),
                      .password = std::move(password),
                      .mechanism = config.mechanism.value_or("SCRAM-SHA-512"),
                      .tls = config.tls,
                      .ca_file = config.ca_file.value_or("")};
}

Result<void> take_connections(const Config& config, SystemOptions& options) {
  for (const auto& [name, connection] : config.connections) {
    if (name.empty() || name.size() > 200)
      return Error{Code::invalid_argument, "connections: a name must have 1 to 200 characters"};
    if (connection.s3.has_value() == connection.kafka.has_value())
      return Error{Code::invalid_argument,
                   "connections." + name + " must say what it is: s3 or kafka"};
    if (connection.kafka) {
      auto kafka = kafka_of(*connection.kafka);
      if (!kafka)
        return Error{kafka.error().code,
                     "connections." + name + ".kafka: " + kafka.error().message};
      options.kafka_connections[name] = std::move(kafka).take();
      continue;
    }
    auto s3 = s3_of(*connection.s3);
    if (!s3) return Error{s3.error().code, "connections." + name + ".s3: " + s3.error().message};
    options.s3_connections[name] = std::move(s3).take();
  }
  return {};
}

Result<void> take_secrets(const Config& config, SystemOptions& options) {
  for (const auto& [name, secret] : config.secrets) {
    const bool plain = !name.empty() && name.size() <= 100 &&
                       name.find_first_not_of(
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "0123456789_-.") == std::string::npos;
    if (!plain)
      return Error{Code::invalid_argument,
                   "secrets: a name must be 1 to 100 letters, digits or one of _ - ."};
    if (!secret.value.starts_with("${ENV:") && !secret.value.starts_with("file:"))
      return Error{Code::invalid_argument,
                   "secrets." + name +
                       ".value must be ${ENV:NAME} or file:PATH; a key itself does "
                       "not belong into this file"};
    auto value = resolve_secret(secret.value);
    if (!value)
      return Error{value.error().code, "secrets." + name + ".value: " + value.error().message};
    if (std::any_of(value->begin(), value->end(),
                    [](unsigned char letter) { return letter < ' ' || letter == 127; }))
      return Error{Code::invalid_argument,
                   "secrets." + name + ".value must be one line without control characters"};
    options.secrets[name] = {std::move(value).take(), secret.hosts};
  }
  if (config.upstreams) options.upstreams_ca_file = config.upstreams->ca_file.value_or("");
  return {};
}

Result<void> take_python(const PythonConfig& config, PythonOptions& options) {
  const auto set = [](const auto& from, auto& to) {
    if (from) to = static_cast<std::remove_reference_t<decltype(to)>>(*from);
  };
  set(config.interpreter, options.interpreter);
  set(config.workers, options.workers);
  set(config.threads, options.threads);
  set(config.waiting, options.waiting_max);
  set(config.memory_bytes, options.memory_bytes);
  for (const auto& [field, from, to] :
       {std::tuple("start_time", config.start_time, &options.start_time),
        std::tuple("run_time", config.run_time, &options.run_time)}) {
    if (!from) continue;
    if (*from < std::chrono::milliseconds(1) || *from > std::chrono::hours(1))
      return Error{Code::invalid_argument,
                   "python." + std::string(field) + " must be from 1ms to 1h"};
    *to = *from;
  }
  return {};
}

Result<void> take_retention(const RetentionConfig& config, SystemOptions& options) {
  if (config.predictions && (*config.predictions < std::chrono::seconds(1) ||
                             *config.predictions > std::chrono::days(36'500)))
    return Error{Code::invalid_argument,
                 "retention.predictions must be from 1s to 36500d; leave it out to keep "
                 "predictions for ever"};
  options.keep_predictions = config.predictions;
  options.prediction_bytes = config.prediction_bytes;
  return {};
}

}  // namespace

Result<void> merge(const Config& config, const std::vector<std::string>& given,
                   SystemOptions& options) {
  const auto set = [&](const char* field, const auto& from, auto& to) {
    if (from && std::find(given.begin(), given.end(), field) == given.end())
      to = static_cast<std::remove_reference_t<decltype(to)>>(*from);
  };
  set("http", config.http, options.http);
  set("grpc", config.grpc, options.grpc);
  set("auth", config.auth, options.auth);
  set("sources", config.sources, options.sources);
  set("metadata", config.metadata, options.metadata);
  set("metadata_schema", config.metadata_schema, options.metadata_schema);
  set("workers", config.workers, options.workers);
  const LimitsConfig limits = config.limits.value_or(LimitsConfig{});
  set("limits.body_bytes", limits.body_bytes, options.limits.body_bytes);
  set("limits.header_bytes", limits.header_bytes, options.limits.header_bytes);
  set("limits.connections", limits.connections, options.limits.connections);
  set("limits.queued_requests", limits.queued_requests, options.limits.queued_requests);
  set("limits.artifact_bytes", limits.artifact_bytes, options.limits.artifact_bytes);
  set("limits.artifact_cache_bytes", limits.artifact_cache_bytes,
      options.limits.artifact_cache_bytes);
  set("limits.source_bytes", limits.source_bytes, options.limits.source_bytes);
  set("limits.join_memory_bytes", limits.join_memory_bytes, options.limits.join_memory_bytes);
  set("limits.join_spill_bytes", limits.join_spill_bytes, options.limits.join_spill_bytes);
  set("limits.vector_bytes", limits.vector_bytes, options.limits.vector_bytes);
  set("limits.request_time", limits.request_time, options.limits.request_time);
  set("limits.drain_time", limits.drain_time, options.limits.drain_time);
  set("artifacts", config.artifacts, options.artifacts);
  set("online-store", config.online_store, options.online_store);
  if (options.online_store == "rocksdb") options.online_store.clear();
  options.online_store = TRY(resolve_secret(options.online_store));
  if (config.s3) {
    set("s3.endpoint", config.s3->endpoint, options.s3.endpoint);
    set("s3.region", config.s3->region, options.s3.region);
    options.s3.access_key = TRY(resolve_secret(config.s3->access_key.value_or("")));
    options.s3.secret_key = TRY(resolve_secret(config.s3->secret_key.value_or("")));
  }
  TRY(take_connections(config, options));
  TRY(take_secrets(config, options));
  if (config.python) TRY(take_python(*config.python, options.python));
  if (config.retention) TRY(take_retention(*config.retention, options));
  if (config.audit) {
    options.audit_former_keys = config.audit->former_keys;
    if (config.audit->key) options.audit_key = TRY(resolve_secret(*config.audit->key));
  }
  if (config.openlineage) {
    options.openlineage_url = config.openlineage->url;
    if (!options.openlineage_url.starts_with("http://") &&
        !options.openlineage_url.starts_with("https://"))
      return Error{Code::invalid_argument,
                   "openlineage.url must begin with http:// or https://, and "
                   "is " +
                       options.openlineage_url};
    if (config.openlineage->api_key)
      options.openlineage_key = TRY(resolve_secret(*config.openlineage->api_key));
  }
  if (config.webhooks) {
    options.webhooks.allow_http = config.webhooks->allow_http;
    options.webhooks.allow_private = config.webhooks->allow_private;
    options.webhooks.ca_file = config.webhooks->ca_file.value_or("");
    if (config.webhooks->key) options.webhooks.key = TRY(resolve_secret(*config.webhooks->key));
  }
  if (options.metadata == "sqlite") options.metadata.clear();
  if (options.metadata.empty()) return {};
  options.metadata = TRY(resolve_secret(options.metadata));
  return {};
}

}  // namespace penstock::app
