#pragma once

#include <memory>
#include <string>

#include "ports/infer.h"

namespace penstock::onnx {

struct Options {
  // The file of libonnxruntime.so, or a name for the system to look up. Empty: what the
  // environment's PENSTOCK_ONNXRUNTIME_LIB says; else what the build chose, ../lib beside the
  // program, the system.
  std::string library;
  int threads = 1;  // that one run of one model may use
};

// ONNX Runtime, loaded with the first model: without models it costs nothing.
//
// load() is unavailable where the library cannot be found or is too old, not_found without the
// file, and invalid_argument, with ONNX Runtime's words, for what is no model or has inputs that
// are no tensors. It runs the model once on zeros, any dimension being 1; that this fails is only
// logged, since zeros may be no valid input. Outputs that are no tensors, as the maps that
// scikit-learn's classifiers give unless told otherwise, are left out. Models may outlive the
// runtime.
std::unique_ptr<infer::Runtime> open(Options options);

}  // namespace penstock::onnx
