#include "net/rpc_edge.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "base/id.h"
#include "base/log.h"
#include "net/gzip.h"

namespace penstock::net {
namespace {

// As at the HTTP edge: beyond it reading would hold up the other connections of the loop, and what
// is brief comes with a few rows.
constexpr std::size_t short_message = 64 << 10, brief_message = 32 << 10;

bool is_plain(std::string_view id) {
  return !id.empty() && id.size() <= 200 &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 127; });
}

}  // namespace

RpcEdge::RpcEdge(std::vector<api::Rpc> methods, Authorize authorize, const ServerOptions& options,
                 const Clock& clock)
    : methods_(std::move(methods)),
      paces_(std::make_unique<Pace[]>(methods_.size())),
      authorize_(std::move(authorize)),
      options_(options),
      clock_(clock) {
  for (std::size_t i = 0; i < methods_.size(); ++i) by_path_.emplace(methods_[i].path, i);
}

RpcStatus RpcEdge::admit(RpcJob& job) const {
  const auto found = by_path_.find(job.path);
  if (found == by_path_.end()) return {RpcCode::unimplemented, "there is no method " + job.path};
  job.method = found->second;
  job.head.method = "POST";
  job.head.path = job.path;
  Call& call = job.call;
  const std::string* id = job.head.header("x-request-id");
  call.request_id = id && is_plain(*id) ? *id : new_ulid(clock_.now());
  if (const std::string* trace = job.head.header("traceparent"); trace && is_plain(*trace))
    call.trace = *trace;
  const api::Rpc& method = methods_[job.method];
  Micros time = options_.request_time;
  if (const std::string* asked = job.head.header("grpc-timeout")) {
    const auto read = rpc_timeout(*asked);
    if (!read)
      return {RpcCode::invalid_argument,
              "grpc-timeout must be 1 to 8 digits and H, M, S, m, u or n, not " + *asked};
    time = method.is_stream ? *read : std::min(*read, options_.request_time_max);
    call.deadline = clock_.now() + time;
  } else {
    // A stream may go on; what it brings may not.
    call.deadline = method.is_stream ? Timestamp::max() : clock_.now() + time;
  }
  if (const auto allowed = authorize_(job.head, method.permission, call); !allowed)
    return status_of(allowed.error());
  job.work = method.open();
  return {};
}

RpcStatus RpcEdge::admit_message(const RpcJob& whole, RpcJob& job) const {
  job.method = whole.method;
  job.path = whole.path;
  job.head = whole.head;
  job.work = methods_[job.method].open();
  job.call.request_id = new_ulid(clock_.now());
  job.call.trace = whole.call.trace;
  job.call.deadline = std::min(whole.call.deadline, clock_.now() + options_.request_time);
  // A stream may outlive the token that opened it.
  const auto allowed = authorize_(job.head, methods_[job.method].permission, job.call);
  return allowed ? RpcStatus{} : status_of(allowed.error());
}

template <class Work>
RpcStatus RpcEdge::guarded(const RpcJob& job, Work work) const {
  const auto threw = [&](const char* fault) {
    log::error("handler_threw",
               {{"request_id", job.call.request_id}, {"path", job.path}, {"error", fault}});
    return RpcStatus{RpcCode::internal,
                     "something broke inside; the log has it under request " + job.call.request_id};
  };
  try {
    const Result<void> done = work();
    return done ? RpcStatus{} : status_of(done.error());
  } catch (const std::bad_alloc&) {
    return {RpcCode::unavailable, "there is no memory for this request now"};
  } catch (const std::exception& fault) {
    return threw(fault.what());
  } catch (...) {
    return threw("no std::exception");
  }
}

bool RpcEdge::is_short(RpcJob& job) const {
  if (job.is_packed || job.message.size() > short_message) return false;
  const api::Rpc::Place place = methods_[job.method].place;
  if (place == api::Rpc::Place::worker) return false;
  if (place == api::Rpc::Place::brief && job.message.size() > brief_message) return false;
  job.status = guarded(job, [&] { return unpack_and_read(job); });
  if (!job.status.ok() || place == api::Rpc::Place::loop) return true;
  return job.work->is_brief(job.call) && paces_[job.method].is_brief();
}

Result<void> RpcEdge::unpack_and_read(RpcJob& job) const {
  if (job.is_packed) {
    job.message = TRY(inflated(job.message, options_.body_max));
    job.is_packed = false;
  }
  TRY(job.work->read(job.message));
  job.message = {};
  return {};
}

Result<void> RpcEdge::run(RpcJob& job) const {
  if (clock_.now() > job.call.deadline)
    return Error{Code::deadline_exceeded, "the deadline passed before the call was begun"};
  if (!job.message.empty() || job.is_packed) TRY(unpack_and_read(job));
  if (methods_[job.method].place == api::Rpc::Place::brief) {
    const auto start = std::chrono::steady_clock::now();
    const auto done = job.work->run(job.call, job.head);
    const auto took = std::chrono::steady_clock::now() - start;
    paces_[job.method].took(std::chrono::duration_cast<Micros>(took).count());
    TRY(done);
  } else {
    TRY(job.work->run(job.call, job.head));
  }
  return write(job);
}

Result<void> RpcEdge::write(RpcJob& job) const {
  const std::size_t size = job.work->size();
  if (size > options_.body_max)
    return Error{Code::resource_exhausted, "the answer is " + std::to_string(size) +
                                               " bytes; at most " +
                                               std::to_string(options_.body_max) + " are sent"};
  job.answer = std::make_unique_for_overwrite<char[]>(RpcInbox::prefix_size + size);
  put_prefix(size, job.answer.get());
  job.work->write(job.answer.get() + RpcInbox::prefix_size);
  job.answer_size = RpcInbox::prefix_size + size;
  return {};
}

Result<void> RpcEdge::tell(RpcJob& job) const {
  if (!job.work) job.work = methods_[job.method].open();
  job.work->tell(job.status.message);
  return write(job);
}

void RpcEdge::answer(RpcJob& job) const {
  if (job.status.ok()) job.status = guarded(job, [&] { return run(job); });
  note(job);
  if (!job.status.ok() && is_stream(job)) job.status = guarded(job, [&] { return tell(job); });
}

void RpcEdge::note(const RpcJob& job) const {
  const bool broke =
      job.status.code == RpcCode::internal || job.status.code == RpcCode::unavailable;
  const log::Level level = broke ? log::Level::info : log::Level::debug;
  if (!log::enabled(level)) return;
  json::object line{{"request_id", job.call.request_id},
                    {"path", job.path},
                    {"code", static_cast<int>(job.status.code)},
                    {"actor", job.call.actor}};
  if (!job.call.trace.empty()) line["trace"] = job.call.trace;
  if (broke) line["answer"] = job.status.message.substr(0, 500);
  log::write(level, "grpc_call", line);
}

}  // namespace penstock::net
