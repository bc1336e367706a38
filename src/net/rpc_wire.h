// What gRPC puts into HTTP/2: the parts that need no connection.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace penstock::net {

// How a call ended, as it goes over the wire.
enum class RpcCode {
  ok = 0,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16
};

struct RpcStatus {
  RpcCode code = RpcCode::ok;
  std::string message = {};

  bool ok() const { return code == RpcCode::ok; }
};

RpcStatus status_of(const Error& error);

// "250m" of grpc-timeout: 1 to 8 digits and H, M, S, m, u or n. Rounded up, so that what is left is
// never nothing.
std::optional<Micros> rpc_timeout(std::string_view text);

// A message as a header can carry it: what is no plain ASCII as %XX. Cut at 4,000 bytes, between
// two letters.
std::string rpc_message(std::string_view message);

// Takes one message out of a stream's bytes.
class RpcInbox {
 public:
  static constexpr std::size_t prefix_size = 5;

  // Not ok where it is longer than `most`, more than one, or of a form that there is not.
  RpcStatus take(std::string_view bytes, std::size_t most);
  bool is_empty() const { return got_ == 0; }
  bool is_begun() const { return got_ == prefix_size; }  // its length is known
  bool is_whole() const { return is_begun() && message_.size() == length_; }
  bool is_packed() const { return prefix_[0] == 1; }
  std::size_t length() const { return length_; }
  std::size_t size() const { return got_ + message_.size(); }
  // How much it takes at most before it knows more, or is whole.
  std::size_t wants() const { return is_begun() ? length_ - message_.size() : prefix_size - got_; }
  void reserve() { message_.reserve(length_); }
  std::string give() { return std::move(message_); }

 private:
  std::array<char, prefix_size> prefix_{};
  std::size_t got_ = 0, length_ = 0;
  std::string message_;
};

// What stands before a message of so many bytes.
void put_prefix(std::size_t size, char* to);

}  // namespace penstock::net
