#include "base/digest.h"

#include <sodium.h>

namespace penstock {

struct Sha256Stream::State {
  crypto_hash_sha256_state hash;
};

Sha256Stream::Sha256Stream() : state_(std::make_unique<State>()) {
  crypto_hash_sha256_init(&state_->hash);
}
Sha256Stream::~Sha256Stream() = default;

void Sha256Stream::update(std::string_view bytes) {
  crypto_hash_sha256_update(&state_->hash, reinterpret_cast<const unsigned char*>(bytes.data()),
                            bytes.size());
}

Sha256 Sha256Stream::finish() {
  Sha256 digest{};
  crypto_hash_sha256_final(&state_->hash, digest.data());
  return digest;
}

Sha256 sha256(std::string_view bytes) {
  Sha256 digest{};
  crypto_hash_sha256(digest.data(), reinterpret_cast<const unsigned char*>(bytes.data()),
                     bytes.size());
  return digest;
}

std::string to_hex(const Sha256& digest) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(64);
  for (const unsigned char byte : digest) {
    text.push_back(digits[byte >> 4]);
    text.push_back(digits[byte & 15]);
  }
  return text;
}

std::string sha256_hex(std::string_view bytes) { return to_hex(sha256(bytes)); }

Sha256 sha256_from_hex(std::string_view hex) {
  Sha256 digest{};
  std::size_t size = 0;
  if (hex.size() != 64 || sodium_hex2bin(digest.data(), digest.size(), hex.data(), hex.size(),
                                         nullptr, &size, nullptr) != 0)
    return {};
  return digest;
}

}  // namespace penstock
