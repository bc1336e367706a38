// kind: upstream. Another server that runs models, and how it may be called.
#pragma once

#include <map>

#include "base/described.h"
#include "ports/http.h"

namespace penstock::serving {

enum class UpstreamProtocol { openai, kserve, kserve_grpc };
BOOST_DESCRIBE_ENUM(UpstreamProtocol, openai, kserve, kserve_grpc)

struct UpstreamDeclaration {
  std::string name, owner, description;
  UpstreamProtocol protocol = UpstreamProtocol::openai;
  std::string url;  // "https://host/v1"; of gRPC "grpc://host:port", with TLS "grpcs://"
  std::optional<std::string> api_key;  // "secret:NAME": of `secrets` in penstock.yaml
  std::int64_t connections_max = 256;
  Micros connect_time = std::chrono::seconds(2);
  Micros first_byte_time = std::chrono::seconds(60);
  Micros idle_time = std::chrono::seconds(30);
  std::optional<std::string> health_path;  // GET, 2xx is healthy; none: calls alone tell
};
BOOST_DESCRIBE_STRUCT(UpstreamDeclaration, (),
                      (name, owner, description, protocol, url, api_key, connections_max,
                       connect_time, first_byte_time, idle_time, health_path))
constexpr auto rules_of(const UpstreamDeclaration&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 100},
                    Rule{.field = "owner", .min = 1, .max = 200},
                    Rule{.field = "description", .max = 2'000, .may_miss = true},
                    Rule{.field = "url", .min = 8, .max = 2'000},
                    Rule{.field = "api_key", .min = 1, .max = 200},
                    Rule{.field = "connections_max", .min = 1, .max = 10'000, .may_miss = true},
                    Rule{.field = "connect_time", .may_miss = true},
                    Rule{.field = "first_byte_time", .may_miss = true},
                    Rule{.field = "idle_time", .may_miss = true},
                    Rule{.field = "health_path", .min = 1, .max = 500}};
}

// The artifact of a version that another server runs: remote.yaml beside, or in the place of, the
// model's files.
struct RemoteModel {
  std::string upstream;  // kind: upstream
  std::string model;     // what the upstream calls it
  std::int64_t context_tokens = 128'000;
  std::int64_t output_tokens_max = 4'096;  // the worst case where a caller sets no bound
  double gpus = 0;  // share that a call occupies while it runs, where the runtime tells no GPU time
};
BOOST_DESCRIBE_STRUCT(RemoteModel, (), (upstream, model, context_tokens, output_tokens_max, gpus))
constexpr auto rules_of(const RemoteModel&) {
  return std::array{
      Rule{.field = "upstream", .min = 1, .max = 100}, Rule{.field = "model", .min = 1, .max = 300},
      Rule{.field = "context_tokens", .min = 1, .max = 100'000'000, .may_miss = true},
      Rule{.field = "output_tokens_max", .min = 1, .max = 100'000'000, .may_miss = true},
      Rule{.field = "gpus", .may_miss = true}};
}

inline constexpr std::string_view remote_file = "remote.yaml";
// Checked; invalid_argument names the field.
Result<RemoteModel> read_remote(std::string_view yaml);

// What a deployment of such a version calls.
struct Remote {
  UpstreamProtocol protocol = UpstreamProtocol::openai;
  RemoteModel model;
  std::shared_ptr<const http::Endpoint> endpoint;  // its name is "<project>/<upstream>"
  std::optional<std::string> health_path;
};

// "openai" or "kserve".
std::string_view runtime_of(UpstreamProtocol protocol);

// What the owner of this server lets declarations use: `secrets` and `upstreams` of penstock.yaml.
struct Secret {
  std::string value;
  // Where it may go: "host" (any port, over TLS only) or "host:port" (also without TLS).
  std::vector<std::string> hosts;
};
struct UpstreamOptions {
  std::map<std::string, Secret> secrets;
  std::string ca_file;  // PEM of the authorities that upstreams' certificates need; empty: system's
};

// invalid_argument where the address or the key's reference cannot be, failed_precondition where
// its owner does not let the key go there. No message holds a key.
Result<http::Endpoint> endpoint_of(const std::string& project, const UpstreamDeclaration& upstream,
                                   const UpstreamOptions& options);

}  // namespace penstock::serving
