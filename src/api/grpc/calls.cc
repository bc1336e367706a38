#include "api/grpc/calls.h"

#include <algorithm>

#include "base/id.h"
#include "base/log.h"

namespace penstock::api::grpc {
namespace {

using ::grpc::StatusCode;

StatusCode status_code(Code code) {
  switch (code) {
    case Code::invalid_argument: return StatusCode::INVALID_ARGUMENT;
    case Code::unauthenticated: return StatusCode::UNAUTHENTICATED;
    case Code::permission_denied: return StatusCode::PERMISSION_DENIED;
    case Code::not_found: return StatusCode::NOT_FOUND;
    case Code::already_exists: return StatusCode::ALREADY_EXISTS;
    case Code::failed_precondition: return StatusCode::FAILED_PRECONDITION;
    case Code::resource_exhausted: return StatusCode::RESOURCE_EXHAUSTED;
    case Code::deadline_exceeded: return StatusCode::DEADLINE_EXCEEDED;
    case Code::unavailable: return StatusCode::UNAVAILABLE;
    case Code::data_loss: return StatusCode::DATA_LOSS;
    case Code::internal: return StatusCode::INTERNAL;
  }
  return StatusCode::INTERNAL;
}

// What comes with a few rows, as at the HTTP edge.
constexpr std::size_t brief_bytes = 4 << 10;
// A status travels in a header: longer ones are cut off by some proxies.
constexpr std::size_t message_max = 4'000;

// What work throws is a fault of ours, and only this call's.
template <class Work>
Result<void> guarded(Work work) {
  try {
    return work();
  } catch (const std::exception& fault) {
    log::error("handler_threw", {{"path", "grpc"}, {"error", fault.what()}});
    return Error{Code::internal, "an internal error; the log says more"};
  }
}

}  // namespace

::grpc::Status status_of(const Result<void>& result) {
  if (result) return ::grpc::Status::OK;
  return {status_code(result.error().code), result.error().message.substr(0, message_max)};
}

void Reactor::OnDone() {
  if (after_ && !post_(std::move(after_))) log::warn("shadow_dropped", {{"reason", "busy"}});
  delete this;  // gRPC's own way to end a reactor
}

Reactor* Calls::now(const Context& context, Permission permission,
                    const std::function<Result<void>(const Call&)>& work) const {
  auto* reactor = new Reactor(post_);
  reactor->answer(guarded([&]() -> Result<void> {
    const Call call = TRY(call_of(context, permission));
    return work(call);
  }));
  return reactor;
}

Reactor* Calls::posted(const Context& context, Permission permission,
                       std::function<Result<void>(Reactor&, const Call&)> work, Pace* pace,
                       std::size_t bytes, const std::function<bool(const Call&)>& brief_for) const {
  auto* reactor = new Reactor(post_);
  auto call = call_of(context, permission);
  if (!call) {
    reactor->answer(call.error());
    return reactor;
  }
  const bool may_be_here =
      pace && bytes <= brief_bytes && (!brief_for || brief_for(*call)) && pace->is_brief();
  auto run = [this, reactor, pace, call = std::move(*call), work = std::move(work)] {
    const auto start = std::chrono::steady_clock::now();
    const auto done = guarded([&]() -> Result<void> {
      if (call.deadline <= clock_.now())
        return Error{Code::deadline_exceeded, "the deadline passed before the call was begun"};
      return work(*reactor, call);
    });
    const auto took = std::chrono::steady_clock::now() - start;
    if (pace) pace->took(std::chrono::duration_cast<Micros>(took).count());
    reactor->answer(done);  // past this line it may be gone
  };
  if (may_be_here) {
    run();
    return reactor;
  }
  if (!post_(std::move(run)))
    reactor->answer(
        Error{Code::resource_exhausted, "too many requests wait already; try again in a second"});
  return reactor;
}

Result<Call> Calls::call_of(const Context& context, Permission permission) const {
  Request request{.method = "POST", .path = service_};
  for (const auto& [name, value] : context.client_metadata())
    request.headers.emplace_back(std::string(name.data(), name.size()),
                                 std::string(value.data(), value.size()));
  Call call;
  const std::string* id = request.header("x-request-id");
  const bool plain = id && !id->empty() && id->size() <= 200 &&
                     std::all_of(id->begin(), id->end(), [](char c) { return c > ' ' && c < 127; });
  call.request_id = plain ? *id : new_ulid(clock_.now());
  if (const std::string* trace = request.header("traceparent")) call.trace = *trace;
  call.deadline = clock_.now() + time_left(context);
  TRY(authorize_(request, permission, call));
  return call;
}

Micros Calls::time_left(const Context& context) const {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return options_.request_time;
  const auto left = std::chrono::duration_cast<Micros>(deadline - clock_.now());
  return std::clamp(left, Micros(0), options_.request_time_max);
}

}  // namespace penstock::api::grpc
