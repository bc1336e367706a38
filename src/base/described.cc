#include "base/described.h"

#include <algorithm>

namespace penstock {

json::value to_json(const Scalar& scalar) {
  return std::visit(
      [](const auto& value) -> json::value {
        if constexpr (std::same_as<std::decay_t<decltype(value)>, std::monostate>)
          return nullptr;
        else
          return json::value(value);
      },
      scalar);
}

Scalar from_json(const json::value& in) {
  if (in.is_bool()) return in.get_bool();
  if (in.is_int64()) return in.get_int64();
  if (in.is_uint64()) return static_cast<double>(in.get_uint64());
  if (in.is_double()) return in.get_double();
  if (in.is_string()) return std::string(in.get_string());
  return {};
}

namespace {

// Depth is bounded by the JSON parser's own limit, so the recursion is too.
void write_canonical(const json::value& value, std::string& out) {  // NOLINT(misc-no-recursion)
  if (const auto* object = value.if_object()) {
    std::vector<std::string_view> keys;
    for (const auto& entry : *object) keys.push_back(entry.key());
    std::sort(keys.begin(), keys.end());
    out += '{';
    for (const auto key : keys) {
      if (out.back() != '{') out += ',';
      out += json::serialize(json::value(key));
      out += ':';
      write_canonical(object->at(key), out);
    }
    out += '}';
  } else if (const auto* array = value.if_array()) {
    out += '[';
    for (const json::value& item : *array) {
      if (out.back() != '[') out += ',';
      write_canonical(item, out);
    }
    out += ']';
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

std::string canonical(const json::value& value) {
  std::string out;
  write_canonical(value, out);
  return out;
}

void Decoder::refuse_unknown(std::string_view key, const std::vector<std::string_view>& known,
                             const std::string& path) {
  if (std::find(known.begin(), known.end(), key) != known.end()) return;
  std::string names;
  for (const std::string_view name : known)
    names += (names.empty() ? "" : ", ") + std::string(name);
  fault(path.empty() ? std::string(key) : path + "." + std::string(key),
        "is not known here; known are " + names);
}

void Decoder::check(std::int64_t size, const std::string& unit, const std::string& path,
                    const Rule& rule) {
  if (size < rule.min) fault(path, "must be at least " + std::to_string(rule.min) + unit);
  if (size > rule.max) fault(path, "must be at most " + std::to_string(rule.max) + unit);
}

}  // namespace penstock
