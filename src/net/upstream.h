// What all event loops share of the servers that calls are sent on to, and the blocking way to
// them.
#pragma once

#include <memory>
#include <mutex>

#include "base/metrics.h"
#include "ports/http.h"

namespace penstock::net {

struct UpstreamOptions {
  Micros keep_time = std::chrono::seconds(60);  // how long an unused connection stays open
  std::size_t head_max = 64 << 10;              // of an answer
  std::size_t names_max = 1'024;                // of hosts whose addresses are remembered
  Micros name_time = std::chrono::seconds(30);  // how long an address is good
};

class Origins;

// As a Caller it has a loop and a thread of its own, from the first call on, so it needs no server.
// A server that is given it sends from its own loops; connections are counted together.
class Upstreams final : public http::Caller {
 public:
  Upstreams(Metrics& metrics, const Clock& clock, UpstreamOptions options = {});
  // No call may be under way any more.
  ~Upstreams() override;

  Result<http::Answer> send(const std::shared_ptr<const http::Endpoint>& endpoint,
                            const http::Request& request, Timestamp deadline) override;

  Origins& origins() { return *origins_; }

 private:
  struct Own;
  Own& own();

  const Clock& clock_;
  const std::unique_ptr<Origins> origins_;
  std::once_flag begun_;
  std::unique_ptr<Own> own_;
};

}  // namespace penstock::net
