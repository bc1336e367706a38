#include "api/grpc/server.h"

#include <open_inference.grpc.pb.h>

#include "api/grpc/calls.h"
#include "api/grpc/codec.h"
#include "api/grpc/features.h"

namespace penstock::api::grpc {
namespace {

using ::grpc::CallbackServerContext;
using ::grpc::ServerUnaryReactor;

class Inference final : public inference::GRPCInferenceService::CallbackService {
 public:
  Inference(const ServerOptions& options, serving::Gateway& gateway, Authorize authorize, Post post,
            const Clock& clock)
      : gateway_(gateway),
        calls_(options, "/inference.GRPCInferenceService", std::move(authorize), std::move(post),
               clock) {}

 private:
  ServerUnaryReactor* ServerLive(CallbackServerContext* context,
                                 const inference::ServerLiveRequest*,
                                 inference::ServerLiveResponse* out) override {
    return calls_.now(*context, Permission::open, [&](const Call&) -> Result<void> {
      out->set_live(true);
      return {};
    });
  }

  ServerUnaryReactor* ServerReady(CallbackServerContext* context,
                                  const inference::ServerReadyRequest*,
                                  inference::ServerReadyResponse* out) override {
    return calls_.now(*context, Permission::open, [&](const Call&) -> Result<void> {
      out->set_ready(true);
      return {};
    });
  }

  ServerUnaryReactor* ServerMetadata(CallbackServerContext* context,
                                     const inference::ServerMetadataRequest*,
                                     inference::ServerMetadataResponse* out) override {
    return calls_.now(*context, Permission::open, [&](const Call&) -> Result<void> {
      out->set_name("penstock");
      out->set_version("2");
      return {};
    });
  }

  // Whether, not why, as clients expect it: an unknown model is not ready.
  ServerUnaryReactor* ModelReady(CallbackServerContext* context,
                                 const inference::ModelReadyRequest* in,
                                 inference::ModelReadyResponse* out) override {
    return calls_.now(*context, Permission::read, [&](const Call& call) -> Result<void> {
      const auto ready = v2::ready(gateway_, call, in->name(), in->version());
      out->set_ready(static_cast<bool>(ready));
      return {};
    });
  }

  ServerUnaryReactor* ModelMetadata(CallbackServerContext* context,
                                    const inference::ModelMetadataRequest* in,
                                    inference::ModelMetadataResponse* out) override {
    return calls_.now(*context, Permission::read, [&](const Call& call) -> Result<void> {
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
    return calls_.posted(*context, Permission::infer,
                         [this, context, in, out](Reactor& reactor, const Call& call) {
                           return infer(reactor, call, *context, *in, *out);
                         });
  }

  Result<void> infer(Reactor& reactor, const Call& call, const CallbackServerContext& context,
                     const inference::ModelInferRequest& in,
                     inference::ModelInferResponse& out) const {
    v2::InferBody body = TRY(read_body(in));
    // Metadata has no cookies by itself, but a caller may send the field as it is in HTTP.
    body.header = [&metadata = context.client_metadata()](std::string_view name) {
      const auto found = metadata.find(::grpc::string_ref(name.data(), name.size()));
      return found == metadata.end() ? std::string_view()
                                     : std::string_view(found->second.data(), found->second.size());
    };
    v2::InferReply reply = TRY(
        v2::infer(gateway_, call, in.model_name(), in.model_version(), body, in.ByteSizeLong()));
    const bool typed = in.raw_input_contents_size() == 0;
    TRY(write_answer(reply, !typed, out));
    reactor.after(std::move(reply.after));
    return {};
  }

  serving::Gateway& gateway_;
  const Calls calls_;
};

}  // namespace

struct Server::State {
  ServerOptions options;
  Inference inference;
  Features features;
  std::unique_ptr<::grpc::Server> server;
  std::string address;

  State(ServerOptions given, Served served, const Authorize& authorize, const Post& post,
        const Clock& clock)
      : options(std::move(given)),
        inference(options, served.gateway, authorize, post, clock),
        features(options, served.features, authorize, post, clock) {}
};

Server::Server(ServerOptions options, Served served, Authorize authorize, Post post,
               const Clock& clock)
    : state_(std::make_unique<State>(std::move(options), served, authorize, post, clock)) {}
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
  builder.RegisterService(&state.inference);
  builder.RegisterService(&state.features);
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
