#include "api/grpc/codec.h"

#include <cstring>
#include <limits>

#include <open_inference.pb.h>

namespace penstock::api::grpc {
namespace {

using inference::InferParameter;
using inference::InferTensorContents;

Error wrong(std::string message) { return {Code::invalid_argument, std::move(message)}; }

// Strings as they are, numbers and booleans as JSON text, as the HTTP side reads them.
std::string text_of(const InferParameter& parameter) {
  switch (parameter.parameter_choice_case()) {
    case InferParameter::kBoolParam: return parameter.bool_param() ? "true" : "false";
    case InferParameter::kInt64Param: return std::to_string(parameter.int64_param());
    case InferParameter::kUint64Param: return std::to_string(parameter.uint64_param());
    case InferParameter::kDoubleParam:
      return json::serialize(json::value(parameter.double_param()));
    case InferParameter::kStringParam: return parameter.string_param();
    case InferParameter::PARAMETER_CHOICE_NOT_SET: break;
  }
  return "";
}

template <class T, class Values>
Result<void> take(const Values& values, infer::Tensor& tensor) {
  tensor.bytes.reserve(static_cast<std::size_t>(values.size()) * sizeof(T));
  for (const auto value : values) {
    if constexpr (std::is_integral_v<T> && sizeof(T) < 4)
      if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max())
        return wrong("input " + tensor.name + ": " + std::to_string(value) +
                     " is no value of datatype " + tensor.datatype);
    const T narrow = static_cast<T>(value);
    tensor.bytes.append(reinterpret_cast<const char*>(&narrow), sizeof narrow);
  }
  return {};
}

// The field of the datatype holds all the elements there are.
Result<void> take_typed(const InferTensorContents& from, infer::Tensor& tensor) {
  const std::string& type = tensor.datatype;
  if (type == "BOOL") return take<bool>(from.bool_contents(), tensor);
  if (type == "INT8") return take<std::int8_t>(from.int_contents(), tensor);
  if (type == "INT16") return take<std::int16_t>(from.int_contents(), tensor);
  if (type == "INT32") return take<std::int32_t>(from.int_contents(), tensor);
  if (type == "INT64") return take<std::int64_t>(from.int64_contents(), tensor);
  if (type == "UINT8") return take<std::uint8_t>(from.uint_contents(), tensor);
  if (type == "UINT16") return take<std::uint16_t>(from.uint_contents(), tensor);
  if (type == "UINT32") return take<std::uint32_t>(from.uint_contents(), tensor);
  if (type == "UINT64") return take<std::uint64_t>(from.uint64_contents(), tensor);
  if (type == "FP32") return take<float>(from.fp32_contents(), tensor);
  if (type == "FP64") return take<double>(from.fp64_contents(), tensor);
  if (type == "BYTES") {
    for (const std::string& element : from.bytes_contents()) v2::put_bytes(element, tensor.bytes);
    return {};
  }
  return wrong("input " + tensor.name + ": " + type +
               " has no typed contents; send it in raw_input_contents");
}

template <class T, class Values>
void say(const infer::Tensor& tensor, Values* out) {
  for (std::size_t at = 0; at + sizeof(T) <= tensor.bytes.size(); at += sizeof(T)) {
    T value{};
    std::memcpy(&value, tensor.bytes.data() + at, sizeof value);
    out->Add(value);
  }
}

Result<void> say_typed(const infer::Tensor& tensor, InferTensorContents& out) {
  const std::string& type = tensor.datatype;
  if (type == "BOOL")
    say<bool>(tensor, out.mutable_bool_contents());
  else if (type == "INT8")
    say<std::int8_t>(tensor, out.mutable_int_contents());
  else if (type == "INT16")
    say<std::int16_t>(tensor, out.mutable_int_contents());
  else if (type == "INT32")
    say<std::int32_t>(tensor, out.mutable_int_contents());
  else if (type == "INT64")
    say<std::int64_t>(tensor, out.mutable_int64_contents());
  else if (type == "UINT8")
    say<std::uint8_t>(tensor, out.mutable_uint_contents());
  else if (type == "UINT16")
    say<std::uint16_t>(tensor, out.mutable_uint_contents());
  else if (type == "UINT32")
    say<std::uint32_t>(tensor, out.mutable_uint_contents());
  else if (type == "UINT64")
    say<std::uint64_t>(tensor, out.mutable_uint64_contents());
  else if (type == "FP32")
    say<float>(tensor, out.mutable_fp32_contents());
  else if (type == "FP64")
    say<double>(tensor, out.mutable_fp64_contents());
  else if (type == "BYTES")
    for (std::string& element : TRY(v2::bytes_elements(tensor)))
      out.add_bytes_contents(std::move(element));
  else
    return wrong("output " + tensor.name + " is " + type +
                 ", which has no typed contents; send raw_input_contents to get raw outputs");
  return {};
}

// `take_raw` gives the raw contents of an input.
template <class TakeRaw>
Result<v2::InferBody> read(const inference::ModelInferRequest& request, TakeRaw take_raw) {
  v2::InferBody out{.id = request.id()};
  for (const auto& [name, value] : request.parameters()) out.parameters[name] = text_of(value);
  if (request.inputs_size() == 0) return wrong("inputs is missing; it must be a list of tensors");
  if (request.inputs_size() > static_cast<int>(v2::tensors_max))
    return wrong("there are more than 256 inputs");
  if (request.outputs_size() > static_cast<int>(v2::tensors_max))
    return wrong("there are more than 256 outputs");
  const int raw = request.raw_input_contents_size();
  if (raw != 0 && raw != request.inputs_size())
    return wrong("raw_input_contents has " + std::to_string(raw) + " entries for " +
                 std::to_string(request.inputs_size()) + " inputs");
  for (int at = 0; at < request.inputs_size(); ++at) {
    const auto& input = request.inputs(at);
    if (input.name().empty()) return wrong("an input has no name");
    infer::Tensor tensor{.name = input.name(),
                         .datatype = input.datatype(),
                         .shape = {input.shape().begin(), input.shape().end()}};
    TRY(v2::check_datatype(tensor));
    if (raw != 0 && input.has_contents())
      return wrong("input " + tensor.name + " has contents beside raw_input_contents");
    if (raw != 0)
      tensor.bytes = take_raw(at);
    else
      TRY(take_typed(input.contents(), tensor));
    TRY(v2::check_tensor(tensor));
    out.inputs.push_back(std::move(tensor));
  }
  for (const auto& output : request.outputs()) out.outputs.push_back({output.name(), raw != 0});
  return out;
}

}  // namespace

Result<v2::InferBody> read_body(const inference::ModelInferRequest& request) {
  return read(request, [&](int at) { return request.raw_input_contents(at); });
}

Result<v2::InferBody> take_body(inference::ModelInferRequest& request) {
  return read(request, [&](int at) { return std::move(*request.mutable_raw_input_contents(at)); });
}

Result<void> write_answer(v2::InferReply& reply, bool raw, inference::ModelInferResponse& out) {
  out.set_model_name(reply.model);
  out.set_model_version(reply.version);
  out.set_id(reply.id);
  // What HTTP says in headers. Trailers are read by few clients; parameters by all.
  const auto say = [&](const char* name, const std::string& text) {
    if (!text.empty()) (*out.mutable_parameters())[name].set_string_param(text);
  };
  say("x-penstock-cached", reply.cached);
  say("x-penstock-experiment", reply.experiment);
  for (infer::Tensor& tensor : reply.outputs) {
    auto& said = *out.add_outputs();
    said.set_name(tensor.name);
    said.set_datatype(tensor.datatype);
    said.mutable_shape()->Add(tensor.shape.begin(), tensor.shape.end());
    if (raw)
      out.add_raw_output_contents(std::move(tensor.bytes));
    else
      TRY(say_typed(tensor, *said.mutable_contents()));
  }
  return {};
}

}  // namespace penstock::api::grpc
