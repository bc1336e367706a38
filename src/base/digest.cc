#include "base/digest.h"

#include <new>

#include <openssl/evp.h>
#include <sodium.h>

namespace penstock {
namespace {

// OpenSSL's uses the processor's own instructions: five times as fast as without.
const EVP_MD* algorithm() {
  static const EVP_MD* const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return fetched;
}

}  // namespace

struct Sha256Stream::State {
  State() : context(EVP_MD_CTX_new()) { start(); }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  // Only a lack of memory makes it fail.
  void start() {
    if (!context || EVP_DigestInit_ex2(context, algorithm(), nullptr) != 1) throw std::bad_alloc();
  }
  EVP_MD_CTX* context;
};

Sha256Stream::Sha256Stream() : state_(std::make_unique<State>()) {}
Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;

void Sha256Stream::update(std::string_view bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

Sha256 Sha256Stream::finish() {
  Sha256 digest{};
  EVP_DigestFinal_ex(state_->context, digest.data(), nullptr);
  return digest;
}

Sha256 sha256(std::string_view bytes) {
  thread_local Sha256Stream stream;
  stream.restart();
  stream.update(bytes);
  return stream.finish();
}

void Sha256Stream::restart() { state_->start(); }
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
