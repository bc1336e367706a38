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
  // Calls of a model that come while `batch_at_once` of its runs go on share the next one, up to so
  // many rows; below 2: none do. A model's own word goes before: its metadata_props
  // penstock.batch_rows_max, and penstock.batch_wait_micros that a run waits for others.
  std::int64_t batch_rows_max = 64;
  int batch_at_once = 2;
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
