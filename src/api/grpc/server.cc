#include "api/grpc/server.h"

#include <open_inference.grpc.pb.h>

#include "api/grpc/calls.h"
#include "api/grpc/codec.h"
#include "api/grpc/features.h"
#include "api/http/system_routes.h"
#include "api/repository.h"

namespace penstock::api::grpc {
namespace {

using ::grpc::CallbackServerContext;
using ::grpc::ServerUnaryReactor;

class Inference final : public inference::GRPCInferenceService::CallbackService {
 public:
  Inference(const ServerOptions& options, Served served, Authorize authorize, Post post,
            const Clock& clock)
      : gateway_(served.gateway),
        service_(served.serving),
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
      out->set_version(std::string(version));
      for (const std::string_view extension : v2::extensions)
        out->add_extensions(std::string(extension));
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
    return calls_.posted(
        *context, Permission::infer,
        [this, context, in, out](Reactor& reactor, const Call& call) {
          return infer(reactor, call, *context, *in, *out);
        },
        &pace_, in->ByteSizeLong(),
        [this, in](const Call& call) { return gateway_.is_brief(call, in->model_name()); });
  }

  ServerUnaryReactor* ModelStatistics(CallbackServerContext* context,
                                      const inference::ModelStatisticsRequest* in,
                                      inference::ModelStatisticsResponse* out) override {
    return calls_.now(*context, Permission::read, [&](const Call& call) -> Result<void> {
      for (const v2::Statistics& one :
           TRY(v2::statistics(gateway_, call, in->name(), in->version())))
        say(one, *out->add_model_stats());
      return {};
    });
  }

  static void say(const v2::Statistics& one, inference::ModelStatistics& out) {
    out.set_name(one.route);
    out.set_version(one.version);
    out.set_last_inference(static_cast<std::uint64_t>(one.last_ms));
    out.set_inference_count(static_cast<std::uint64_t>(one.rows));
    out.set_execution_count(static_cast<std::uint64_t>(one.calls));
    auto& all = *out.mutable_inference_stats();
    const auto put = [](inference::StatisticDuration& to, std::int64_t count, std::int64_t micros) {
      to.set_count(static_cast<std::uint64_t>(count));
      to.set_ns(static_cast<std::uint64_t>(micros) * 1'000);
    };
    put(*all.mutable_success(), one.calls, one.micros);
    put(*all.mutable_fail(), one.errors, one.error_micros);
    put(*all.mutable_compute_input(), one.calls, one.feature_micros);
    put(*all.mutable_compute_infer(), one.calls, one.model_micros);
  }

  ServerUnaryReactor* RepositoryIndex(CallbackServerContext* context,
                                      const inference::RepositoryIndexRequest* in,
                                      inference::RepositoryIndexResponse* out) override {
    return calls_.posted(
        *context, Permission::read, [this, in, out](Reactor&, const Call& call) -> Result<void> {
          for (const auto& entry : TRY(v2::repository_index(service_, call, in->ready()))) {
            auto& said = *out->add_models();
            said.set_name(entry.name);
            said.set_version(entry.version);
            said.set_state(entry.state);
            said.set_reason(entry.reason);
          }
          return {};
        });
  }

  ServerUnaryReactor* RepositoryModelLoad(CallbackServerContext* context,
                                          const inference::RepositoryModelLoadRequest* in,
                                          inference::RepositoryModelLoadResponse*) override {
    return calls_.posted(
        *context, Permission::operate, [this, in](Reactor&, const Call& call) -> Result<void> {
          if (!in->parameters().empty())
            return Error{Code::invalid_argument,
                         "parameters " + in->parameters().begin()->first +
                             " is not offered: a version's files are those that were registered"};
          return v2::repository_load(service_, call, in->model_name());
        });
  }

  ServerUnaryReactor* RepositoryModelUnload(CallbackServerContext* context,
                                            const inference::RepositoryModelUnloadRequest* in,
                                            inference::RepositoryModelUnloadResponse*) override {
    return calls_.posted(*context, Permission::operate, [this, in](Reactor&, const Call& call) {
      return v2::repository_unload(service_, call, in->model_name());
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
  serving::Service& service_;
  const Calls calls_;
  Pace pace_;
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
        inference(options, served, authorize, post, clock),
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
