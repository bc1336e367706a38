// Executes one loaded model: in process, in a worker process, or on another server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace penstock::infer {

// The names of the Open Inference Protocol.
struct TensorInfo {
  std::string name;
  std::string datatype;             // "FP32", "INT64", "BYTES", ...
  std::vector<std::int64_t> shape;  // -1 = any
};

struct Tensor {
  std::string name;
  std::string datatype;
  std::vector<std::int64_t> shape;
  std::string bytes;  // little-endian row-major; BYTES: 4-byte length + bytes each
};

// Bytes of one element; 0 for BYTES and unknown names.
std::size_t size_of(std::string_view datatype);

struct RunLimits {
  Timestamp deadline = Timestamp::max();
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const std::vector<TensorInfo>& inputs() const = 0;
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  // Safe from several threads. Inputs in any order, each exactly once; a wrong name, datatype or
  // shape is invalid_argument and says what was expected. deadline_exceeded where it could not be
  // done in time; a runtime in process may not look at the deadline once it runs.
  virtual Result<std::vector<Tensor>> run(const std::vector<Tensor>& inputs,
                                          const RunLimits& limits) = 0;
  Result<std::vector<Tensor>> run(const std::vector<Tensor>& inputs) { return run(inputs, {}); }
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  // Loads and warms up. `path` is a file of the local disk.
  virtual Result<std::shared_ptr<Model>> load(const std::string& path) = 0;
};

}  // namespace penstock::infer
