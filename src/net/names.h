// Addresses of hosts, remembered for a while. Of one loop.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/ip/tcp.hpp>

namespace penstock::net {

class Names {
 public:
  using Addresses = std::vector<boost::asio::ip::tcp::endpoint>;
  using Found = std::function<void(const boost::system::error_code&, const Addresses&)>;

  Names(boost::asio::io_context& loop, std::size_t most, std::chrono::microseconds good_for)
      : resolver_(loop), most_(most), good_for_(good_for) {}

  // The addresses of `host` where they are known. The view ends with the next call.
  const Addresses* known(const std::string& host, const std::string& port);
  // Asks for them on a thread that may wait; `found` comes later, on the loop. Those who ask for
  // the same name meanwhile get the same answer. Where nothing is found but something was before,
  // that stays good: a name server may fail for a while.
  void ask(const std::string& host, const std::string& port, Found found);

 private:
  using Instant = std::chrono::steady_clock::time_point;
  struct Entry {
    Addresses addresses;
    Instant good_until;
    std::vector<Found> waiting;  // none: nobody asks now
  };
  void make_room();
  void answer(const std::string& key, boost::system::error_code fault, Addresses addresses);

  boost::asio::ip::tcp::resolver resolver_;
  const std::size_t most_;
  const std::chrono::microseconds good_for_;
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace penstock::net
