// The connections of one event loop to other servers, and the requests under way on them. All of it
// is used on the loop's thread.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "net/connection.h"
#include "net/names.h"
#include "net/origin.h"

namespace penstock::net {

// Why no whole answer came. The detail names the upstream and no secret.
struct Broken {
  api::Fault fault = api::Fault::broke;
  std::string detail;
  bool busy = false;  // all its connections are in use
};

// Gets what comes of a request, never from inside Pool::send(). Nothing comes after end() or
// fault(), and nothing once the exchange is closed, which it may be from inside any of these.
class Receiver {
 public:
  virtual void head(int status, http::Fields& headers, std::size_t promised) = 0;
  virtual void body(std::string_view bytes) = 0;
  virtual void end() = 0;
  virtual void fault(Broken broken) = 0;

 protected:
  ~Receiver() = default;
};

// The connections that a loop keeps to one origin.
struct Kept {
  std::shared_ptr<Origin> origin;
  std::vector<std::shared_ptr<Connection>> unused;  // the last one used last
  std::size_t users = 0;                            // exchanges
};

class Pool {
 public:
  Pool(asio::io_context& loop, Origins& origins);
  ~Pool();  // exchanges under way end without a word
  Pool(const Pool&) = delete;

  // `receiver` must live until the exchange is closed or has ended.
  std::shared_ptr<Exchange> send(std::shared_ptr<const http::Endpoint> endpoint,
                                 http::Request request, Instant deadline, Receiver& receiver);
  // Faults all that is under way.
  void stop();
  // From any thread: an unused connection to `origin` is closed.
  void post_drop_unused(const std::shared_ptr<Origin>& origin);

  // For exchanges.
  std::shared_ptr<Connection> take_unused(Kept& kept);
  void keep(Kept& kept, const std::shared_ptr<Connection>& connection);
  void wait_read(const std::shared_ptr<Connection>& connection);
  void wait_write(const std::shared_ptr<Connection>& connection);
  asio::io_context& loop() { return loop_; }
  Origins& origins() { return origins_; }
  Names& names() { return names_; }
  std::vector<char>& buffer() { return buffer_; }
  std::list<Exchange*>& live() { return live_; }

 private:
  Kept& kept_of(const std::shared_ptr<const http::Endpoint>& endpoint);
  void unused_readable(const std::shared_ptr<Connection>& connection);
  void drop_unused(const Origin& origin);
  void tick_in(Micros step);
  void tick();
  void sweep(Instant now);

  asio::io_context& loop_;
  Origins& origins_;
  Names names_;
  asio::steady_timer timer_;
  std::unordered_map<std::string, std::unique_ptr<Kept>> kept_;  // by key_of
  // The way there without building the key. It holds the endpoint, so an address means one.
  std::unordered_map<std::shared_ptr<const http::Endpoint>, Kept*> known_;
  std::list<Exchange*> live_;
  std::vector<std::shared_ptr<Exchange>> late_;
  std::vector<char> buffer_;
  Instant next_sweep_;
  int quiet_ticks_ = 0;
  Micros ticks_in_ = Micros::max();  // none is set
};

}  // namespace penstock::net
