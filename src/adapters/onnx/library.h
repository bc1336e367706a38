// The shared library of ONNX Runtime, and what its C API needs around each call.
#pragma once

#include <memory>
#include <string>
#include <onnxruntime_c_api.h>

#include "adapters/onnx/deadlines.h"
#include "base/result.h"

namespace penstock::onnx {

// Something of the C API, released with its owner.
template <class T>
using Handle = std::unique_ptr<T, void (*)(T*)>;

class Library {
 public:
  // Never unloaded: it leaves threads and thread-local data behind.
  static Result<std::shared_ptr<const Library>> load(const std::string& file);
  ~Library();
  Library(const Library&) = delete;

  // The fault that `status` says, which is released.
  Result<void> done(OrtStatus* status) const;

  const OrtApi& api() const { return *api_; }
  const OrtEnv* environment() const { return environment_; }
  const OrtMemoryInfo* memory() const { return memory_; }
  OrtAllocator* allocator() const { return allocator_; }
  Deadlines& deadlines() const { return *deadlines_; }

 private:
  Library() = default;

  const OrtApi* api_ = nullptr;
  OrtEnv* environment_ = nullptr;  // one for the whole process, kept as long
  OrtMemoryInfo* memory_ = nullptr;
  OrtAllocator* allocator_ = nullptr;
  std::unique_ptr<Deadlines> deadlines_;
};

}  // namespace penstock::onnx
