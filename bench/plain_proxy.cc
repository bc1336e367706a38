// The edge as a plain proxy, for benches: what forwarding alone costs, before anything is decided.
//
//   plain_proxy HOST:PORT    forwards POST /v1/chat/completions to there
#include <csignal>
#include <cstdio>

#include "api/forward.h"
#include "net/server.h"

namespace {

using namespace penstock;

class Proxied final : public api::Forward {
 public:
  Proxied(std::shared_ptr<const http::Endpoint> endpoint, std::string body, Timestamp deadline) {
    attempt_.endpoint = std::move(endpoint);
    attempt_.request.target = "/chat/completions";
    attempt_.request.headers.emplace_back("content-type", "application/json");
    attempt_.request.body = std::move(body);
    attempt_.deadline = deadline;
  }

  api::Step next() override {
    if (failed_.empty()) return std::move(attempt_);
    return api::problem({Code::unavailable, failed_});
  }
  api::Reading head(int status, const http::Fields& headers, bool) override {
    response_.status = status;
    for (const auto& [name, value] : headers)
      if (name == "content-type") response_.content_type = value;
    return response_.content_type == "text/event-stream" ? api::Reading::pieces
                                                         : api::Reading::whole;
  }
  api::Response whole(http::Answer answer) override {
    response_.body = std::move(answer.body);
    return std::move(response_);
  }
  api::Response started() override { return response_; }
  void piece(std::string_view bytes, std::string& out) override { out += bytes; }
  void last(bool, std::string&) override {}
  void failed(api::Fault, std::string_view detail) override { failed_ = detail; }
  std::vector<std::unique_ptr<api::Forward>> ended(api::Ending) override { return {}; }

 private:
  api::Attempt attempt_;
  api::Response response_;
  std::string failed_;
};

}  // namespace

int main(int count, char** words) {
  const std::string to = count > 1 ? words[1] : "";
  if (to.find(':') == to.npos) {
    std::fprintf(stderr, "plain_proxy HOST:PORT\n");
    return 2;
  }
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  auto endpoint = std::make_shared<http::Endpoint>();
  endpoint->name = "mock";
  endpoint->host = to.substr(0, to.find(':'));
  endpoint->port = to.substr(to.find(':') + 1);
  endpoint->base_path = "/v1";
  Metrics metrics;
  const SystemClock clock;
  api::Route route{
      .method = "POST", .path = "/v1/chat/completions", .permission = api::Permission::infer};
  route.forward = [endpoint](const Call& call, api::Request& request) {
    return std::make_shared<Proxied>(endpoint, std::move(request.body), call.deadline);
  };
  const auto anybody = [](const api::Request&, api::Permission, Call&) { return Result<void>(); };
  net::Server server({.address = "127.0.0.1:0"}, {route}, anybody, metrics, clock);
  if (const auto started = server.start(); !started) {
    std::fprintf(stderr, "%s\n", started.error().message.c_str());
    return 1;
  }
  std::printf("http://%s\n", server.address().c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
  server.stop();
}
