#pragma once

#include <map>

#include "adapters/onnx/library.h"
#include "ports/infer.h"

namespace penstock::onnx {

// What a model says of itself beside its signature: metadata_props of the file.
inline constexpr const char *batch_rows_key = "penstock.batch_rows_max",
                            *batch_wait_key = "penstock.batch_wait_micros";
using Properties = std::map<std::string, std::string>;

struct Loaded {
  std::shared_ptr<infer::Model> model;
  Properties properties;  // those that begin with "penstock."
};

// Loads the file and reads its signature.
Result<Loaded> load_model(std::shared_ptr<const Library> library, const std::string& path,
                          int threads);

}  // namespace penstock::onnx
