// Tensors of the Open Inference Protocol (KServe V2) over HTTP: JSON, and Triton's binary
// extension.
#pragma once

#include "api/inference.h"
#include "api/route.h"

namespace penstock::api::v2 {

// A body in JSON, or JSON and then tensors where `header_length` (of
// Inference-Header-Content-Length) says how long the JSON is. invalid_argument says which input is
// wrong and what was expected. null in the data of FP32 and FP64 is NaN: a missing value.
Result<InferBody> read_body(std::string_view body, const std::string* header_length);

// The answer: each output as `asked` wants it, JSON or binary. invalid_argument where its datatype
// has no JSON form.
Result<Response> write_answer(const InferReply& reply, const InferBody& asked);

// Says by headers which experiment drew the version, and which version that is.
void name_arm(const InferReply& reply, Response& response);

// The tensor's elements in JSON, with commas and without brackets; invalid_argument as above.
Result<void> write_data(std::string& out, const infer::Tensor& tensor);

// {"error": ...} with the code's HTTP status.
Response refusal(const Error& error);

}  // namespace penstock::api::v2
