#include "adapters/kserve/codec.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

namespace penstock::kserve {
namespace {

namespace json = boost::json;
constexpr std::string_view length_header = "inference-header-content-length";
constexpr std::size_t words_max = 500;

Error damaged(const std::string& what) {
  return {Code::data_loss, "the upstream's answer cannot be read: " + what};
}

std::string text_at(const json::object& object, std::string_view key) {
  const json::value* found = object.if_contains(key);
  return found && found->is_string() ? std::string(found->get_string()) : "";
}

Result<std::vector<std::int64_t>> shape_of(const json::object& tensor) {
  std::vector<std::int64_t> out;
  const json::value* shape = tensor.if_contains("shape");
  if (!shape || !shape->is_array()) return damaged("a tensor has no shape");
  for (const json::value& size : shape->get_array()) {
    json::error_code fault;
    out.push_back(size.to_number<std::int64_t>(fault));
    if (fault) return damaged("a shape is no list of whole numbers");
  }
  return out;
}

Result<std::vector<infer::TensorInfo>> infos_of(const json::object& metadata,
                                                std::string_view key) {
  std::vector<infer::TensorInfo> out;
  const json::value* listed = metadata.if_contains(key);
  if (!listed || listed->is_null()) return out;
  if (!listed->is_array()) return damaged(std::string(key) + " is no list");
  for (const json::value& one : listed->get_array()) {
    if (!one.is_object()) return damaged(std::string(key) + " is no list of objects");
    const json::object& tensor = one.get_object();
    // Which of them may be left out, the protocol does not say: the server will.
    auto shape = TRY(shape_of(tensor));
    out.push_back({.name = text_at(tensor, "name"),
                   .datatype = text_at(tensor, "datatype"),
                   .shape = std::move(shape),
                   .optional = true});
  }
  return out;
}

template <class T>
json::array numbers_of(const std::string& bytes) {
  json::array out;
  out.reserve(bytes.size() / sizeof(T));
  for (std::size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isfinite(value))
        out.push_back(static_cast<double>(value));
      else
        out.push_back(nullptr);
    } else {
      out.push_back(value);
    }
  }
  return out;
}

Result<json::array> data_of(const infer::Tensor& tensor) {
  const std::string& type = tensor.datatype;
  if (type == "INT8") return numbers_of<std::int8_t>(tensor.bytes);
  if (type == "INT16") return numbers_of<std::int16_t>(tensor.bytes);
  if (type == "INT32") return numbers_of<std::int32_t>(tensor.bytes);
  if (type == "INT64") return numbers_of<std::int64_t>(tensor.bytes);
  if (type == "UINT8") return numbers_of<std::uint8_t>(tensor.bytes);
  if (type == "UINT16") return numbers_of<std::uint16_t>(tensor.bytes);
  if (type == "UINT32") return numbers_of<std::uint32_t>(tensor.bytes);
  if (type == "UINT64") return numbers_of<std::uint64_t>(tensor.bytes);
  if (type == "FP32") return numbers_of<float>(tensor.bytes);
  if (type == "FP64") return numbers_of<double>(tensor.bytes);
  json::array out;
  if (type == "BOOL") {
    for (const char one : tensor.bytes) out.push_back(one != 0);
    return out;
  }
  if (type != "BYTES")
    return Error{Code::invalid_argument, "input " + tensor.name + " is " + type +
                                             ", which has no JSON form, and the upstream takes "
                                             "no binary tensors"};
  const auto count = infer::elements_of(tensor.shape).value_or(0);
  for (const std::string_view text :
       infer::texts_of(tensor.bytes, count).value_or(std::vector<std::string_view>()))
    out.push_back(json::string(text));
  return out;
}

template <class T>
bool put_number(const json::value& value, std::string& out) {
  json::error_code fault;
  T number{};
  if constexpr (std::is_floating_point_v<T>)
    number = value.is_null() ? std::numeric_limits<T>::quiet_NaN()
                             : static_cast<T>(value.to_number<double>(fault));
  else
    number = value.to_number<T>(fault);
  if (fault) return false;
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
  return true;
}

bool put(const json::value& value, const std::string& type, std::string& out) {
  if (type == "FP32") return put_number<float>(value, out);
  if (type == "FP64") return put_number<double>(value, out);
  if (type == "INT64") return put_number<std::int64_t>(value, out);
  if (type == "INT32") return put_number<std::int32_t>(value, out);
  if (type == "INT16") return put_number<std::int16_t>(value, out);
  if (type == "INT8") return put_number<std::int8_t>(value, out);
  if (type == "UINT64") return put_number<std::uint64_t>(value, out);
  if (type == "UINT32") return put_number<std::uint32_t>(value, out);
  if (type == "UINT16") return put_number<std::uint16_t>(value, out);
  if (type == "UINT8") return put_number<std::uint8_t>(value, out);
  if (type == "BOOL" && value.is_bool()) return (out += value.get_bool() ? '\1' : '\0', true);
  if (type != "BYTES" || !value.is_string()) return false;
  infer::append_text(value.get_string(), out);
  return true;
}

// Flat or nested, as the protocol allows; deeper than any tensor is none.
bool put_all(const json::array& data, const std::string& type, int depth, std::string& out) {
  if (depth > 16) return false;
  return std::all_of(data.begin(), data.end(), [&](const json::value& one) {
    return one.is_array() ? put_all(one.get_array(), type, depth + 1, out) : put(one, type, out);
  });
}

std::optional<std::size_t> binary_size(const json::object& tensor) {
  const json::value* parameters = tensor.if_contains("parameters");
  if (!parameters || !parameters->is_object()) return {};
  const json::value* size = parameters->get_object().if_contains("binary_data_size");
  json::error_code fault;
  const auto count = size ? size->to_number<std::size_t>(fault) : 0;
  return size && !fault ? std::optional(count) : std::nullopt;
}

Result<infer::Tensor> read_output(const json::value& listed, std::string_view& binary) {
  if (!listed.is_object()) return damaged("outputs is no list of objects");
  const json::object& tensor = listed.get_object();
  infer::Tensor out{.name = text_at(tensor, "name"), .datatype = text_at(tensor, "datatype")};
  out.shape = TRY(shape_of(tensor));
  if (const auto size = binary_size(tensor)) {
    if (*size > binary.size()) return damaged("output " + out.name + " is cut off");
    out.bytes = binary.substr(0, *size);
    binary.remove_prefix(*size);
    return out;
  }
  const json::value* data = tensor.if_contains("data");
  if (!data || !data->is_array() || !put_all(data->get_array(), out.datatype, 0, out.bytes))
    return damaged("output " + out.name + " holds no data of " + out.datatype);
  return out;
}

Result<std::size_t> header_length(const http::Answer& answer) {
  for (const auto& [name, value] : answer.headers) {
    if (name != length_header) continue;
    std::size_t length = 0;
    const auto [end, fault] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (fault != std::errc{} || end != value.data() + value.size() || length > answer.body.size())
      return damaged("inference-header-content-length is wrong");
    return length;
  }
  return answer.body.size();
}

Result<json::object> object_of(std::string_view text) {
  json::error_code fault;
  json::value value = json::parse(text, fault);
  if (fault || !value.is_object()) return damaged("it is no JSON object");
  return std::move(value.get_object());
}

}  // namespace

Result<ModelName> name_of_model(const std::string& text) {
  constexpr std::string_view between = "/versions/";
  const std::size_t at = text.find(between);
  ModelName out{text.substr(0, at),
                at == std::string::npos ? "" : text.substr(at + between.size())};
  const auto plain = [](std::string_view part) {
    return std::all_of(part.begin(), part.end(), [](unsigned char letter) {
      return std::isalnum(letter) || letter == '-' || letter == '_' || letter == '.' ||
             letter == '~';
    });
  };
  if (!out.name.empty() && plain(out.name) && plain(out.version) &&
      (at == std::string::npos || !out.version.empty()))
    return out;
  return Error{Code::failed_precondition, "model of remote.yaml is \"" + text +
                                              "\" and must be NAME or NAME/versions/2, of letters, "
                                              "digits and - _ . ~"};
}

Result<Metadata> read_metadata(std::string_view body) {
  const json::object metadata = TRY(object_of(body));
  Metadata out;
  out.inputs = TRY(infos_of(metadata, "inputs"));
  out.outputs = TRY(infos_of(metadata, "outputs"));
  return out;
}

bool has_binary(std::string_view body) {
  const auto server = object_of(body);
  if (!server) return false;
  const json::value* extensions = server->if_contains("extensions");
  if (!extensions || !extensions->is_array()) return false;
  const json::array& names = extensions->get_array();
  return std::any_of(names.begin(), names.end(), [](const json::value& name) {
    return name.is_string() && name.get_string() == "binary_tensor_data";
  });
}

Result<http::Request> write_request(const std::vector<infer::Tensor>& inputs, bool binary) {
  json::array listed;
  for (const infer::Tensor& input : inputs) {
    json::object tensor{{"name", input.name},
                        {"datatype", input.datatype},
                        {"shape", json::array(input.shape.begin(), input.shape.end())}};
    if (binary)
      tensor["parameters"] = json::object{{"binary_data_size", input.bytes.size()}};
    else
      tensor["data"] = TRY(data_of(input));
    listed.push_back(std::move(tensor));
  }
  json::object body{{"inputs", std::move(listed)}};
  if (binary) body["parameters"] = json::object{{"binary_data_output", true}};
  http::Request out{.body = json::serialize(body)};
  out.headers.emplace_back("content-type",
                           binary ? "application/octet-stream" : "application/json");
  if (!binary) return out;
  out.headers.emplace_back(length_header, std::to_string(out.body.size()));
  for (const infer::Tensor& input : inputs) out.body += input.bytes;
  return out;
}

Result<void> check_outputs(const std::vector<infer::Tensor>& outputs) {
  for (const infer::Tensor& output : outputs) {
    const auto count = infer::elements_of(output.shape);
    const std::size_t element = infer::size_of(output.datatype);
    std::size_t size = 0;
    const bool whole =
        count && (output.datatype == "BYTES"
                      ? infer::texts_of(output.bytes, *count).has_value()
                      : element > 0 && !__builtin_mul_overflow(*count, element, &size) &&
                            size == output.bytes.size());
    if (!whole)
      return damaged("output " + output.name + " of " + output.datatype + " has " +
                     std::to_string(output.bytes.size()) + " bytes, and its shape says others");
  }
  return {};
}

Result<std::vector<infer::Tensor>> read_answer(const http::Answer& answer) {
  const std::size_t length = TRY(header_length(answer));
  const json::object said = TRY(object_of(std::string_view(answer.body).substr(0, length)));
  std::string_view binary = std::string_view(answer.body).substr(length);
  const json::value* listed = said.if_contains("outputs");
  if (!listed || !listed->is_array()) return damaged("it has no outputs");
  std::vector<infer::Tensor> out;
  for (const json::value& one : listed->get_array()) out.push_back(TRY(read_output(one, binary)));
  TRY(check_outputs(out));
  return out;
}

Error error_of(const std::string& upstream, const http::Answer& answer) {
  std::string words;
  if (const auto said = object_of(answer.body)) {
    words = text_at(*said, "error");
    if (words.empty()) words = text_at(*said, "detail");
  }
  words = words.substr(0, words_max);
  const int status = answer.status;
  const Code code = status == 400 || status == 422                    ? Code::invalid_argument
                    : status == 401 || status == 403 || status == 404 ? Code::failed_precondition
                    : status == 413 || status == 429                  ? Code::resource_exhausted
                    : status == 408 || status == 504                  ? Code::deadline_exceeded
                    : status == 502 || status == 503                  ? Code::unavailable
                                                                      : Code::internal;
  const std::string why = status == 401 || status == 403 ? " refuses our key"
                          : status == 404                ? " does not know the model"
                                                         : " answers";
  return {code, "upstream " + upstream + why + " (" + std::to_string(status) + ")" +
                    (words.empty() ? "" : ": " + words)};
}

}  // namespace penstock::kserve
