// What all connections of a server share: routes, limits, who may, and the way from request to
// answer.
#pragma once

#include <atomic>

#include "net/measures.h"
#include "net/pace.h"
#include "net/router.h"
#include "net/server.h"

namespace penstock::net {

// What a request's head decided.
struct Admission {
  const api::Route* route = nullptr;  // none: nothing at that path, or the head was bad
  Call call;
  std::optional<api::Response> refused;  // the answer, where the body need not be read
};

class Edge {
 public:
  Edge(ServerOptions options, std::vector<api::Route> routes, Authorize authorize, Metrics& metrics,
       const Clock& clock);

  // Reads the target, finds the route, asks who may. `request` has its method and headers; it gets
  // the rest of what a head says. Never waits.
  Admission admit(std::string_view target, bool http_1_0, api::Request& request) const;
  // Whether the answer may be made on the event loop.
  bool is_short(const Admission& admission, const api::Request& request) const;
  // The answer of an admitted request with its body. Blocks as the handler does; throws nothing.
  api::Response answer(const Admission& admission, api::Request& request) const;
  // The same in steps, for a route that takes its body while it comes.
  Result<std::unique_ptr<api::Intake>> open_intake(const Admission& admission,
                                                   const api::Request& request) const;
  Result<void> take(const Admission& admission, api::Intake& intake, std::string_view bytes) const;
  api::Response finish_intake(Admission& admission, api::Intake& intake,
                              const api::Request& request) const;
  // Bytes of an answer that is sent while it is read.
  Result<std::size_t> read(const Admission& admission, api::Source& source, char* to,
                           std::size_t most) const;
  // What is told where no worker is free.
  api::Response busy(std::string_view path) const;
  // The call that another server answers; or the answer, where that could not be made.
  std::shared_ptr<api::Forward> open_forward(const Admission& admission, api::Request& request,
                                             api::Response& refused) const;
  // What every answer gets: its id, its count, its line in the log.
  void finish(const Admission& admission, const api::Request& request, api::Response& response,
              double seconds);
  // The two halves of it, for an answer whose head goes out before its end is known.
  void sign(const Admission& admission, api::Response& response) const;
  void count(const Admission& admission, const api::Request& request, const api::Response& response,
             double seconds);

  const ServerOptions options;
  const Clock& clock;
  std::atomic<bool> draining{false};
  std::atomic<std::size_t> streams{0};
  std::atomic<std::size_t> detached{0};  // calls that go on with no caller

 private:
  api::Response unpack_run_pack(const Admission& admission, api::Request& request) const;
  api::Response run(const Admission& admission, const api::Request& request) const;
  Error threw(const Admission& admission, const std::exception* fault) const;

  Pace& pace(const Admission& admission) const;

  const Router router_;
  const Authorize authorize_;
  const std::unique_ptr<Pace[]> paces_;  // as the routes

 public:
  Measures measures;  // after the routes, which it refers to
};

// A place among the streams of a server; none where all are taken.
class StreamPlace {
 public:
  explicit StreamPlace(Edge* edge)
      : edge_(edge), taken_(edge && edge->streams++ < edge->options.streams_max) {}
  ~StreamPlace() {
    if (edge_) --edge_->streams;
  }
  StreamPlace(const StreamPlace&) = delete;
  explicit operator bool() const { return taken_; }

 private:
  Edge* const edge_;
  const bool taken_;
};

}  // namespace penstock::net
