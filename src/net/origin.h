// Servers that calls are sent on to: what is counted of each over all loops, and whom it trusts.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <boost/asio/ssl/context.hpp>

#include "api/forward.h"
#include "net/upstream.h"

namespace penstock::net {

class Pool;

// One server by the name and address of its endpoints.
class Origin {
 public:
  Origin(Metrics& metrics, const http::Endpoint& endpoint,
         std::shared_ptr<boost::asio::ssl::context> trusted, std::string trust_fault);

  const std::string name, address;  // "127.0.0.1:8000", as the Host header says it
  const std::shared_ptr<boost::asio::ssl::context> tls;  // none: in plain text, or `tls_fault`
  const std::string tls_fault;

  // Whether one more connection may be opened; then it must be closed.
  bool open(std::size_t most);
  void closed();
  void lend() { ++in_use_, show(); }
  void give_back() { --in_use_, show(); }
  // Loops may show what they counted in another order, so each shows it again now and then.
  void show() {
    open_gauge_.set(static_cast<double>(open_.load()));
    in_use_gauge_.set(static_cast<double>(in_use_.load()));
  }
  std::size_t unused() const;
  void attempt() { attempts_.add(); }
  void fault(api::Fault fault) { faults_[static_cast<std::size_t>(fault)]->add(); }

 private:
  std::atomic<std::size_t> open_{0}, in_use_{0};
  Gauge& open_gauge_;
  Gauge& in_use_gauge_;
  Counter& attempts_;
  std::array<Counter*, 5> faults_;  // as api::Fault
};

class Origins {
 public:
  Origins(Metrics& metrics, UpstreamOptions given) : options(given), metrics_(metrics) {}

  // Takes a lock: a loop keeps what it gets.
  std::shared_ptr<Origin> find(const http::Endpoint& endpoint);
  void join(Pool& pool);
  void leave(Pool& pool);
  // Asks the other loops to close an unused connection.
  void make_room(const Pool& asking, const std::shared_ptr<Origin>& origin);

  const UpstreamOptions options;

 private:
  std::shared_ptr<boost::asio::ssl::context> trusted(const std::string& ca_file,
                                                     std::string& fault);

  Metrics& metrics_;
  std::mutex turn_;
  std::map<std::string, std::weak_ptr<Origin>> origins_;
  std::map<std::string, std::shared_ptr<boost::asio::ssl::context>> trusted_;  // by file
  std::vector<Pool*> pools_;
};

// What makes two endpoints share connections.
std::string key_of(const http::Endpoint& endpoint);

}  // namespace penstock::net
