#include "tracking/webhook_secret.h"

#include <array>
#include <optional>
#include <sodium.h>

namespace penstock::tracking {
namespace {

using Byte = unsigned char;

const Byte* bytes_of(std::string_view text) { return reinterpret_cast<const Byte*>(text.data()); }
Byte* bytes_of(std::string& text) { return reinterpret_cast<Byte*>(text.data()); }

std::string base64(std::string_view bytes) {
  std::string out(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(out.data(), out.size(), bytes_of(bytes), bytes.size(),
                    sodium_base64_VARIANT_ORIGINAL);
  out.resize(out.size() - 1);  // its zero byte
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string out(text.size(), '\0');
  std::size_t size = 0;
  if (sodium_base642bin(bytes_of(out), out.size(), text.data(), text.size(), nullptr, &size,
                        nullptr, sodium_base64_VARIANT_ORIGINAL) != 0)
    return {};
  out.resize(size);
  return out;
}

}  // namespace

WebhookKey::WebhookKey(std::string bytes) : bytes_(std::move(bytes)), text_(base64(bytes_)) {}

WebhookKey WebhookKey::generate() {
  std::string bytes(crypto_secretbox_KEYBYTES, '\0');
  randombytes_buf(bytes.data(), bytes.size());
  return WebhookKey(std::move(bytes));
}

Result<WebhookKey> WebhookKey::parse(std::string_view text) {
  const auto bytes = from_base64(text);
  if (bytes && bytes->size() == crypto_secretbox_KEYBYTES) return WebhookKey(*bytes);
  return Error{Code::invalid_argument, "the key of webhooks must be base64 of " +
                                           std::to_string(crypto_secretbox_KEYBYTES) +
                                           " bytes (openssl rand -base64 32)"};
}

std::string WebhookKey::seal(std::string_view secret) const {
  std::string out(crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + secret.size(), '\0');
  randombytes_buf(out.data(), crypto_secretbox_NONCEBYTES);
  crypto_secretbox_easy(bytes_of(out) + crypto_secretbox_NONCEBYTES, bytes_of(secret),
                        secret.size(), bytes_of(out), bytes_of(bytes_));
  return base64(out);
}

Result<std::string> WebhookKey::open(std::string_view sealed) const {
  constexpr std::size_t most = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
  const auto box = from_base64(sealed);
  if (box && box->size() >= most) {
    std::string secret(box->size() - most, '\0');
    if (crypto_secretbox_open_easy(bytes_of(secret), bytes_of(*box) + crypto_secretbox_NONCEBYTES,
                                   box->size() - crypto_secretbox_NONCEBYTES, bytes_of(*box),
                                   bytes_of(bytes_)) == 0)
      return secret;
  }
  return Error{Code::failed_precondition,
               "its secret was sealed with another key (webhooks.key of the data directory, or "
               "webhooks.key of penstock.yaml); set the secret again"};
}

std::string webhook_signature(std::string_view secret, std::string_view delivery,
                              std::string_view timestamp, std::string_view body) {
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, bytes_of(secret), secret.size());
  for (const std::string_view part :
       {delivery, std::string_view("."), timestamp, std::string_view("."), body})
    crypto_auth_hmacsha256_update(&state, bytes_of(part), part.size());
  std::string digest(crypto_auth_hmacsha256_BYTES, '\0');
  crypto_auth_hmacsha256_final(&state, bytes_of(digest));
  sodium_memzero(&state, sizeof state);
  return "v1," + base64(digest);
}

std::string new_uuid() {
  std::array<Byte, 16> bytes{};
  randombytes_buf(bytes.data(), bytes.size());
  bytes[6] = static_cast<Byte>((bytes[6] & 0x0fU) | 0x40U);
  bytes[8] = static_cast<Byte>((bytes[8] & 0x3fU) | 0x80U);
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += digits[bytes[i] >> 4];
    out += digits[bytes[i] & 15];
  }
  return out;
}

}  // namespace penstock::tracking
