#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

namespace penstock {

using Sha256 = std::array<unsigned char, 32>;

Sha256 sha256(std::string_view bytes);
std::string to_hex(const Sha256& digest);        // 64 characters
std::string sha256_hex(std::string_view bytes);  // 64 characters
Sha256 sha256_from_hex(std::string_view hex);    // zeros where hex is not 64 hex digits

// SHA-256 of a stream of chunks.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  void update(std::string_view bytes);
  Sha256 finish();
  void restart();  // for other bytes

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock
