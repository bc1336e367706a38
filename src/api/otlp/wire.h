// The outermost layer of protobuf's wire format: fields one after the other, nothing allocated.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::api::otlp {

struct WireField {
  std::uint32_t number = 0;
  std::optional<std::string_view> bytes;  // of a field that has a length; none of a number
};

class WireReader {
 public:
  explicit WireReader(std::string_view message) : left_(message) {}

  bool done() const { return left_.empty(); }
  // Nothing where the message is malformed: a varint without end, a length beyond the message, a
  // group.
  std::optional<WireField> next() {
    const auto tag = varint();
    if (!tag || *tag >> 3 == 0 || *tag >> 3 > 0x1FFFFFFF) return {};
    WireField field{static_cast<std::uint32_t>(*tag >> 3)};
    switch (*tag & 7) {
      case 0: return varint() ? std::optional(field) : std::nullopt;
      case 1: return skip(8) ? std::optional(field) : std::nullopt;
      case 5: return skip(4) ? std::optional(field) : std::nullopt;
      case 2: break;
      default: return {};
    }
    const auto length = varint();
    if (!length || *length > left_.size()) return {};
    field.bytes = left_.substr(0, *length);
    left_.remove_prefix(*length);
    return field;
  }

 private:
  std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !left_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(left_.front());
      left_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    return {};
  }
  bool skip(std::size_t count) {
    if (count > left_.size()) return false;
    left_.remove_prefix(count);
    return true;
  }

  std::string_view left_;
};

}  // namespace penstock::api::otlp
