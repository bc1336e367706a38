// V2 over HTTP.
#include "adapters/kserve/codec.h"
#include "adapters/kserve/kserve.h"

namespace penstock::kserve {
namespace {

class Model final : public infer::Model {
 public:
  Model(http::Caller& caller, const Clock& clock, std::shared_ptr<const http::Endpoint> endpoint)
      : caller_(caller), clock_(clock), endpoint_(std::move(endpoint)) {}

  Result<void> ask(const std::string& model) {
    const ModelName name = TRY(name_of_model(model));
    path_ = "/v2/models/" + name.name;
    if (!name.version.empty()) path_ += "/versions/" + name.version;
    const auto about = TRY(send({.method = "GET", .target = path_}, deadline_of({})));
    Metadata metadata = TRY(read_metadata(about.body));
    inputs_ = std::move(metadata.inputs);
    outputs_ = std::move(metadata.outputs);
    // A server that says nothing of itself is spoken to in JSON.
    const auto server = send({.method = "GET", .target = "/v2"}, deadline_of({}));
    binary_ = server && has_binary(server->body);
    return {};
  }

  const std::vector<infer::TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<infer::TensorInfo>& outputs() const override { return outputs_; }

  using infer::Model::run;
  Result<std::vector<infer::Tensor>> run(const std::vector<infer::Tensor>& inputs,
                                         const infer::RunLimits& limits) override {
    if (!inputs_.empty()) TRY(infer::check_inputs(inputs_, inputs));
    http::Request request = TRY(write_request(inputs, binary_));
    request.target = path_ + "/infer";
    return read_answer(TRY(send(std::move(request), deadline_of(limits))));
  }

 private:
  Timestamp deadline_of(const infer::RunLimits& limits) const {
    return std::min(limits.deadline,
                    clock_.now() + endpoint_->connect_time + endpoint_->first_byte_time);
  }

  Result<http::Answer> send(http::Request request, Timestamp deadline) {
    const auto left = std::chrono::floor<std::chrono::milliseconds>(deadline - clock_.now());
    if (left.count() <= 0)
      return Error{Code::deadline_exceeded,
                   "the deadline passed before upstream " + endpoint_->name + " was asked"};
    request.headers.emplace_back("x-request-timeout", std::to_string(left.count()) + "ms");
    auto answer = TRY(caller_.send(endpoint_, request, deadline));
    if (answer.status >= 200 && answer.status < 300) return answer;
    return error_of(endpoint_->name, answer);
  }

  http::Caller& caller_;
  const Clock& clock_;
  const std::shared_ptr<const http::Endpoint> endpoint_;
  std::string path_;
  bool binary_ = false;
  std::vector<infer::TensorInfo> inputs_, outputs_;
};

}  // namespace

Result<std::shared_ptr<infer::Model>> connect(http::Caller& caller, const Clock& clock,
                                              std::shared_ptr<const http::Endpoint> endpoint,
                                              const std::string& model) {
  auto out = std::make_shared<Model>(caller, clock, std::move(endpoint));
  TRY(out->ask(model));
  return std::shared_ptr<infer::Model>(std::move(out));
}

}  // namespace penstock::kserve
