#pragma once

#include <cstdint>
#include <memory>

#include "ports/infer.h"

namespace penstock::onnx {

struct BatchOptions {
  std::int64_t rows_max = 64;  // of calls that share a run; below 2: none do
  int at_once = 2;             // runs of the model; calls beyond them wait and share the next one
  Micros wait{0};              // that a run waits for others before it starts; 0: not at all
};

// Calls that come while `at_once` runs go on wait for the next run and share it, first come first
// served, so that a busy model does fewer and larger runs. A call that finds a free place runs at
// once and alone where `wait` is 0: alone, nothing gets slower. The model's inputs and outputs must
// begin with a dimension of any size; where its answers turn out not to be rows, no more calls
// share. A run that fails is done again call by call, so that nobody gets another one's error.
std::shared_ptr<infer::Model> batched(std::shared_ptr<infer::Model> model, BatchOptions options);
// Whether the signature allows it.
bool can_share(const infer::Model& model);
// Calls that wait for a run now.
std::size_t waiting_calls(const infer::Model& model);

}  // namespace penstock::onnx
