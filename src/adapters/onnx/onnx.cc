#include "adapters/onnx/onnx.h"

#include <malloc.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <mutex>
#include <optional>

#include "adapters/onnx/batching.h"
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

// Of the whole process, so what else it does at that moment is in the difference of two.
std::int64_t bytes_in_use() {
  const struct mallinfo2 now = mallinfo2();
  return static_cast<std::int64_t>(now.uordblks + now.hblkhd);
}

class Measured final : public infer::Model {
 public:
  Measured(std::shared_ptr<infer::Model> model, std::int64_t bytes)
      : model_(std::move(model)), bytes_(bytes) {}
  const std::vector<infer::TensorInfo>& inputs() const override { return model_->inputs(); }
  const std::vector<infer::TensorInfo>& outputs() const override { return model_->outputs(); }
  std::int64_t memory_bytes() const override { return bytes_; }
  Result<std::vector<infer::Tensor>> run(const std::vector<infer::Tensor>& inputs,
                                         const infer::RunLimits& limits) override {
    return model_->run(inputs, limits);
  }

 private:
  const std::shared_ptr<infer::Model> model_;
  const std::int64_t bytes_;
};

class Runtime final : public infer::Runtime {
 public:
  explicit Runtime(Options options) : options_(std::move(options)) {}

  Result<std::shared_ptr<infer::Model>> load(const std::string& path) override {
    const auto library = TRY(loaded());
    std::error_code failed;
    if (!std::filesystem::is_regular_file(path, failed))
      return Error{Code::not_found, "there is no model file " + path};
    const std::int64_t before = bytes_in_use();
    const Loaded loaded = TRY(load_model(library, path, options_.threads));
    const BatchOptions batching = TRY(batching_of(loaded.properties));
    warm_up(*loaded.model, path);
    const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path, failed));
    auto measured = std::make_shared<Measured>(
        batched(loaded.model, batching), std::max(bytes_in_use() - before, failed ? 0 : size));
    return std::shared_ptr<infer::Model>(std::move(measured));
  }

 private:
  // The server's, but where the model says its own.
  Result<BatchOptions> batching_of(const Properties& properties) const {
    BatchOptions out{.rows_max = options_.batch_rows_max,
                     .at_once = std::max(options_.batch_at_once, 1)};
    const auto read = [&](const char* key,
                          std::int64_t most) -> Result<std::optional<std::int64_t>> {
      const auto found = properties.find(key);
      if (found == properties.end()) return std::optional<std::int64_t>();
      std::int64_t value = -1;
      const char* end = found->second.data() + found->second.size();
      const auto said = std::from_chars(found->second.data(), end, value);
      if (said.ec == std::errc{} && said.ptr == end && value >= 0 && value <= most)
        return std::optional(value);
      return Error{Code::invalid_argument, "the model's property " + std::string(key) + " is " +
                                               found->second +
                                               "; it must be a whole number from "
                                               "0 to " +
                                               std::to_string(most)};
    };
    out.rows_max = TRY(read(batch_rows_key, 100'000)).value_or(out.rows_max);
    out.wait = Micros(TRY(read(batch_wait_key, 1'000'000)).value_or(0));
    return out;
  }

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
