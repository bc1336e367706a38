// Tensors as Arrow IPC: one row, a list for each tensor, its shape and datatype in the metadata.
#pragma once

#include "ports/infer.h"

namespace penstock::python {

// Of tensors that were checked.
Result<std::string> write_arrays(const std::vector<infer::Tensor>& tensors);
// data_loss where the bytes are no such thing.
Result<std::vector<infer::Tensor>> read_arrays(std::string_view bytes);

}  // namespace penstock::python
