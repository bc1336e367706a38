#include "api/grpc/server.h"

#include <algorithm>

#include <grpcpp/grpcpp.h>
#include <open_inference.grpc.pb.h>

#include "api/grpc/codec.h"
#include "base/id.h"
#include "base/log.h"

namespace penstock::api::grpc {
namespace {

using ::grpc::CallbackServerContext;
using ::grpc::ServerUnaryReactor;
using ::grpc::Status;
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

// A status travels in a header: longer ones are cut off by some proxies.
constexpr std::size_t message_max = 4'000;

Status status_of(const Result<void>& result) {
  if (result) return Status::OK;
  return {status_code(result.error().code), result.error().message.substr(0, message_max)};
}

// The answer's own work (shadows) begins only when the answer is out.
class Reactor : public ServerUnaryReactor {
 public:
  explicit Reactor(const Post& post) : post_(post) {}
  void answer(const Result<void>& result) { Finish(status_of(result)); }
  void after(std::function<void()> work) { after_ = std::move(work); }

 private:
  void OnDone() override {
    if (after_ && !post_(std::move(after_))) log::warn("shadow_dropped", {{"reason", "busy"}});
    delete this;  // gRPC's own way to end a reactor
  }
  const Post& post_;
  std::function<void()> after_;
};

class Service final : public inference::GRPCInferenceService::CallbackService {
 public:
  Service(const ServerOptions& options, serving::Gateway& gateway, Authorize authorize, Post post,
          const Clock& clock)
      : options_(options),
        gateway_(gateway),
        authorize_(std::move(authorize)),
        post_(std::move(post)),
        clock_(clock) {}

 private:
  // Work that never waits, on gRPC's own thread. What it throws is a fault of ours, and only this
  // call's.
  template <class Work>
  ServerUnaryReactor* now(CallbackServerContext* context, Permission permission, Work work) {
    auto* reactor = new Reactor(post_);
    reactor->answer(guarded([&]() -> Result<void> {
      const Call call = TRY(call_of(*context, permission));
      return work(call);
    }));
    return reactor;
  }

  template <class Work>
  static Result<void> guarded(Work work) {
    try {
      return work();
    } catch (const std::exception& fault) {
      log::error("handler_threw", {{"path", "grpc"}, {"error", fault.what()}});
      return Error{Code::internal, "an internal error; the log says more"};
    }
  }

  Result<Call> call_of(const CallbackServerContext& context, Permission permission) const {
    Request request{.method = "POST", .path = "/inference.GRPCInferenceService"};
    for (const auto& [name, value] : context.client_metadata())
      request.headers.emplace_back(std::string(name.data(), name.size()),
                                   std::string(value.data(), value.size()));
    Call call;
    const std::string* id = request.header("x-request-id");
    const bool plain =
        id && !id->empty() && id->size() <= 200 &&
        std::all_of(id->begin(), id->end(), [](char c) { return c > ' ' && c < 127; });
    call.request_id = plain ? *id : new_ulid(clock_.now());
    if (const std::string* trace = request.header("traceparent")) call.trace = *trace;
    call.deadline = clock_.now() + time_left(context);
    TRY(authorize_(request, permission, call));
    return call;
  }

  Micros time_left(const CallbackServerContext& context) const {
    const auto deadline = context.deadline();
    if (deadline == std::chrono::system_clock::time_point::max()) return options_.request_time;
    const auto left = std::chrono::duration_cast<Micros>(deadline - clock_.now());
    return std::clamp(left, Micros(0), options_.request_time_max);
  }

  ServerUnaryReactor* ServerLive(CallbackServerContext* context,
                                 const inference::ServerLiveRequest*,
                                 inference::ServerLiveResponse* out) override {
    return now(context, Permission::open, [&](const Call&) -> Result<void> {
      out->set_live(true);
      return {};
    });
  }

  ServerUnaryReactor* ServerReady(CallbackServerContext* context,
                                  const inference::ServerReadyRequest*,
                                  inference::ServerReadyResponse* out) override {
    return now(context, Permission::open, [&](const Call&) -> Result<void> {
      out->set_ready(true);
      return {};
    });
  }

  ServerUnaryReactor* ServerMetadata(CallbackServerContext* context,
                                     const inference::ServerMetadataRequest*,
                                     inference::ServerMetadataResponse* out) override {
    return now(context, Permission::open, [&](const Call&) -> Result<void> {
      out->set_name("penstock");
      out->set_version("2");
      return {};
    });
  }

  // Whether, not why, as clients expect it: an unknown model is not ready.
  ServerUnaryReactor* ModelReady(CallbackServerContext* context,
                                 const inference::ModelReadyRequest* in,
                                 inference::ModelReadyResponse* out) override {
    return now(context, Permission::read, [&](const Call& call) -> Result<void> {
      const auto ready = v2::ready(gateway_, call, in->name(), in->version());
      out->set_ready(static_cast<bool>(ready));
      return {};
    });
  }

  ServerUnaryReactor* ModelMetadata(CallbackServerContext* context,
                                    const inference::ModelMetadataRequest* in,
                                    inference::ModelMetadataResponse* out) override {
    return now(context, Permission::read, [&](const Call& call) -> Result<void> {
      const auto model = TRY(v2::describe(gateway_, call, in->name(), in->version()));
      out->set_name(model.name);
      out->set_platform(model.platform);
      for (const std::string& version : model.versions) out->add_versions(version);
      const auto say = [](const infer::TensorInfo& tensor, auto& said) {
        said.set_name(tensor.name);
        said.set_datatype(tensor.datatype);
        said.mutable_shape()->Add(tensor.shape.begin(), tensor.shape.end());
      };
      for (const infer::TensorInfo& tensor : model.inputs) say(tensor, *out->add_inputs());
      for (const infer::TensorInfo& tensor : model.outputs) say(tensor, *out->add_outputs());
      return {};
    });
  }

  ServerUnaryReactor* ModelInfer(CallbackServerContext* context,
                                 const inference::ModelInferRequest* in,
                                 inference::ModelInferResponse* out) override {
    auto* reactor = new Reactor(post_);
    auto call = call_of(*context, Permission::infer);
    if (!call) {
      reactor->answer(call.error());
      return reactor;
    }
    const auto work = [this, reactor, in, out, call = std::move(*call)] {
      // Past this line the reactor may be gone.
      reactor->answer(guarded([&] { return infer(*reactor, call, *in, *out); }));
    };
    if (!post_(work))
      reactor->answer(
          Error{Code::resource_exhausted, "too many requests wait already; try again in a second"});
    return reactor;
  }

  Result<void> infer(Reactor& reactor, const Call& call, const inference::ModelInferRequest& in,
                     inference::ModelInferResponse& out) const {
    if (call.deadline <= clock_.now())
      return Error{Code::deadline_exceeded, "the deadline passed before the call was begun"};
    v2::InferBody body = TRY(read_body(in));
    v2::InferReply reply = TRY(
        v2::infer(gateway_, call, in.model_name(), in.model_version(), body, in.ByteSizeLong()));
    const bool typed = in.raw_input_contents_size() == 0;
    TRY(write_answer(reply, !typed, out));
    reactor.after(std::move(reply.after));
    return {};
  }

  const ServerOptions& options_;
  serving::Gateway& gateway_;
  const Authorize authorize_;
  const Post post_;
  const Clock& clock_;
};

}  // namespace

struct Server::State {
  ServerOptions options;
  Service service;
  std::unique_ptr<::grpc::Server> server;
  std::string address;

  State(ServerOptions given, serving::Gateway& gateway, Authorize authorize, Post post,
        const Clock& clock)
      : options(std::move(given)),
        service(options, gateway, std::move(authorize), std::move(post), clock) {}
};

Server::Server(ServerOptions options, serving::Gateway& gateway, Authorize authorize, Post post,
               const Clock& clock)
    : state_(std::make_unique<State>(std::move(options), gateway, std::move(authorize),
                                     std::move(post), clock)) {}
Server::~Server() { stop(); }

Result<void> Server::start() {
  State& state = *state_;
  ::grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(state.options.address, ::grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(state.options.message_max);
  builder.SetMaxSendMessageSize(state.options.message_max);
  // Without it a second server would take half of the first one's calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&state.service);
  state.server = builder.BuildAndStart();
  if (!state.server || port == 0)
    return Error{Code::unavailable,
                 "cannot listen on " + state.options.address +
                     "; stop what listens there or choose another address with --grpc"};
  state.address = state.options.address.substr(0, state.options.address.rfind(':')) + ":" +
                  std::to_string(port);
  return {};
}

std::string Server::address() const { return state_->address; }

void Server::stop() {
  if (!state_->server) return;
  const std::chrono::system_clock::time_point end =
      SystemClock().now() + state_->options.drain_time;
  state_->server->Shutdown(end);
  state_->server->Wait();
  state_->server.reset();
}

}  // namespace penstock::api::grpc
