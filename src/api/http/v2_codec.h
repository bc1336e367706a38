// Tensors of the Open Inference Protocol (KServe V2) over HTTP: JSON, and Triton's binary
// extension.
#pragma once

#include "api/route.h"
#include "ports/infer.h"

namespace penstock::api::v2 {

struct WantedOutput {
  std::string name;
  bool binary = false;
};

struct InferBody {
  std::string id;
  std::map<std::string, std::string>
      parameters;  // strings as they are, numbers and booleans as JSON text
  std::vector<infer::Tensor> inputs;
  std::vector<WantedOutput> outputs;  // empty: all
  bool binary_outputs = false;        // of those that are not named
};

inline constexpr std::size_t elements_max = 16 << 20;  // of one tensor
inline constexpr std::size_t tensors_max = 256;

// A body in JSON, or JSON and then tensors where `header_length` (of
// Inference-Header-Content-Length) says how long the JSON is. invalid_argument says which input is
// wrong and what was expected. null in the data of FP32 and FP64 is NaN: a missing value.
Result<InferBody> read_body(std::string_view body, const std::string* header_length);

// The answer: `tensors` are those to say, in order; what `asked` wants of them, JSON or binary.
// invalid_argument where it wants an output that is not there.
Result<Response> write_answer(const std::string& model, const std::string& version,
                              const InferBody& asked, const std::vector<infer::Tensor>& tensors);

// {"error": ...} with the code's HTTP status.
Response refusal(const Error& error);

// Tensors of one dimension.
infer::Tensor bytes_tensor(std::string name, const std::vector<std::string>& values);
template <class T>
infer::Tensor flat_tensor(std::string name, std::string datatype, const std::vector<T>& values) {
  infer::Tensor tensor{
      std::move(name), std::move(datatype), {static_cast<std::int64_t>(values.size())}, {}};
  tensor.bytes.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return tensor;
}
// The elements of a BYTES tensor; invalid_argument where its bytes are not such.
Result<std::vector<std::string>> bytes_elements(const infer::Tensor& tensor);

}  // namespace penstock::api::v2
