// Bytes of the online store, written and read front to back.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/kind.h"

namespace penstock::features {

static_assert(std::endian::native == std::endian::little, "rows and tiles are kept little-endian");

template <class T>
void put_fixed(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_number(std::string& out, std::uint64_t value);  // 1 to 10 bytes
void put_text(std::string& out, std::string_view text);
void put_scalar(std::string& out, const Scalar& value);

inline std::uint64_t folded(std::int64_t value) {  // small where |value| is
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
inline std::int64_t unfolded(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

// Says no where the bytes end too early, whatever they are.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  template <class T>
  bool fixed(T& out) {
    if (rest_.size() < sizeof out) return false;
    std::memcpy(&out, rest_.data(), sizeof out);
    rest_.remove_prefix(sizeof out);
    return true;
  }
  bool take(std::size_t size, std::string_view& out) {
    if (rest_.size() < size) return false;
    out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  bool number(std::uint64_t& out);
  bool text(std::string_view& out);
  bool scalar(Scalar& out);
  bool empty() const { return rest_.empty(); }
  std::size_t size() const { return rest_.size(); }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace penstock::features
