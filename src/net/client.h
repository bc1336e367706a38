// A blocking HTTP client for the command line, the demo and tests. One connection, kept alive.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/described.h"

namespace penstock::net {

struct ClientResponse {
  int status = 0;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
};

struct ClientOptions {
  std::string url;    // "http://127.0.0.1:8080", or https:// with a certificate of its host
  std::string token;  // may be empty
  Micros time_limit = std::chrono::seconds(60);
};

class Client {
 public:
  explicit Client(ClientOptions options);
  ~Client();
  Client(Client&&) noexcept;

  // `unavailable` when the server cannot be reached or hangs up, with its address in the message. A
  // kept connection that the server has closed meanwhile is opened anew, once.
  Result<ClientResponse> send(std::string_view method, std::string_view target,
                              std::string_view body = "",
                              const std::vector<std::pair<std::string, std::string>>& headers = {});

  // JSON in, JSON out; a problem document comes back as the Error that the server meant.
  Result<json::value> call(std::string_view method, std::string_view target,
                           const json::value& body = nullptr);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "a b/c" -> "a%20b%2Fc", for one path part or query value.
std::string percent_encoded(std::string_view text);

}  // namespace penstock::net
