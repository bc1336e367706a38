// The Open Inference Protocol (KServe V2) apart from how it is written down: HTTP and gRPC both say
// it. A route is a model; its versions are those that answer.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ports/infer.h"
#include "serving/gateway.h"

namespace penstock::api::v2 {

inline constexpr std::size_t elements_max = 64 << 20;       // of one tensor
inline constexpr std::size_t read_elements_max = 16 << 20;  // that are texts, or are read from text
inline constexpr std::size_t tensors_max = 256;

// Of the protocol, beyond its core.
inline constexpr std::array<std::string_view, 3> extensions = {"binary_tensor_data",
                                                               "model_repository", "statistics"};

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
  std::string experiment;              // that drew a version of these; empty: none did
  bool own_outputs = false;            // the model's are among them: the caller sent its inputs
  std::function<void()> after;         // run it once the answer was sent
  std::string cached;                  // the prediction whose answer was given again
};

struct ModelDescription {
  std::string name, platform;
  std::vector<std::string> versions;
  std::vector<infer::TensorInfo> inputs, outputs;
  std::vector<infer::TensorInfo> own_inputs, own_outputs;  // of the model, whatever callers send
};

// What a version did on its route since the server started.
struct Statistics {
  std::string route, version;
  std::int64_t last_ms = 0;                   // when it answered last, since 1970; 0: never
  std::int64_t rows = 0, calls = 0;           // that were answered; calls that rows of it were in
  std::int64_t errors = 0;                    // calls that failed
  std::int64_t micros = 0, error_micros = 0;  // of those calls, whole
  std::int64_t feature_micros = 0, model_micros = 0;
};

// `version` is as the caller wrote it; empty: the route chooses. not_found for an unknown route or
// version.
Result<ModelDescription> describe(const serving::Gateway& gateway, const Call& call,
                                  const std::string& model, const std::string& version);
// unavailable where no version answers.
Result<void> ready(const serving::Gateway& gateway, const Call& call, const std::string& model,
                   const std::string& version);
// By name and version; all routes of the project where `model` is empty. not_found as describe().
Result<std::vector<Statistics>> statistics(const serving::Gateway& gateway, const Call& call,
                                           const std::string& model, const std::string& version);
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
Result<std::size_t> count_bytes_elements(const infer::Tensor& tensor);

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
