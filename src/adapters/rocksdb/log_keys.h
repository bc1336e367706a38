// Keys of the log in RocksDB.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::rocksdb {

inline constexpr std::string_view start_prefix = "start", position_prefix = "position",
                                  bound_prefix = "bound", swept_prefix = "swept";

inline std::string big_endian(std::uint64_t number) {
  std::string out(8, '\0');
  for (std::size_t at = 8; at-- > 0; number >>= 8) out[at] = static_cast<char>(number & 0xff);
  return out;
}

inline std::int64_t from_big_endian(std::string_view bytes) {
  std::uint64_t out = 0;
  for (const char byte : bytes) out = out << 8 | static_cast<unsigned char>(byte);
  return static_cast<std::int64_t>(out);
}

inline std::string big_endian(std::int64_t number) {
  return big_endian(static_cast<std::uint64_t>(number));
}

// "topic NUL": no name holds a NUL, so no topic's records lie among another's.
inline std::string prefix_of(std::string_view topic) { return std::string(topic) + '\0'; }

inline std::string key_of(std::string_view topic, std::int64_t offset) {
  return prefix_of(topic) + big_endian(offset);
}

inline std::string start_key(std::string_view topic) {
  return prefix_of(start_prefix) + std::string(topic);
}

inline std::string position_key(std::string_view group, std::string_view topic) {
  return prefix_of(position_prefix) + prefix_of(group) + std::string(topic);
}

}  // namespace penstock::rocksdb
