// The HTTP edge: reads requests, finds their route, asks who may, runs the handler, writes the
// answer.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/route.h"
#include "api/rpc.h"
#include "base/metrics.h"
#include "net/upstream.h"

namespace penstock::net {

struct ServerOptions {
  std::string address =
      "127.0.0.1:8080";  // IP:PORT, [IPv6]:PORT or localhost:PORT; port 0: any free
  std::string grpc;      // the same for gRPC; empty: none
  int io_threads = 1;
  int workers = 8;
  std::size_t queue_max = 1'024;  // requests that wait for a worker; beyond it 503
  std::size_t connections_max = 4'096;
  std::size_t header_max = 64 << 10;
  std::size_t body_max = 64 << 20;  // after decoding, too; of a message of gRPC, either way
  std::int64_t stream_max = std::int64_t{100} << 30;  // a body that goes on while it comes
  // Streams under way, either way, each with a buffer of a megabyte; beyond it 503.
  std::size_t streams_max = 64;
  std::size_t detached_max = 256;  // forwarded calls that go on with no caller, as to shadows
  Micros header_time = std::chrono::seconds(15);
  // For a whole body; for each step of an answer; for each megabyte of a stream.
  Micros body_time = std::chrono::seconds(60);
  Micros idle_time = std::chrono::seconds(120);
  Micros request_time = std::chrono::seconds(60);   // the deadline where the caller gives none
  Micros request_time_max = std::chrono::hours(1);  // the longest that a caller may ask for
  Micros drain_time = std::chrono::seconds(10);
  // On stop, how long an open connection may still bring the request that is on its way.
  Micros linger_time = std::chrono::milliseconds(200);
};

// Who asks: fills actor, roles, tenant and project of the call, or says why they may not. Called on
// the event loop, so it must not wait.
using Authorize = std::function<Result<void>(const api::Request& request,
                                             api::Permission permission, Call& call)>;

class Server {
 public:
  // Calls that other servers answer go through `upstreams`; without them through its own. `rpcs`
  // are what gRPC has, where it has an address.
  Server(ServerOptions options, std::vector<api::Route> routes, Authorize authorize,
         Metrics& metrics, const Clock& clock, std::shared_ptr<Upstreams> upstreams = nullptr,
         std::vector<api::Rpc> rpcs = {});
  ~Server();

  // unavailable, with the address and the way out, where the port is taken.
  Result<void> start();
  std::string address() const;       // with the port that was really taken
  std::string grpc_address() const;  // the same; empty where there is none
  // Stops to accept, answers what is under way with "Connection: close" or GOAWAY, then closes.
  // What is not answered within the drain time is cut off; a handler that runs is waited for.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::net
