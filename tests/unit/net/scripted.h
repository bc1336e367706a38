// A server that does on each connection what a test says, byte by byte.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

namespace penstock::net {

// The sockets that a server has open, to end them all with it.
class OpenSockets {
 public:
  void add(int socket) {
    const std::lock_guard lock(turn_);
    sockets_.insert(socket);
  }
  void close(int socket) {
    const std::lock_guard lock(turn_);
    if (sockets_.erase(socket) > 0) ::close(socket);
  }
  void end_all() {
    const std::lock_guard lock(turn_);
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }

 private:
  std::mutex turn_;
  std::set<int> sockets_;
};

// The server's side of one connection.
class Peer {
 public:
  Peer(int socket, OpenSockets& open) : socket_(socket), open_(open) { open_.add(socket); }
  ~Peer() { close(); }
  Peer(const Peer&) = delete;

  // The next request with its body; "" where the other side is gone. Requests have a length.
  std::string request() {
    while (true) {
      const std::size_t end = read_.find("\r\n\r\n");
      if (end != read_.npos) {
        const std::size_t at = read_.find("content-length: ");
        const std::size_t length = at < end ? std::stoul(read_.substr(at + 16)) : 0;
        if (read_.size() >= end + 4 + length) {
          std::string whole = read_.substr(0, end + 4 + length);
          read_.erase(0, whole.size());
          return whole;
        }
      }
      if (!more()) return "";
    }
  }
  // Waits for the other side to end the connection.
  void wait_for_end() {
    while (more()) read_.clear();
  }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t size = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(size));
    }
    return true;
  }
  bool answer(const std::string& body, const std::string& headers = "") {
    return send("HTTP/1.1 200 OK\r\n" + headers + "Content-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body);
  }
  int socket() const { return socket_; }
  void reset() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
  }
  void close() {
    if (socket_ >= 0) open_.close(std::exchange(socket_, -1));
  }

 private:
  bool more() {
    char bytes[16 << 10];
    pollfd ready{.fd = socket_, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, 30'000) <= 0) return false;
    const ssize_t size = ::recv(socket_, bytes, sizeof bytes, 0);
    if (size <= 0) return false;
    read_.append(bytes, static_cast<std::size_t>(size));
    return true;
  }

  int socket_;
  OpenSockets& open_;
  std::string read_;
};

class Scripted {
 public:
  // Called with the number of the connection, each on a thread of its own.
  using Script = std::function<void(Peer&, int)>;

  explicit Scripted(Script script) : script_(std::move(script)) {
    listening_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listening_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listening_, 1'024) != 0)
      throw std::runtime_error("cannot listen");
    ::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    accepting_ = std::jthread([this] { accept(); });
  }
  ~Scripted() {
    stop_listening();
    sockets_.end_all();
    threads_.clear();
  }

  void stop_listening() {
    if (!accepting_.joinable()) return;
    ::shutdown(listening_, SHUT_RDWR);
    accepting_.join();
    ::close(listening_);
  }
  std::string port() const { return std::to_string(port_); }
  int connections() const { return connections_; }
  int open() const { return open_; }

 private:
  void accept() {
    while (true) {
      const int socket = ::accept(listening_, nullptr, nullptr);
      if (socket < 0) return;
      const int number = connections_++;
      ++open_;
      auto peer = std::make_unique<Peer>(socket, sockets_);
      threads_.emplace_back([this, number, peer = std::move(peer)]() mutable {
        script_(*peer, number);
        peer.reset();
        --open_;
      });
    }
  }

  const Script script_;
  int listening_ = -1, port_ = 0;
  std::atomic<int> connections_{0}, open_{0};
  OpenSockets sockets_;
  std::list<std::jthread> threads_;  // of the accepting thread
  std::jthread accepting_;
};

// Answers every request with `body`, on connections that are kept.
inline Scripted::Script always(const std::string& body) {
  return [body](Peer& peer, int) {
    while (!peer.request().empty() && peer.answer(body)) continue;
  };
}

}  // namespace penstock::net
