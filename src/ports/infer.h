// Executes one loaded model: in process, in a worker process, or on another server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace penstock::infer {

// The names of the Open Inference Protocol.
struct TensorInfo {
  std::string name;
  std::string datatype;             // "FP32", "INT64", "BYTES", ...
  std::vector<std::int64_t> shape;  // -1 = any
  bool optional = false;            // an input that may be left out
};

struct Tensor {
  std::string name;
  std::string datatype;
  std::vector<std::int64_t> shape;
  std::string bytes;  // little-endian row-major; BYTES: 4-byte length + bytes each
};

// Bytes of one element; 0 for BYTES and unknown names.
std::size_t size_of(std::string_view datatype);

// Whether these are inputs that `expected` lists: names, datatypes, shapes, and as many bytes as
// they say. [rows,1] is as good as [rows]. invalid_argument says what was expected.
Result<void> check_inputs(const std::vector<TensorInfo>& expected,
                          const std::vector<Tensor>& inputs);
// Nothing where a size is negative or the product does not fit.
std::optional<std::size_t> elements_of(const std::vector<std::int64_t>& shape);
// One element of a BYTES tensor.
void append_text(std::string_view text, std::string& bytes);
// The elements of a BYTES tensor; nothing where the bytes are not just `count` of them.
std::optional<std::vector<std::string_view>> texts_of(std::string_view bytes, std::size_t count);

// What a model that is made of others did in one of its parts.
struct NodeRun {
  std::string name, kind;
  std::string model;  // empty: none was asked
  std::int64_t version = 0;
  std::string runtime, upstream;
  std::int64_t micros = 0;
  double gpus = 0;
  bool failed = false;
};

// Numbers of a feature schema, in its order, for each of `rows` (keys), as of its own instant.
using FeatureReader = std::function<Result<std::vector<std::vector<std::optional<double>>>>(
    const std::string& schema, const std::vector<std::map<std::string, std::string>>& rows,
    const std::vector<Timestamp>& as_of)>;

struct RunLimits {
  Timestamp deadline = Timestamp::max();
  bool alone = false;  // not in one run with other calls, whose rows may change the last bits
  // Where a part reads features: the instant of each row, or one of all; and by what, where not as
  // calls read them.
  std::vector<Timestamp> as_of = {};
  FeatureReader features = {};
  std::vector<NodeRun>* nodes = nullptr;  // hears of each part that ran
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const std::vector<TensorInfo>& inputs() const = 0;
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  // Safe from several threads. Inputs in any order, each exactly once; a wrong name, datatype or
  // shape is invalid_argument and says what was expected. deadline_exceeded where it could not be
  // done in time; a runtime in process looks at the deadline between two operators of the model.
  virtual Result<std::vector<Tensor>> run(const std::vector<Tensor>& inputs,
                                          const RunLimits& limits) = 0;
  // That it takes here, about; 0: not known, or none.
  virtual std::int64_t memory_bytes() const { return 0; }
  Result<std::vector<Tensor>> run(const std::vector<Tensor>& inputs) { return run(inputs, {}); }
  // The share of GPUs that a call occupies, as the model's own files say.
  virtual double gpus() const { return 0; }
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  // Loads and warms up. `path` is a file or folder of the local disk.
  virtual Result<std::shared_ptr<Model>> load(const std::string& path) = 0;
};

}  // namespace penstock::infer
