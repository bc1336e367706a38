#include "tests/support/raw.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

namespace penstock::test {

Raw::Raw(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{30, 0};
  const int yes = 1;
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    ::close(socket_);
    throw std::runtime_error("nobody listens at " + address);
  }
}

Raw::~Raw() { ::close(socket_); }

bool Raw::send(const std::string& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const auto size = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (size <= 0) return false;
    sent += static_cast<std::size_t>(size);
  }
  return true;
}

void Raw::end() { ::shutdown(socket_, SHUT_WR); }

bool Raw::more() {
  std::array<char, 16'384> piece{};
  const auto size = ::recv(socket_, piece.data(), piece.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    throw std::runtime_error("no answer came");
  if (size <= 0) return false;
  read_.append(piece.data(), static_cast<std::size_t>(size));
  return true;
}

RawAnswer Raw::answer(bool head_only) {
  RawAnswer answer;
  std::size_t head_size = 0;
  while ((head_size = read_.find("\r\n\r\n")) == std::string::npos)
    if (!more()) return answer;
  answer.head = read_.substr(0, head_size);
  read_.erase(0, head_size + 4);
  for (std::size_t at = answer.head.find("\r\n"); at != std::string::npos;) {
    const std::size_t next = answer.head.find("\r\n", at + 2);
    const std::string line = answer.head.substr(at + 2, next - at - 2);
    std::string name = line.substr(0, line.find(": "));
    std::transform(name.begin(), name.end(), name.begin(), ::tolower);
    answer.headers[name] = line.substr(line.find(": ") + 2);
    at = next;
  }
  const auto length = answer.headers.find("content-length");
  const std::size_t size =
      head_only || length == answer.headers.end() ? 0 : std::stoul(length->second);
  while (read_.size() < size)
    if (!more()) return answer;
  answer.body = read_.substr(0, size);
  read_.erase(0, size);
  answer.status = std::stoi(answer.head.substr(9, 3));
  return answer;
}

std::string Raw::rest() {
  while (more()) {
  }
  return std::exchange(read_, {});
}

std::string Raw::some() {
  if (read_.empty() && !more()) throw std::runtime_error("the connection has ended");
  return std::exchange(read_, {});
}

}  // namespace penstock::test
