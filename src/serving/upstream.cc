#include "serving/upstream.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/yaml.h"

namespace penstock::serving {
namespace {

constexpr std::string_view secret_scheme = "secret:";

Error faulty(std::string field, std::string problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char letter) {
    return static_cast<char>(letter >= 'A' && letter <= 'Z' ? letter + 32 : letter);
  });
  return out;
}

bool is_host(std::string_view host) {
  return !host.empty() && host.size() <= 253 &&
         std::all_of(host.begin(), host.end(), [](unsigned char letter) {
           return std::isalnum(letter) || letter == '.' || letter == '-' || letter == '_' ||
                  letter == ':';
         });
}

bool is_port(std::string_view port) {
  int number = 0;
  const auto [end, fault] = std::from_chars(port.data(), port.data() + port.size(), number);
  return fault == std::errc{} && end == port.data() + port.size() && number > 0 && number < 65'536;
}

struct Scheme {
  std::string_view name;
  bool grpc, tls;
  std::string_view port;  // empty: it must be said
};
constexpr std::array schemes = {
    Scheme{"https://", false, true, "443"}, Scheme{"http://", false, false, "80"},
    Scheme{"grpc://", true, false, ""}, Scheme{"grpcs://", true, true, "443"}};

Result<void> read_path(std::string_view path, bool grpc, http::Endpoint& out) {
  while (path.ends_with('/')) path.remove_suffix(1);
  if (grpc && !path.empty()) return faulty("url", "of gRPC must end after its port");
  const bool plain = std::all_of(path.begin(), path.end(), [](unsigned char letter) {
    return letter > ' ' && letter < 127 && letter != '"' && letter != '\\';
  });
  if (!plain || path.find_first_of("?#") != std::string_view::npos)
    return faulty("url", "must be scheme, host, port and path, without query and fragment");
  out.base_path = path;
  return {};
}

// Scheme, host, port and path. What else may stand in an address (user, query) is refused: it is
// where keys are put by mistake, so no message repeats the address.
Result<http::Endpoint> read_url(const UpstreamDeclaration& upstream) {
  const bool grpc = upstream.protocol == UpstreamProtocol::kserve_grpc;
  const auto scheme = std::find_if(schemes.begin(), schemes.end(), [&](const Scheme& one) {
    return one.grpc == grpc && upstream.url.starts_with(one.name);
  });
  if (scheme == schemes.end())
    return faulty("url", grpc ? "must begin with grpc:// or grpcs://, as its protocol does"
                              : "must begin with http:// or https://, as its protocol does");
  std::string_view rest = std::string_view(upstream.url).substr(scheme->name.size());
  const std::size_t slash = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view place = rest.substr(0, slash);
  if (place.find('@') != std::string_view::npos)
    return faulty("url", "must not hold a user or a password; api_key names a secret");
  http::Endpoint out{.port = std::string(scheme->port), .tls = scheme->tls};
  TRY(read_path(rest.substr(slash), grpc, out));
  const bool literal = place.starts_with('[') && place.find(']') != std::string_view::npos;
  const std::size_t host_end =
      literal ? place.find(']') + 1 : std::min(place.find(':'), place.size());
  out.host = lower(literal ? place.substr(1, host_end - 2) : place.substr(0, host_end));
  if (host_end < place.size()) {
    if (place[host_end] != ':') return faulty("url", "must have its port after a colon");
    out.port = place.substr(host_end + 1);
  }
  if (!is_host(out.host)) return faulty("url", "must name a host");
  if (!is_port(out.port)) return faulty("url", "must have a port from 1 to 65535");
  return out;
}

// "host:port", with brackets around an address of IPv6.
std::string place_of(const http::Endpoint& endpoint) {
  const bool literal = endpoint.host.find(':') != std::string::npos;
  return (literal ? "[" + endpoint.host + "]" : endpoint.host) + ":" + endpoint.port;
}

Result<std::string> key_for(const std::string& reference, const http::Endpoint& endpoint,
                            const UpstreamOptions& options) {
  if (!reference.starts_with(secret_scheme))
    return faulty(
        "api_key",
        "must be secret:NAME, a name in `secrets` of penstock.yaml; a key itself does not "
        "belong into a declaration");
  const std::string name = reference.substr(secret_scheme.size());
  const auto refused = [&](const std::string& problem) {
    Error error = faulty("api_key", problem);
    error.code = Code::failed_precondition;
    return error;
  };
  const auto secret = options.secrets.find(name);
  if (secret == options.secrets.end())
    return refused("names no secret of this server: its owner adds secrets." + name +
                   " with value and hosts to penstock.yaml");
  const std::string place = place_of(endpoint);
  const std::string host = place.substr(0, place.rfind(':'));
  bool only_with_tls = false;
  for (const std::string& allowed : secret->second.hosts) {
    if (lower(allowed) == place) return secret->second.value;
    if (lower(allowed) != host) continue;
    if (endpoint.tls) return secret->second.value;
    only_with_tls = true;
  }
  return refused((only_with_tls ? "goes to " + host + " over TLS only" : "may not go to " + place) +
                 ": the server's owner allows it by " + place + " in secrets." + name +
                 ".hosts of penstock.yaml");
}

Result<void> check_time(const std::string& field, Micros time) {
  if (time >= std::chrono::milliseconds(1) && time <= std::chrono::hours(1)) return {};
  return faulty(field, "must be from 1ms to 1h");
}

}  // namespace

std::string_view runtime_of(UpstreamProtocol protocol) {
  return protocol == UpstreamProtocol::openai ? "openai" : "kserve";
}

Result<RemoteModel> read_remote(std::string_view text) {
  const auto wrong = [](const Error& error) {
    return Error{error.code, std::string(remote_file) + ": " + error.message, error.violations};
  };
  const auto documents = yaml::parse(text);
  if (!documents) return wrong(documents.error());
  if (documents->size() != 1)
    return Error{Code::invalid_argument, std::string(remote_file) + ": must be one YAML document"};
  auto remote = decode<RemoteModel>(documents->front().value);
  if (!remote) return wrong(remote.error());
  if (!(remote->gpus >= 0 && remote->gpus <= 1'024))
    return wrong(faulty("gpus", "must be from 0 to 1024"));
  return remote;
}

Result<http::Endpoint> endpoint_of(const std::string& project, const UpstreamDeclaration& upstream,
                                   const UpstreamOptions& options) {
  http::Endpoint out = TRY(read_url(upstream));
  TRY(check_time("connect_time", upstream.connect_time));
  TRY(check_time("first_byte_time", upstream.first_byte_time));
  TRY(check_time("idle_time", upstream.idle_time));
  if (upstream.health_path && !upstream.health_path->starts_with('/'))
    return faulty("health_path", "must begin with /");
  if (upstream.api_key)
    out.authorization = "Bearer " + TRY(key_for(*upstream.api_key, out, options));
  out.name = project + "/" + upstream.name;
  out.ca_file = options.ca_file;
  out.connections_max = static_cast<std::size_t>(upstream.connections_max);
  out.connect_time = upstream.connect_time;
  out.first_byte_time = upstream.first_byte_time;
  out.idle_time = upstream.idle_time;
  return out;
}

}  // namespace penstock::serving
