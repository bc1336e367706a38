// The Open Inference Protocol (KServe V2) apart from how it is written down: HTTP and gRPC both say
// it. A route is a model; its versions are those that answer.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ports/infer.h"
#include "serving/gateway.h"

namespace penstock::api::v2 {

inline constexpr std::size_t elements_max = 16 << 20;  // of one tensor
inline constexpr std::size_t tensors_max = 256;

struct WantedOutput {
  std::string name;
  bool binary = false;  // as bytes, not as a list of values
};

struct InferBody {
  std::string id;
  std::map<std::string, std::string>
      parameters;  // strings as they are, numbers and booleans as JSON text
  std::vector<infer::Tensor> inputs;
  std::vector<WantedOutput> outputs;  // empty: all
  bool binary_outputs = false;        // of those that are not named
  serving::HeaderLookup header = {};  // of the caller's, valid while the call runs
};

struct InferReply {
  std::string model;
  std::string version;  // "2", or "1,2" where rows of one call went to several
  std::string id;
  std::vector<infer::Tensor> outputs;  // those that were asked for, in that order
  std::function<void()> after;         // run it once the answer was sent
};

struct ModelDescription {
  std::string name, platform;
  std::vector<std::string> versions;
  std::vector<infer::TensorInfo> inputs, outputs;
};

// `version` is as the caller wrote it; empty: the route chooses. not_found for an unknown route or
// version.
Result<ModelDescription> describe(const serving::Gateway& gateway, const Call& call,
                                  const std::string& model, const std::string& version);
// unavailable where no version answers.
Result<void> ready(const serving::Gateway& gateway, const Call& call, const std::string& model,
                   const std::string& version);
// Takes what it needs of `body`, but for its outputs. `request_bytes` is what came over the wire.
Result<InferReply> infer(serving::Gateway& gateway, const Call& call, const std::string& model,
                         const std::string& version, InferBody& body, std::size_t request_bytes);

// invalid_argument where it is unknown.
Result<void> check_datatype(const infer::Tensor& tensor);
// invalid_argument where the datatype is unknown, or the bytes are not what shape and datatype say.
Result<void> check_tensor(const infer::Tensor& tensor);
// How many elements the shape says.
Result<std::size_t> elements_of(const infer::Tensor& tensor);

// A BYTES tensor's bytes and its elements; invalid_argument where its bytes are not such.
void put_bytes(std::string_view element, std::string& bytes);
Result<std::vector<std::string>> bytes_elements(const infer::Tensor& tensor);

// Tensors of one dimension.
infer::Tensor bytes_tensor(std::string name, const std::vector<std::string>& values);
template <class T>
infer::Tensor flat_tensor(std::string name, std::string datatype, const std::vector<T>& values) {
  infer::Tensor tensor{
      std::move(name), std::move(datatype), {static_cast<std::int64_t>(values.size())}, {}};
  tensor.bytes.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return tensor;
}

}  // namespace penstock::api::v2
