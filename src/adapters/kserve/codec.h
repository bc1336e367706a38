// Tensors of the Open Inference Protocol over HTTP, as its clients write and read them.
#pragma once

#include <boost/json.hpp>

#include "ports/http.h"
#include "ports/infer.h"

namespace penstock::kserve {

struct Metadata {
  std::vector<infer::TensorInfo> inputs, outputs;
};
// Of GET /v2/models/NAME; data_loss where it is none.
Result<Metadata> read_metadata(std::string_view body);
// Whether GET /v2 lists the binary extension.
bool has_binary(std::string_view body);

// Body and headers of POST .../infer. invalid_argument where a datatype has no JSON form.
Result<http::Request> write_request(const std::vector<infer::Tensor>& inputs, bool binary);
// data_loss where the answer is none, or its bytes do not fit its shapes.
Result<std::vector<infer::Tensor>> read_answer(const http::Answer& answer);
// The error of an answer that is none of 2xx; the upstream's own words are in it, shortened.
Error error_of(const std::string& upstream, const http::Answer& answer);

// "NAME" or "NAME/versions/2".
struct ModelName {
  std::string name, version;  // the version may be empty
};
Result<ModelName> name_of_model(const std::string& text);
// Whether tensors fit what they say of themselves; what the upstream sends is not trusted.
Result<void> check_outputs(const std::vector<infer::Tensor>& outputs);

}  // namespace penstock::kserve
