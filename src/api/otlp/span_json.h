// A span's message as the JSON that MLflow's clients read, and values of its attributes as texts.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace otlp {
class AnyValue;
class Span;
}  // namespace otlp

namespace penstock::api::otlp {

// proto3 JSON with names as in the proto: ids in base64, 64-bit integers as texts. Stops where it
// grows beyond `max` bytes: invalid_argument.
Result<std::string> span_json(const ::otlp::Span& span, std::size_t max);
// A string as it is, but without quotes where it is a JSON string itself; else JSON as people write
// it: {"a": [1, true]}. At most `max` bytes: the rest is cut off.
std::string plain_text(const ::otlp::AnyValue& value, std::size_t max);

std::string base64(std::string_view bytes);
std::string hex(std::string_view bytes);

}  // namespace penstock::api::otlp
