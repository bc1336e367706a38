#include "api/http/v2_codec.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <simdjson.h>

#include "serving/choose.h"
#include "serving/text.h"
#include "traffic/ask.h"

namespace penstock::api::v2 {
namespace {

namespace dom = simdjson::dom;

Error wrong(std::string message) { return {Code::invalid_argument, std::move(message)}; }

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// One element of JSON data, as its datatype's bytes; false where it is no value of the datatype.
template <class T>
bool put_whole(dom::element element, std::string& out) {
  if constexpr (std::is_signed_v<T>) {
    std::int64_t value = 0;
    if (element.get(value) || value < std::numeric_limits<T>::min() ||
        value > std::numeric_limits<T>::max())
      return false;
    put(out, static_cast<T>(value));
  } else {
    std::uint64_t value = 0;
    if (element.get(value) || value > std::numeric_limits<T>::max()) return false;
    put(out, static_cast<T>(value));
  }
  return true;
}

template <class T>
bool put_real(dom::element element, std::string& out) {
  double value = 0;
  if (element.is_null())
    value = std::numeric_limits<double>::quiet_NaN();
  else if (element.get(value))
    return false;
  const T narrow = static_cast<T>(value);
  if (std::isfinite(value) && !std::isfinite(narrow)) return false;
  put(out, narrow);
  return true;
}

using PutElement = bool (*)(dom::element, std::string&);

PutElement put_of(std::string_view datatype) {
  static const std::map<std::string_view, PutElement> known = {
      {"BOOL",
       [](dom::element element, std::string& out) {
         bool value = false;
         if (element.get(value)) return false;
         put(out, value);
         return true;
       }},
      {"UINT8", put_whole<std::uint8_t>},
      {"UINT16", put_whole<std::uint16_t>},
      {"UINT32", put_whole<std::uint32_t>},
      {"UINT64", put_whole<std::uint64_t>},
      {"INT8", put_whole<std::int8_t>},
      {"INT16", put_whole<std::int16_t>},
      {"INT32", put_whole<std::int32_t>},
      {"INT64", put_whole<std::int64_t>},
      {"FP32", put_real<float>},
      {"FP64", put_real<double>},
      {"BYTES", [](dom::element element, std::string& out) {
         std::string_view text;
         if (element.get(text)) return false;
         put_bytes(text, out);
         return true;
       }}};
  const auto found = known.find(datatype);
  return found == known.end() ? nullptr : found->second;
}

// Row-major, flat or nested as deep as the tensor.
Result<void> put_data(dom::element data, PutElement put_one, std::size_t depth,
                      const infer::Tensor& tensor, std::string& out, std::size_t& count) {
  dom::array list;
  if (!data.get(list)) {
    if (depth >= std::max<std::size_t>(tensor.shape.size(), 1))
      return wrong("input " + tensor.name + ": data is nested deeper than its shape");
    for (const dom::element item : list)
      // Most items are elements: looked at as lists first, each would be looked at twice.
      if (count < read_elements_max && put_one(item, out))
        ++count;
      else
        TRY(put_data(item, put_one, depth + 1, tensor, out, count));
    return {};
  }
  if (count >= read_elements_max)
    return wrong("input " + tensor.name + " has more than " + std::to_string(read_elements_max) +
                 " elements in JSON; send it as binary data");
  return wrong("input " + tensor.name + ": element " + std::to_string(count) +
               " is no value of datatype " + tensor.datatype);
}

Result<infer::Tensor> read_input(dom::element in, std::string_view& binary) {
  infer::Tensor tensor;
  std::string_view text;
  if (in["name"].get(text) || text.empty()) return wrong("an input has no name");
  tensor.name = text;
  if (in["datatype"].get(text)) return wrong("input " + tensor.name + " has no datatype");
  tensor.datatype = text;
  TRY(check_datatype(tensor));
  dom::array shape;
  if (in["shape"].get(shape)) return wrong("input " + tensor.name + " has no shape");
  dom::element unknown;
  if (!in["parameters"]["shared_memory_region"].get(unknown))
    return wrong("input " + tensor.name +
                 ": shared memory is not offered; send data, or binary data in the body");
  if (shape.size() > 16) return wrong("input " + tensor.name + " has more than 16 dimensions");
  for (const dom::element length : shape) {
    std::int64_t value = 0;
    if (length.get(value)) return wrong("input " + tensor.name + ": shape must be whole numbers");
    tensor.shape.push_back(value);
  }
  const std::size_t count = TRY(elements_of(tensor));

  std::uint64_t size = 0;
  dom::element data;
  const bool has_data = !in["data"].get(data);
  if (!in["parameters"]["binary_data_size"].get(size)) {
    if (has_data) return wrong("input " + tensor.name + " has both data and binary_data_size");
    if (size > binary.size())
      return wrong("input " + tensor.name + ": binary_data_size is " + std::to_string(size) +
                   ", and the body has " + std::to_string(binary.size()) + " bytes left");
    tensor.bytes = binary.substr(0, size);
    binary.remove_prefix(size);
  } else {
    if (!has_data) return wrong("input " + tensor.name + " has no data");
    const PutElement put_one = put_of(tensor.datatype);
    if (!put_one)
      return wrong("input " + tensor.name + ": " + tensor.datatype +
                   " has no JSON form; send it as binary data");
    dom::array list;
    if (data.get(list)) return wrong("input " + tensor.name + ": data must be a list");
    std::size_t found = 0;
    // No more than came, whatever the shape says.
    const bool is_flat = list.size() == count;
    if (is_flat) tensor.bytes.reserve(count * infer::size_of(tensor.datatype));
    TRY(put_data(data, put_one, 0, tensor, tensor.bytes, found));
    if (found != count)
      return wrong("input " + tensor.name + " has " + std::to_string(found) +
                   " elements; its shape says " + std::to_string(count));
  }
  TRY(check_tensor(tensor));
  return tensor;
}

Result<std::string_view> json_part(std::string_view body, const std::string* header_length) {
  if (!header_length) return body;
  std::size_t length = 0;
  const char* end = header_length->data() + header_length->size();
  const auto read = std::from_chars(header_length->data(), end, length);
  if (read.ec != std::errc{} || read.ptr != end || length > body.size())
    return wrong("Inference-Header-Content-Length is " + *header_length + ", and the body has " +
                 std::to_string(body.size()) + " bytes");
  return body.substr(0, length);
}

void read_parameters(dom::element root, InferBody& out) {
  dom::object parameters;
  if (root["parameters"].get(parameters)) return;
  for (const auto& [key, value] : parameters) {
    std::string_view text;
    if (!value.get(text))
      out.parameters[std::string(key)] = text;
    else
      out.parameters[std::string(key)] = simdjson::minify(value);
  }
  const auto binary = out.parameters.find("binary_data_output");
  out.binary_outputs = binary != out.parameters.end() && binary->second == "true";
}

Result<void> read_outputs(dom::element root, InferBody& out) {
  dom::array outputs;
  if (root["outputs"].get(outputs)) return {};
  for (const dom::element output : outputs) {
    std::string_view name;
    if (output["name"].get(name)) return wrong("an output has no name");
    bool binary = false;
    if (output["parameters"]["binary_data"].get(binary)) binary = out.binary_outputs;
    dom::element unknown;
    for (const char* parameter : {"classification", "shared_memory_region"})
      if (!output["parameters"][parameter].get(unknown))
        return wrong("output " + std::string(name) + ": parameter " + parameter +
                     " is not offered");
    out.outputs.push_back({std::string(name), binary});
    if (out.outputs.size() > tensors_max) return wrong("there are more than 256 outputs");
  }
  return {};
}

}  // namespace

Result<InferBody> read_body(std::string_view body, const std::string* header_length) {
  const std::string_view text = TRY(json_part(body, header_length));
  std::string_view binary = body.substr(text.size());
  thread_local dom::parser parser;
  dom::element root;
  if (const auto fault = parser.parse(text.data(), text.size()).get(root))
    return wrong("the body is no JSON: " + std::string(simdjson::error_message(fault)));
  if (!root.is_object()) return wrong("the body must be an object with inputs");

  InferBody out;
  std::string_view id;
  dom::element given;
  if (!root["id"].get(given)) {
    if (given.get(id)) return wrong("id must be a string");
    out.id = id;
  }
  read_parameters(root, out);
  TRY(read_outputs(root, out));
  dom::array inputs;
  if (root["inputs"].get(inputs)) return wrong("inputs is missing; it must be a list of tensors");
  if (inputs.size() > tensors_max) return wrong("there are more than 256 inputs");
  for (const dom::element input : inputs) out.inputs.push_back(TRY(read_input(input, binary)));
  if (!binary.empty())
    return wrong(std::to_string(binary.size()) + " bytes of the body belong to no input");
  return out;
}

namespace {

template <class T>
void write_elements(std::string& out, const infer::Tensor& tensor) {
  for (std::size_t at = 0; at + sizeof(T) <= tensor.bytes.size(); at += sizeof(T)) {
    if (at) out += ',';
    T value{};
    std::memcpy(&value, tensor.bytes.data() + at, sizeof value);
    if constexpr (std::same_as<T, bool>)
      out += value ? "true" : "false";
    else if constexpr (std::is_floating_point_v<T>)
      serving::write_number(out, static_cast<double>(value));
    else
      out += std::to_string(value);
  }
}

}  // namespace

Result<void> write_data(std::string& out, const infer::Tensor& tensor) {
  const std::string& type = tensor.datatype;
  if (type == "BYTES") {
    const auto elements = TRY(bytes_elements(tensor));
    for (std::size_t i = 0; i < elements.size(); ++i) {
      if (i) out += ',';
      serving::write_text(out, elements[i]);
    }
  } else if (type == "BOOL") {
    write_elements<bool>(out, tensor);
  } else if (type == "FP32") {
    write_elements<float>(out, tensor);
  } else if (type == "FP64") {
    write_elements<double>(out, tensor);
  } else if (type == "INT64") {
    write_elements<std::int64_t>(out, tensor);
  } else if (type == "INT32") {
    write_elements<std::int32_t>(out, tensor);
  } else if (type == "INT16") {
    write_elements<std::int16_t>(out, tensor);
  } else if (type == "INT8") {
    write_elements<std::int8_t>(out, tensor);
  } else if (type == "UINT64") {
    write_elements<std::uint64_t>(out, tensor);
  } else if (type == "UINT32") {
    write_elements<std::uint32_t>(out, tensor);
  } else if (type == "UINT16") {
    write_elements<std::uint16_t>(out, tensor);
  } else if (type == "UINT8") {
    write_elements<std::uint8_t>(out, tensor);
  } else {
    return wrong("output " + tensor.name + " is " + type +
                 ", which has no JSON form; ask for it as binary data");
  }
  return {};
}

namespace {

Result<void> write_output(std::string& text, std::string& binary, const infer::Tensor& tensor,
                          bool as_binary) {
  text += text.back() == '[' ? "{\"name\":" : ",{\"name\":";
  serving::write_text(text, tensor.name);
  text += ",\"datatype\":\"" + tensor.datatype + "\",\"shape\":";
  serving::write_json(text, tensor.shape);
  if (as_binary) {
    text += ",\"parameters\":{\"binary_data_size\":" + std::to_string(tensor.bytes.size()) + "}}";
    binary += tensor.bytes;
    return {};
  }
  text += ",\"data\":[";
  TRY(write_data(text, tensor));
  text += "]}";
  return {};
}

}  // namespace

Result<Response> write_answer(const InferReply& reply, const InferBody& asked) {
  std::string text = "{\"model_name\":";
  serving::write_text(text, reply.model);
  text += ",\"model_version\":";
  serving::write_text(text, reply.version);
  if (!reply.id.empty()) {
    text += ",\"id\":";
    serving::write_text(text, reply.id);
  }
  text += ",\"outputs\":[";
  std::string binary;
  bool any_binary = asked.binary_outputs && asked.outputs.empty();
  for (std::size_t at = 0; at < reply.outputs.size(); ++at) {
    const bool as_binary = asked.outputs.empty() ? asked.binary_outputs : asked.outputs[at].binary;
    TRY(write_output(text, binary, reply.outputs[at], as_binary));
    any_binary = any_binary || as_binary;
  }
  text += "]}";
  Response response;
  if (any_binary) {
    response.headers.push_back({"Inference-Header-Content-Length", std::to_string(text.size())});
    response.content_type = "application/octet-stream";
    text += binary;
  }
  response.body = std::move(text);
  return response;
}

void name_arm(const InferReply& reply, Response& response) {
  if (reply.experiment.empty()) return;
  response.headers.emplace_back(serving::experiment_header, reply.experiment);
  response.headers.emplace_back("x-penstock-version", reply.version);
}

Response refusal(const Error& error) {
  std::string text = "{\"error\":";
  serving::write_text(text, error.message);
  Response response{.status = http_status(error.code), .body = text + "}"};
  if (const auto seconds = traffic::retry_after_of(error))
    response.headers.emplace_back("Retry-After", std::to_string(*seconds));
  return response;
}

}  // namespace penstock::api::v2
