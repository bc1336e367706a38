// HTTP towards other servers: remote runtimes, retrieval, webhooks of nodes. net implements it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace penstock::http {

using Fields = std::vector<std::pair<std::string, std::string>>;  // names in lower case

// Where a remote server answers, and within which bounds. Immutable once it is used; connections
// are pooled by `name` and address.
struct Endpoint {
  std::string name;       // of the upstream: measures and breakers go by it
  std::string host;       // a name or an address
  std::string port;       // "443"
  std::string base_path;  // "" or "/v1": goes before every target
  bool tls = false;
  std::string ca_file;        // PEM of the authorities to trust; empty: the system's
  std::string authorization;  // value of that header; a secret, never logged; may be empty
  std::size_t connections_max = 256;
  Micros connect_time = std::chrono::seconds(2);
  Micros first_byte_time = std::chrono::seconds(60);  // from the request's end to the answer's head
  Micros idle_time = std::chrono::seconds(30);        // between two pieces of an answer
  std::size_t answer_max = 64 << 20;                  // bytes of one answer, streams too
};

struct Request {
  std::string method = "POST";
  std::string target;  // "/chat/completions": behind the endpoint's base path
  Fields headers;      // host, length, authorization and connection are the caller's business
  std::string body;
};

struct Answer {
  int status = 0;
  Fields headers;
  std::string body;
};

// Blocks: on workers only. Safe from several threads.
class Caller {
 public:
  virtual ~Caller() = default;
  // Any answer with a status is one, 500 too. `unavailable` where none came, `deadline_exceeded`
  // where it came too late, `resource_exhausted` where it is larger than the endpoint allows or all
  // its connections are busy; the message names the upstream and never a secret.
  virtual Result<Answer> send(const std::shared_ptr<const Endpoint>& endpoint,
                              const Request& request, Timestamp deadline) = 0;
};

}  // namespace penstock::http
