// Tensors of the Open Inference Protocol in protobuf messages.
#pragma once

#include "api/inference.h"

namespace inference {
class ModelInferRequest;
class ModelInferResponse;
}  // namespace inference

namespace penstock::api::grpc {

// invalid_argument says which input is wrong and what was expected: raw and typed contents at once,
// too few of either, typed contents of another datatype, a size that the shape does not say.
Result<v2::InferBody> read_body(const inference::ModelInferRequest& request);
// The same, but takes the raw contents out of it instead of copying them; the rest stays.
Result<v2::InferBody> take_body(inference::ModelInferRequest& request);

// Raw contents where the caller sent them so or sent nothing typed, typed ones else.
// invalid_argument where a datatype has no typed form.
Result<void> write_answer(v2::InferReply& reply, bool raw, inference::ModelInferResponse& out);

}  // namespace penstock::api::grpc
