// One connection to another server, plain or TLS. It never waits: what cannot go on now says so.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/ip/tcp.hpp>

#include "net/origin.h"

struct ssl_st;
struct bio_st;

namespace penstock::net {

namespace asio = boost::asio;

class Exchange;
using Instant = std::chrono::steady_clock::time_point;

// TLS over memory: what to do with the bytes on the wire is the connection's business.
class Tls {
 public:
  enum class Step { done, wants_bytes, end, broken };
  Tls(asio::ssl::context& context, const std::string& host);
  ~Tls();
  Tls(const Tls&) = delete;

  Step shake_hands();
  Step read(char* to, std::size_t most, std::size_t& got);
  bool write(std::string_view plain);
  void take(const char* from, std::size_t size);  // bytes that came
  void put_out(std::string& out);                 // appends bytes to send
  std::string fault() const { return fault_; }

 private:
  Step step_of(int result);

  ssl_st* ssl_ = nullptr;
  bio_st* in_ = nullptr;  // both belong to ssl_
  bio_st* out_ = nullptr;
  std::string fault_;
};

class Connection {
 public:
  enum class Io { some, blocked, end, broken };

  Connection(asio::io_context& loop, std::shared_ptr<Origin> origin)
      : socket(loop), origin_(std::move(origin)) {}
  ~Connection() { close(); }
  Connection(const Connection&) = delete;

  // After the socket is connected; `some` once bytes may be sent, at once where it is plain.
  void begin(const std::string& host);
  Io shake_hands();
  // Sends of head and body what is beyond `sent`, and adds to it.
  Io send(std::string_view head, std::string_view body, std::size_t& sent);
  Io receive(char* to, std::size_t most, std::size_t& got);
  // Whether nothing came on it while it was unused.
  bool is_quiet();
  void close();
  bool is_open() const { return !closed_; }
  std::string fault() const {
    return tls_ && !tls_->fault().empty() ? tls_->fault() : fault_.message();
  }
  const std::shared_ptr<Origin>& origin() const { return origin_; }

  asio::ip::tcp::socket socket;
  Exchange* user = nullptr;  // none: it is kept for the next
  Instant unused_since;
  bool reading = false, writing = false;  // a wait for the socket is under way

 private:
  Io push();
  Io pull();

  const std::shared_ptr<Origin> origin_;
  std::unique_ptr<Tls> tls_;
  std::string cipher_;  // not yet sent
  std::size_t cipher_sent_ = 0;
  boost::system::error_code fault_;
  bool closed_ = false;
};

}  // namespace penstock::net
