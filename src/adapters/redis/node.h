// One server of Redis: its connections, and whether it is worth asking.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "adapters/redis/connection.h"

namespace penstock::redis {

// How many may wait for a server to come back: whoever waits holds a thread that others could use.
inline constexpr int waiting_max = 4;

// What a call may cost, and whether it may be sent a second time.
struct Patience {
  Deadline until;
  bool waits = false;   // for a server to come back; else it fails while the server is known gone
  bool repeats = true;  // what was sent may be sent again: doing it twice is doing it once
};

class Node {
 public:
  Node(const Options& options, Server server, Tls tls)
      : options_(options), server_(std::move(server)), tls_(std::move(tls)) {}
  Node(const Node&) = delete;

  // A connection that is nobody else's until this goes.
  class Lease {
   public:
    Lease(std::shared_ptr<Node> node, std::unique_ptr<Connection> connection, bool used)
        : node_(std::move(node)), connection_(std::move(connection)), used_(used) {}
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (node_ && connection_) node_->end(std::move(connection_));
    }
    Connection& operator*() { return *connection_; }
    // All that was asked was answered: others may have it.
    void keep() { node_->keep(std::move(connection_)); }
    // It failed. One that had lain idle may have been ended long ago: that says nothing of the
    // server, unless it left us waiting.
    void fail(const Error& error, Deadline until) {
      node_->fail(error, used_ && std::chrono::steady_clock::now() < until);
      node_->end(std::move(connection_));
    }

   private:
    std::shared_ptr<Node> node_;
    std::unique_ptr<Connection> connection_;
    bool used_;
  };
  static Result<Lease> take(const std::shared_ptr<Node>& node, const Patience& patience);

  const Server& server() const { return server_; }

 private:
  struct Place {
    std::unique_ptr<Connection> connection;  // none: to be made
  };
  Result<Place> place(const Patience& patience);
  void keep(std::unique_ptr<Connection> connection);
  void end(std::unique_ptr<Connection> connection);
  void fail(const Error& error, bool used);

  const Options& options_;
  const Server server_;
  const Tls tls_;
  std::mutex turn_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Connection>> idle_;
  std::size_t open_ = 0;                // idle ones too
  std::optional<Error> trouble_;        // none: it answered last
  Deadline down_until_{};               // nobody asks it before
  std::chrono::milliseconds pause_{0};  // the last wait
  bool probing_ = false;                // one asks whether it is back
  int waiting_ = 0;                     // for it to come back
};

}  // namespace penstock::redis
