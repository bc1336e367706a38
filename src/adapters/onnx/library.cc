#include "adapters/onnx/library.h"

#include <cstdlib>
#include <filesystem>
#include <vector>
#include <dlfcn.h>

namespace penstock::onnx {
namespace {

std::vector<std::string> places(const std::string& file) {
  if (!file.empty()) return {file};
  if (const char* said = std::getenv("PENSTOCK_ONNXRUNTIME_LIB"); said && *said) return {said};
  std::error_code failed;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failed);
  const auto beside = program.parent_path().parent_path() / "lib/libonnxruntime.so";
  return {PENSTOCK_ONNXRUNTIME_LIB, beside, "libonnxruntime.so", "libonnxruntime.so.1"};
}

Code code_of(OrtErrorCode code) {
  switch (code) {
    case ORT_NO_SUCHFILE: return Code::not_found;
    case ORT_INVALID_ARGUMENT:
    case ORT_NO_MODEL:
    case ORT_INVALID_PROTOBUF:
    case ORT_INVALID_GRAPH:
    case ORT_NOT_IMPLEMENTED: return Code::invalid_argument;
    default: return Code::internal;
  }
}

}  // namespace

Result<std::shared_ptr<const Library>> Library::load(const std::string& file) {
  void* opened = nullptr;
  std::string tried;
  for (const std::string& place : places(file)) {
    opened = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (opened) break;
    tried += std::string(tried.empty() ? "" : "; ") + dlerror();
  }
  if (!opened) return Error{Code::unavailable, "ONNX Runtime was not found: " + tried};
  void* entry = dlsym(opened, "OrtGetApiBase");
  if (!entry)
    return Error{Code::unavailable, "the library given as ONNX Runtime is another: " + file};
  const OrtApiBase* base = reinterpret_cast<decltype(&OrtGetApiBase)>(entry)();
  std::shared_ptr<Library> library(new Library);
  library->api_ = base->GetApi(ORT_API_VERSION);
  if (!library->api_)
    return Error{Code::unavailable, std::string("ONNX Runtime ") + base->GetVersionString() +
                                        " is too old: it does not know API " +
                                        std::to_string(ORT_API_VERSION)};
  const OrtApi& api = *library->api_;
  library->deadlines_ = std::make_unique<Deadlines>(api);
  TRY(library->done(api.CreateEnv(ORT_LOGGING_LEVEL_FATAL, "penstock", &library->environment_)));
  TRY(library->done(api.DisableTelemetryEvents(library->environment_)));
  TRY(library->done(
      api.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &library->memory_)));
  TRY(library->done(api.GetAllocatorWithDefaultOptions(&library->allocator_)));
  return std::shared_ptr<const Library>(std::move(library));
}

Library::~Library() {
  if (memory_) api_->ReleaseMemoryInfo(memory_);
}

Result<void> Library::done(OrtStatus* status) const {
  if (!status) return {};
  const Handle<OrtStatus> owned(status, api_->ReleaseStatus);
  return Error{code_of(api_->GetErrorCode(status)),
               std::string("ONNX Runtime: ") + api_->GetErrorMessage(status)};
}

}  // namespace penstock::onnx
