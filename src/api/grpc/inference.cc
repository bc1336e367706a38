#include <open_inference.pb.h>

#include "api/grpc/codec.h"
#include "api/grpc/services.h"
#include "api/grpc/unary.h"
#include "api/http/system_routes.h"
#include "api/repository.h"

namespace penstock::api::grpc {
namespace {

using Place = Rpc::Place;

std::string path_of(std::string_view method) {
  return "/inference.GRPCInferenceService/" + std::string(method);
}

Rpc server_live() {
  using Out = inference::ServerLiveResponse;
  return rpc<inference::ServerLiveRequest, Out>(path_of("ServerLive"), Permission::open,
                                                Place::loop,
                                                [](const Asked&, auto&, Out& out) -> Result<void> {
                                                  out.set_live(true);
                                                  return {};
                                                });
}

Rpc server_ready() {
  using Out = inference::ServerReadyResponse;
  return rpc<inference::ServerReadyRequest, Out>(path_of("ServerReady"), Permission::open,
                                                 Place::loop,
                                                 [](const Asked&, auto&, Out& out) -> Result<void> {
                                                   out.set_ready(true);
                                                   return {};
                                                 });
}

Rpc server_metadata() {
  using Out = inference::ServerMetadataResponse;
  return rpc<inference::ServerMetadataRequest, Out>(
      path_of("ServerMetadata"), Permission::open, Place::loop,
      [](const Asked&, auto&, Out& out) -> Result<void> {
        out.set_name("penstock");
        out.set_version(std::string(version));
        for (const std::string_view extension : v2::extensions)
          out.add_extensions(std::string(extension));
        return {};
      });
}

// Whether, not why, as clients expect it: an unknown model is not ready.
Rpc model_ready(serving::Gateway& gateway) {
  using In = inference::ModelReadyRequest;
  using Out = inference::ModelReadyResponse;
  return rpc<In, Out>(path_of("ModelReady"), Permission::read, Place::loop,
                      [&](const Asked& asked, In& in, Out& out) -> Result<void> {
                        const auto ready = v2::ready(gateway, asked.call, in.name(), in.version());
                        out.set_ready(static_cast<bool>(ready));
                        return {};
                      });
}

Rpc model_metadata(serving::Gateway& gateway) {
  using In = inference::ModelMetadataRequest;
  using Out = inference::ModelMetadataResponse;
  return rpc<In, Out>(path_of("ModelMetadata"), Permission::read, Place::loop,
                      [&](const Asked& asked, In& in, Out& out) -> Result<void> {
                        const auto model =
                            TRY(v2::describe(gateway, asked.call, in.name(), in.version()));
                        out.set_name(model.name);
                        out.set_platform(model.platform);
                        for (const std::string& one : model.versions) out.add_versions(one);
                        const auto say = [](const infer::TensorInfo& tensor, auto& said) {
                          said.set_name(tensor.name);
                          said.set_datatype(tensor.datatype);
                          said.mutable_shape()->Add(tensor.shape.begin(), tensor.shape.end());
                        };
                        for (const infer::TensorInfo& tensor : model.inputs)
                          say(tensor, *out.add_inputs());
                        for (const infer::TensorInfo& tensor : model.outputs)
                          say(tensor, *out.add_outputs());
                        return {};
                      });
}

Result<void> infer(serving::Gateway& gateway, const Asked& asked, inference::ModelInferRequest& in,
                   inference::ModelInferResponse& out) {
  const bool is_typed = in.raw_input_contents_size() == 0;
  v2::InferBody body = TRY(take_body(in));
  // Metadata has no cookies by itself, but a caller may send the field as it is in HTTP.
  body.header = lookup_of(asked.head);
  v2::InferReply reply =
      TRY(v2::infer(gateway, asked.call, in.model_name(), in.model_version(), body, asked.bytes));
  TRY(write_answer(reply, !is_typed, out));
  asked.after = std::move(reply.after);
  return {};
}

Rpc model_infer(serving::Gateway& gateway) {
  using In = inference::ModelInferRequest;
  using Out = inference::ModelInferResponse;
  return rpc<In, Out>(
      path_of("ModelInfer"), Permission::infer, Place::brief,
      [&](const Asked& asked, In& in, Out& out) { return infer(gateway, asked, in, out); },
      [&](const Call& call, const In& in) {
        return gateway.is_brief(call, in.model_name(), !in.id().empty());
      });
}

Rpc model_stream_infer(serving::Gateway& gateway) {
  using In = inference::ModelInferRequest;
  using Out = inference::ModelStreamInferResponse;
  return stream<In, Out>(
      path_of("ModelStreamInfer"), Permission::infer, Place::brief,
      [&](const Asked& asked, In& in, Out& out) -> Result<void> {
        auto& answer = *out.mutable_infer_response();
        TRY(infer(gateway, asked, in, answer));
        // Callers that also ask models which answer in pieces look for it.
        (*answer.mutable_parameters())["triton_final_response"].set_bool_param(true);
        return {};
      },
      [&](const Call& call, const In& in) {
        return gateway.is_brief(call, in.model_name(), !in.id().empty());
      },
      [](const In& in, const std::string& error, Out& out) {
        out.Clear();
        out.set_error_message(error);
        out.mutable_infer_response()->set_id(in.id());
      });
}

void say(const v2::Statistics& one, inference::ModelStatistics& out) {
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

Rpc model_statistics(serving::Gateway& gateway) {
  using In = inference::ModelStatisticsRequest;
  using Out = inference::ModelStatisticsResponse;
  return rpc<In, Out>(path_of("ModelStatistics"), Permission::read, Place::loop,
                      [&](const Asked& asked, In& in, Out& out) -> Result<void> {
                        for (const v2::Statistics& one :
                             TRY(v2::statistics(gateway, asked.call, in.name(), in.version())))
                          say(one, *out.add_model_stats());
                        return {};
                      });
}

Rpc repository_index(serving::Service& service) {
  using In = inference::RepositoryIndexRequest;
  using Out = inference::RepositoryIndexResponse;
  return rpc<In, Out>(
      path_of("RepositoryIndex"), Permission::read, Place::worker,
      [&](const Asked& asked, In& in, Out& out) -> Result<void> {
        for (const auto& entry : TRY(v2::repository_index(service, asked.call, in.ready()))) {
          auto& said = *out.add_models();
          said.set_name(entry.name);
          said.set_version(entry.version);
          said.set_state(entry.state);
          said.set_reason(entry.reason);
        }
        return {};
      });
}

Rpc repository_load(serving::Service& service) {
  using In = inference::RepositoryModelLoadRequest;
  using Out = inference::RepositoryModelLoadResponse;
  return rpc<In, Out>(
      path_of("RepositoryModelLoad"), Permission::operate, Place::worker,
      [&](const Asked& asked, In& in, Out&) -> Result<void> {
        if (!in.parameters().empty())
          return Error{Code::invalid_argument,
                       "parameters " + in.parameters().begin()->first +
                           " is not offered: a version's files are those that were registered"};
        return v2::repository_load(service, asked.call, in.model_name());
      });
}

Rpc repository_unload(serving::Service& service) {
  using In = inference::RepositoryModelUnloadRequest;
  using Out = inference::RepositoryModelUnloadResponse;
  return rpc<In, Out>(path_of("RepositoryModelUnload"), Permission::operate, Place::worker,
                      [&](const Asked& asked, In& in, Out&) {
                        return v2::repository_unload(service, asked.call, in.model_name());
                      });
}

}  // namespace

std::vector<Rpc> inference_rpcs(serving::Gateway& gateway, serving::Service& service) {
  return {server_live(),
          server_ready(),
          server_metadata(),
          model_ready(gateway),
          model_metadata(gateway),
          model_infer(gateway),
          model_stream_infer(gateway),
          model_statistics(gateway),
          repository_index(service),
          repository_load(service),
          repository_unload(service)};
}

}  // namespace penstock::api::grpc
