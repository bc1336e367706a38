// V2 over gRPC.
#include <chrono>
#include <fstream>
#include <iterator>
#include <mutex>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <open_inference.grpc.pb.h>

#include "adapters/kserve/codec.h"
#include "adapters/kserve/kserve.h"
#include "base/log.h"

namespace penstock::kserve {
namespace {

using inference::GRPCInferenceService;
using inference::InferTensorContents;

template <class T, class Values>
void take(const Values& values, std::string& out) {
  for (const auto value : values) {
    const auto narrow = static_cast<T>(value);
    out.append(reinterpret_cast<const char*>(&narrow), sizeof narrow);
  }
}

void take_contents(const InferTensorContents& from, infer::Tensor& out) {
  const std::string& type = out.datatype;
  if (type == "BOOL") take<std::uint8_t>(from.bool_contents(), out.bytes);
  if (type == "INT8") take<std::int8_t>(from.int_contents(), out.bytes);
  if (type == "INT16") take<std::int16_t>(from.int_contents(), out.bytes);
  if (type == "INT32") take<std::int32_t>(from.int_contents(), out.bytes);
  if (type == "INT64") take<std::int64_t>(from.int64_contents(), out.bytes);
  if (type == "UINT8") take<std::uint8_t>(from.uint_contents(), out.bytes);
  if (type == "UINT16") take<std::uint16_t>(from.uint_contents(), out.bytes);
  if (type == "UINT32") take<std::uint32_t>(from.uint_contents(), out.bytes);
  if (type == "UINT64") take<std::uint64_t>(from.uint64_contents(), out.bytes);
  if (type == "FP32") take<float>(from.fp32_contents(), out.bytes);
  if (type == "FP64") take<double>(from.fp64_contents(), out.bytes);
  if (type == "BYTES")
    for (const std::string& text : from.bytes_contents()) infer::append_text(text, out.bytes);
}

// Which of them may be left out, the protocol does not say: the server will.
std::vector<infer::TensorInfo> infos_of(const auto& listed) {
  std::vector<infer::TensorInfo> out;
  for (const auto& one : listed)
    out.push_back({.name = one.name(),
                   .datatype = one.datatype(),
                   .shape = {one.shape().begin(), one.shape().end()},
                   .optional = true});
  return out;
}

// gRPC says that a handshake failed, at best why, and never what would have been right.
std::string way_out(const http::Endpoint& endpoint, const std::string& said) {
  const bool is_tls = endpoint.tls && (said.find("handshake failed") != std::string::npos ||
                                       said.find("peer certificate") != std::string::npos);
  if (!is_tls) return "";
  const std::string authorities =
      endpoint.ca_file.empty() ? "the system (upstreams.ca_file names others)" : endpoint.ca_file;
  return "; it must speak TLS, with a certificate of " + endpoint.host +
         " that is valid now, by an authority of " + authorities;
}

Error fault_of(const http::Endpoint& endpoint, const ::grpc::Status& status) {
  using ::grpc::StatusCode;
  const StatusCode said = status.error_code();
  const Code code =
      said == StatusCode::INVALID_ARGUMENT || said == StatusCode::OUT_OF_RANGE
          ? Code::invalid_argument
      : said == StatusCode::UNAUTHENTICATED || said == StatusCode::PERMISSION_DENIED ||
              said == StatusCode::NOT_FOUND || said == StatusCode::UNIMPLEMENTED ||
              said == StatusCode::FAILED_PRECONDITION
          ? Code::failed_precondition
      : said == StatusCode::RESOURCE_EXHAUSTED                           ? Code::resource_exhausted
      : said == StatusCode::DEADLINE_EXCEEDED                            ? Code::deadline_exceeded
      : said == StatusCode::UNAVAILABLE || said == StatusCode::CANCELLED ? Code::unavailable
                                                                         : Code::internal;
  const std::string words = status.error_message().substr(0, 500);
  return {code, "upstream " + endpoint.name + " answers (gRPC " + std::to_string(said) +
                    "): " + words + way_out(endpoint, words)};
}

// What gRPC would print beside our log. The calls tell their faults themselves.
void log_as_ours() {
  static std::once_flag once;
  std::call_once(once, [] {
    gpr_set_log_function([](gpr_log_func_args* said) {
      log::write(log::Level::debug, "grpc_client", {{"said", said->message}, {"file", said->file}});
    });
  });
}

Result<std::shared_ptr<::grpc::ChannelCredentials>> credentials(const http::Endpoint& endpoint) {
  if (!endpoint.tls) return ::grpc::InsecureChannelCredentials();
  ::grpc::SslCredentialsOptions options;
  if (!endpoint.ca_file.empty()) {
    std::ifstream file(endpoint.ca_file, std::ios::binary);
    options.pem_root_certs.assign(std::istreambuf_iterator<char>(file), {});
    if (options.pem_root_certs.empty())
      return Error{Code::failed_precondition, "ca_file " + endpoint.ca_file + " cannot be read"};
  }
  return ::grpc::SslCredentials(options);
}

class Model final : public infer::Model {
 public:
  Model(const Clock& clock, std::shared_ptr<const http::Endpoint> endpoint)
      : clock_(clock), endpoint_(std::move(endpoint)) {}

  Result<void> ask(const std::string& model) {
    name_ = TRY(name_of_model(model));
    ::grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(static_cast<int>(
        std::min<std::size_t>(endpoint_->answer_max, std::numeric_limits<int>::max())));
    arguments.SetMaxSendMessageSize(-1);
    // Deployments of one server share no connection: each goes with its model.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
    const bool literal = endpoint_->host.find(':') != std::string::npos;
    const std::string place =
        (literal ? "[" + endpoint_->host + "]" : endpoint_->host) + ":" + endpoint_->port;
    stub_ = GRPCInferenceService::NewStub(
        ::grpc::CreateCustomChannel(place, TRY(credentials(*endpoint_)), arguments));
    inference::ModelMetadataRequest request;
    request.set_name(name_.name);
    request.set_version(name_.version);
    inference::ModelMetadataResponse answer;
    ::grpc::ClientContext context;
    prepare(context, {});
    const auto status = stub_->ModelMetadata(&context, request, &answer);
    if (!status.ok()) return fault_of(*endpoint_, status);
    inputs_ = infos_of(answer.inputs());
    outputs_ = infos_of(answer.outputs());
    return {};
  }

  const std::vector<infer::TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<infer::TensorInfo>& outputs() const override { return outputs_; }

  using infer::Model::run;
  Result<std::vector<infer::Tensor>> run(const std::vector<infer::Tensor>& inputs,
                                         const infer::RunLimits& limits) override {
    if (!inputs_.empty()) TRY(infer::check_inputs(inputs_, inputs));
    inference::ModelInferRequest request;
    request.set_model_name(name_.name);
    request.set_model_version(name_.version);
    for (const infer::Tensor& input : inputs) {
      auto& tensor = *request.add_inputs();
      tensor.set_name(input.name);
      tensor.set_datatype(input.datatype);
      tensor.mutable_shape()->Add(input.shape.begin(), input.shape.end());
      request.add_raw_input_contents(input.bytes);
    }
    inference::ModelInferResponse answer;
    ::grpc::ClientContext context;
    prepare(context, limits);
    const auto status = stub_->ModelInfer(&context, request, &answer);
    if (!status.ok()) return fault_of(*endpoint_, status);
    return outputs_of(answer);
  }

 private:
  // Our clock's deadline, in the terms of gRPC's.
  void prepare(::grpc::ClientContext& context, const infer::RunLimits& limits) const {
    const Micros most = endpoint_->connect_time + endpoint_->first_byte_time;
    const Timestamp now = clock_.now();
    const Timestamp until = std::min(limits.deadline, now + most);
    context.set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                      gpr_time_from_micros((until - now).count(), GPR_TIMESPAN)));
    if (!endpoint_->authorization.empty())
      context.AddMetadata("authorization", endpoint_->authorization);
  }

  static Result<std::vector<infer::Tensor>> outputs_of(
      const inference::ModelInferResponse& answer) {
    std::vector<infer::Tensor> out;
    for (const auto& output : answer.outputs()) {
      infer::Tensor tensor{
          output.name(), output.datatype(), {output.shape().begin(), output.shape().end()}, {}};
      const auto at = static_cast<int>(out.size());
      if (at < answer.raw_output_contents_size())
        tensor.bytes = answer.raw_output_contents(at);
      else
        take_contents(output.contents(), tensor);
      out.push_back(std::move(tensor));
    }
    TRY(check_outputs(out));
    return out;
  }

  const Clock& clock_;
  const std::shared_ptr<const http::Endpoint> endpoint_;
  ModelName name_;
  std::unique_ptr<GRPCInferenceService::Stub> stub_;
  std::vector<infer::TensorInfo> inputs_, outputs_;
};

}  // namespace

Result<std::shared_ptr<infer::Model>> connect_grpc(const Clock& clock,
                                                   std::shared_ptr<const http::Endpoint> endpoint,
                                                   const std::string& model) {
  log_as_ours();
  auto out = std::make_shared<Model>(clock, std::move(endpoint));
  TRY(out->ask(model));
  return std::shared_ptr<infer::Model>(std::move(out));
}

}  // namespace penstock::kserve
