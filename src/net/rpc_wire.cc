#include "net/rpc_wire.h"

#include <algorithm>
#include <charconv>

namespace penstock::net {
namespace {

// A status travels in a header: longer ones are cut off by some proxies.
constexpr std::size_t message_max = 4'000;

RpcCode code_of(Code code) {
  switch (code) {
    case Code::invalid_argument: return RpcCode::invalid_argument;
    case Code::unauthenticated: return RpcCode::unauthenticated;
    case Code::permission_denied: return RpcCode::permission_denied;
    case Code::not_found: return RpcCode::not_found;
    case Code::already_exists: return RpcCode::already_exists;
    case Code::failed_precondition: return RpcCode::failed_precondition;
    case Code::resource_exhausted: return RpcCode::resource_exhausted;
    case Code::deadline_exceeded: return RpcCode::deadline_exceeded;
    case Code::unavailable: return RpcCode::unavailable;
    case Code::data_loss: return RpcCode::data_loss;
    case Code::internal: return RpcCode::internal;
  }
  return RpcCode::internal;
}

}  // namespace

RpcStatus status_of(const Error& error) { return {code_of(error.code), error.message}; }

std::optional<Micros> rpc_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return {};
  std::int64_t count = 0;
  const char* const unit = text.data() + text.size() - 1;
  const auto read = std::from_chars(text.data(), unit, count);
  if (read.ec != std::errc{} || read.ptr != unit || count < 0) return {};
  switch (*unit) {
    case 'H': return Micros(count * 3'600'000'000);
    case 'M': return Micros(count * 60'000'000);
    case 'S': return Micros(count * 1'000'000);
    case 'm': return Micros(count * 1'000);
    case 'u': return Micros(count);
    case 'n': return Micros((count + 999) / 1'000);
    default: return {};
  }
}

std::string rpc_message(std::string_view message) {
  static constexpr char digits[] = "0123456789ABCDEF";
  if (message.size() > message_max) {
    std::size_t end = message_max;  // not in the middle of a letter of UTF-8
    while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0) == 0x80) --end;
    message = message.substr(0, end);
  }
  std::string out;
  out.reserve(message.size());
  for (const char letter : message) {
    if (letter >= ' ' && letter <= '~' && letter != '%') {
      out += letter;
    } else {
      const auto byte = static_cast<unsigned char>(letter);
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

RpcStatus RpcInbox::take(std::string_view bytes, std::size_t most) {
  if (!is_begun()) {
    const std::size_t size = std::min(bytes.size(), prefix_size - got_);
    std::copy_n(bytes.data(), size, prefix_.data() + got_);
    got_ += size;
    bytes.remove_prefix(size);
    if (!is_begun()) return {};
    for (std::size_t i = 1; i < prefix_size; ++i)
      length_ = length_ << 8 | static_cast<unsigned char>(prefix_[i]);
    if (prefix_[0] != 0 && prefix_[0] != 1)
      return {RpcCode::internal, "the first byte of a message must be 0 or 1"};
    if (length_ > most)
      return {RpcCode::resource_exhausted, "the message is " + std::to_string(length_) +
                                               " bytes; at most " + std::to_string(most) +
                                               " are taken"};
  }
  if (bytes.size() > length_ - message_.size())
    return {RpcCode::unimplemented, "more than one message came; a unary call has one"};
  message_.append(bytes);
  return {};
}

void put_prefix(std::size_t size, char* to) {
  to[0] = 0;
  for (int i = 1; i <= 4; ++i) to[i] = static_cast<char>(size >> (32 - 8 * i) & 0xFF);
}

}  // namespace penstock::net
