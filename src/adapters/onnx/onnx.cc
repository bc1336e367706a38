#include "adapters/onnx/onnx.h"

#include <filesystem>
#include <mutex>

#include "adapters/onnx/library.h"
#include "adapters/onnx/model.h"
#include "base/log.h"

namespace penstock::onnx {
namespace {

// More than this is not worth making only to throw it away.
constexpr std::size_t max_warm_up = 64 << 20;

void warm_up(infer::Model& model, const std::string& path) {
  std::vector<infer::Tensor> zeros;
  for (const infer::TensorInfo& input : model.inputs()) {
    infer::Tensor& zero = zeros.emplace_back(infer::Tensor{input.name, input.datatype, {}, {}});
    std::size_t bytes = input.datatype == "BYTES" ? 4 : infer::size_of(input.datatype);
    for (const std::int64_t size : input.shape) {
      zero.shape.push_back(size < 0 ? 1 : size);
      if (__builtin_mul_overflow(bytes, static_cast<std::size_t>(zero.shape.back()), &bytes) ||
          bytes > max_warm_up)
        return;
    }
    zero.bytes.assign(bytes, '\0');
  }
  if (const auto got = model.run(zeros); !got)
    log::warn("onnx.warm_up_failed", {{"model", path}, {"reason", got.error().message}});
}

class Runtime final : public infer::Runtime {
 public:
  explicit Runtime(Options options) : options_(std::move(options)) {}

  Result<std::shared_ptr<infer::Model>> load(const std::string& path) override {
    const auto library = TRY(loaded());
    std::error_code failed;
    if (!std::filesystem::is_regular_file(path, failed))
      return Error{Code::not_found, "there is no model file " + path};
    const auto model = TRY(load_model(library, path, options_.threads));
    warm_up(*model, path);
    return model;
  }

 private:
  Result<std::shared_ptr<const Library>> loaded() {
    const std::lock_guard lock(mutex_);
    if (options_.threads < 1)
      return Error{Code::invalid_argument, "a model needs at least one thread"};
    if (!library_) library_ = TRY(Library::load(options_.library));
    return library_;
  }

  const Options options_;
  std::mutex mutex_;
  std::shared_ptr<const Library> library_;
};

}  // namespace

std::unique_ptr<infer::Runtime> open(Options options) {
  return std::make_unique<Runtime>(std::move(options));
}

}  // namespace penstock::onnx
