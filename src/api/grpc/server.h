// The gRPC port: the Open Inference Protocol (inference.GRPCInferenceService) and online features
// (penstock.features.v1.FeatureService).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/route.h"
#include "base/time.h"
#include "features/service.h"
#include "serving/gateway.h"
#include "serving/service.h"

namespace penstock::api::grpc {

struct ServerOptions {
  std::string address = "127.0.0.1:8001";           // IP:PORT; port 0: any free
  int message_max = 64 << 20;                       // bytes, of a request and of an answer
  Micros request_time = std::chrono::seconds(60);   // the deadline where the caller gives none
  Micros request_time_max = std::chrono::hours(1);  // the longest that a caller may ask for
  Micros drain_time = std::chrono::seconds(10);
};

// As the HTTP edge asks it: metadata are the request's headers.
using Authorize =
    std::function<Result<void>(const Request& request, Permission permission, Call& call)>;
// Runs work on a thread that may wait; false where too much waits already.
using Post = std::function<bool(std::function<void()> work)>;

// Whom the services ask.
struct Served {
  serving::Gateway& gateway;
  serving::Service& serving;
  features::Service& features;
};

class Server {
 public:
  Server(ServerOptions options, Served served, Authorize authorize, Post post, const Clock& clock);
  ~Server();

  // unavailable, with the address and the way out, where the port is taken.
  Result<void> start();
  std::string address() const;  // with the port that was really taken
  // Refuses what is new, answers what is under way; what is not answered within the drain time is
  // cut off. Before the threads end that `post` hands work to.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::api::grpc
