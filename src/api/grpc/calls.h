// What all gRPC services share: who calls and until when, the thread that answers, and how a call
// ends.
#pragma once

#include <grpcpp/grpcpp.h>

#include "api/grpc/server.h"
#include "base/pace.h"

namespace penstock::api::grpc {

::grpc::Status status_of(const Result<void>& result);

// The answer's own work (shadows) begins only when the answer is out.
class Reactor : public ::grpc::ServerUnaryReactor {
 public:
  explicit Reactor(const Post& post) : post_(post) {}
  void answer(const Result<void>& result) { Finish(status_of(result)); }
  void after(std::function<void()> work) { after_ = std::move(work); }

 private:
  void OnDone() override;
  const Post& post_;
  std::function<void()> after_;
};

class Calls {
 public:
  using Context = ::grpc::CallbackServerContext;

  Calls(const ServerOptions& options, std::string service, Authorize authorize, Post post,
        const Clock& clock)
      : options_(options),
        service_(std::move(service)),
        authorize_(std::move(authorize)),
        post_(std::move(post)),
        clock_(clock) {}

  // `work` (const Call&) never waits: it runs on gRPC's own thread.
  Reactor* now(const Context& context, Permission permission,
               const std::function<Result<void>(const Call&)>& work) const;
  // `work` runs on a thread that may wait, or on gRPC's own where `pace` is told and it is seen to
  // be short, if `brief_for` allows it. The request, of so many bytes, and the answer live until it
  // returns.
  Reactor* posted(const Context& context, Permission permission,
                  std::function<Result<void>(Reactor&, const Call&)> work, Pace* pace = nullptr,
                  std::size_t bytes = 0,
                  const std::function<bool(const Call&)>& brief_for = {}) const;

 private:
  Result<Call> call_of(const Context& context, Permission permission) const;
  Micros time_left(const Context& context) const;

  const ServerOptions& options_;
  const std::string service_;
  const Authorize authorize_;
  const Post post_;
  const Clock& clock_;
};

}  // namespace penstock::api::grpc
