// The blocking way to remote runtimes: a connection for each call.
#pragma once

#include "net/client.h"
#include "ports/http.h"

namespace penstock::app {

class Caller final : public http::Caller {
 public:
  explicit Caller(const Clock& clock) : clock_(clock) {}

  Result<http::Answer> send(const std::shared_ptr<const http::Endpoint>& endpoint,
                            const http::Request& request, Timestamp deadline) override {
    const bool literal = endpoint->host.find(':') != std::string::npos;
    net::Client client({.url = (endpoint->tls ? "https://" : "http://") +
                               (literal ? "[" + endpoint->host + "]" : endpoint->host) + ":" +
                               endpoint->port,
                        .time_limit = deadline - clock_.now()});
    http::Fields headers = request.headers;
    if (!endpoint->authorization.empty())
      headers.emplace_back("authorization", endpoint->authorization);
    auto got =
        client.send(request.method, endpoint->base_path + request.target, request.body, headers);
    if (!got && clock_.now() >= deadline)
      return Error{Code::deadline_exceeded, "upstream " + endpoint->name + " took too long"};
    if (!got)
      return Error{got.error().code, "upstream " + endpoint->name + ": " + got.error().message};
    return http::Answer{got->status, std::move(got->headers), std::move(got->body)};
  }

 private:
  const Clock& clock_;
};

}  // namespace penstock::app
