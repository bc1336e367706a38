#pragma once

#include "adapters/onnx/library.h"
#include "ports/infer.h"

namespace penstock::onnx {

// Loads the file and reads its signature.
Result<std::shared_ptr<infer::Model>> load_model(std::shared_ptr<const Library> library,
                                                 const std::string& path, int threads);

}  // namespace penstock::onnx
