#include "ports/infer.h"

#include <algorithm>
#include <cstring>

namespace penstock::infer {
namespace {

constexpr std::size_t length_size = 4;

std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (std::size_t at = 0; at < shape.size(); ++at)
    out += (at ? "," : "") + (shape[at] < 0 ? std::string("any") : std::to_string(shape[at]));
  return out + "]";
}

bool fits(const std::vector<std::int64_t>& wanted, const std::vector<std::int64_t>& given) {
  const auto same = [&](std::size_t dimensions) {
    for (std::size_t at = 0; at < dimensions; ++at)
      if (given[at] < 0 || (wanted[at] >= 0 && wanted[at] != given[at])) return false;
    return true;
  };
  if (given.size() == wanted.size()) return same(wanted.size());
  return wanted.size() == 1 && given.size() == 2 && given[1] == 1 && same(1);
}

bool has_bytes(const Tensor& tensor) {
  const auto count = elements_of(tensor.shape);
  if (!count) return false;
  if (tensor.datatype == "BYTES") return texts_of(tensor.bytes, *count).has_value();
  std::size_t size = 0;
  return !__builtin_mul_overflow(*count, size_of(tensor.datatype), &size) &&
         size == tensor.bytes.size();
}

Result<void> check_one(const TensorInfo& wanted, const Tensor& given) {
  if (wanted.datatype != given.datatype || !fits(wanted.shape, given.shape))
    return Error{Code::invalid_argument, "input " + given.name + " must be " + wanted.datatype +
                                             " " + text_of(wanted.shape) + ", not " +
                                             given.datatype + " " + text_of(given.shape)};
  if (has_bytes(given)) return {};
  return Error{Code::invalid_argument, "input " + given.name + " has " +
                                           std::to_string(given.bytes.size()) +
                                           " bytes, which its shape " + text_of(given.shape) +
                                           " of " + given.datatype + " does not"};
}

}  // namespace

std::size_t size_of(std::string_view datatype) {
  if (datatype == "BOOL" || datatype == "INT8" || datatype == "UINT8") return 1;
  if (datatype == "INT16" || datatype == "UINT16" || datatype == "FP16" || datatype == "BF16")
    return 2;
  if (datatype == "INT32" || datatype == "UINT32" || datatype == "FP32") return 4;
  if (datatype == "INT64" || datatype == "UINT64" || datatype == "FP64") return 8;
  return 0;
}

std::optional<std::size_t> elements_of(const std::vector<std::int64_t>& shape) {
  std::size_t count = 1;
  for (const std::int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(count, static_cast<std::size_t>(size), &count))
      return std::nullopt;
  return count;
}

void append_text(std::string_view text, std::string& bytes) {
  const auto length = static_cast<std::uint32_t>(text.size());
  bytes.append(reinterpret_cast<const char*>(&length), length_size).append(text);
}

std::optional<std::vector<std::string_view>> texts_of(std::string_view bytes, std::size_t count) {
  std::vector<std::string_view> out;
  out.reserve(std::min(count, bytes.size() / length_size));
  while (!bytes.empty()) {
    std::uint32_t length = 0;
    if (bytes.size() < length_size || out.size() == count) return std::nullopt;
    std::memcpy(&length, bytes.data(), length_size);
    bytes.remove_prefix(length_size);
    if (bytes.size() < length) return std::nullopt;
    out.push_back(bytes.substr(0, length));
    bytes.remove_prefix(length);
  }
  if (out.size() != count) return std::nullopt;
  return out;
}

Result<void> check_inputs(const std::vector<TensorInfo>& expected,
                          const std::vector<Tensor>& inputs) {
  std::string names;
  for (const TensorInfo& input : expected)
    names += (names.empty() ? "" : ", ") + input.name + (input.optional ? " (optional)" : "");
  for (const Tensor& given : inputs) {
    const auto wanted = std::ranges::find(expected, given.name, &TensorInfo::name);
    if (wanted == expected.end())
      return Error{Code::invalid_argument,
                   "the model has no input " + given.name + ": it takes " + names};
    if (std::ranges::count(inputs, given.name, &Tensor::name) > 1)
      return Error{Code::invalid_argument, "input " + given.name + " stands twice"};
    TRY(check_one(*wanted, given));
  }
  for (const TensorInfo& input : expected)
    if (!input.optional && std::ranges::find(inputs, input.name, &Tensor::name) == inputs.end())
      return Error{Code::invalid_argument,
                   "input " + input.name + " is missing: the model takes " + names};
  return {};
}

}  // namespace penstock::infer
