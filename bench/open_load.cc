// Sends calls at the times that a Poisson process says, whether the answers of earlier ones came or
// not, and says how long each took from the time it was meant to leave: what a queue adds counts.
//
//   open_load ADDRESS:PORT RATE SECONDS CONNECTIONS MARK FILE
//
// RATE 0: closed loops, each connection with its next call when its last is answered.
// FILE is a whole HTTP/1.1 request (head and body) that holds MARK followed by 16 zeros: each call
// has a number of its own there, and its answer must hold the same. One line of JSON at the end:
// what was sent, and how each call ended, once and only once: answered well, refused (another
// status), lost (no answer within 30 s of its leaving, or a hang-up) or wrong (an answer without
// the call's mark, bytes after an answer). Times of calls that were answered well, in microseconds.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t digits = 16;
constexpr long long second = 1'000'000'000, patience = 30 * second;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "open_load: %s\n", what.c_str());
  std::exit(1);
}

long long now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * second + now.tv_nsec;
}

struct Waiting {
  long long meant = 0;  // when it should have left
  long long left = 0;   // when it did
  std::uint64_t number = 0;
};

struct Connection {
  int socket = -1;
  bool busy = false;
  Waiting call;
  std::string read;
};

struct Tally {
  std::uint64_t sent = 0, well = 0, lost = 0, wrong = 0, connects = 0;
  std::map<int, std::uint64_t> refused;  // by status
  std::vector<float> micros;
  std::size_t backlog_max = 0;
};

class OpenLoad {
 public:
  OpenLoad(const std::string& address, std::string request, const std::string& mark, double rate,
           std::size_t connections)
      : closed_(rate == 0),
        request_(std::move(request)),
        mark_(mark),
        gap_(closed_ ? 1 : rate / 1e9),
        events_(epoll_create1(0)) {
    const std::size_t colon = address.rfind(':');
    server_.sin_family = AF_INET;
    server_.sin_port = htons(static_cast<std::uint16_t>(std::atoi(address.c_str() + colon + 1)));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &server_.sin_addr);
    place_ = request_.find(mark + std::string(digits, '0'));
    if (place_ == std::string::npos) fail("the request has no " + mark + " and 16 zeros");
    place_ += mark.size();
    connections_.resize(connections);
    for (std::size_t at = 0; at < connections; ++at) {
      connect_one(at);
      free_.push_back(at);
    }
  }

  void run(double seconds) {
    const long long begin = now_ns(), end = begin + static_cast<long long>(seconds * 1e9);
    long long next = begin;
    std::array<epoll_event, 256> ready{};
    for (long long now = begin; now < end || in_flight_ > 0 || !backlog_.empty(); now = now_ns()) {
      if (closed_ && now < end)
        while (backlog_.size() < free_.size())
          backlog_.push_back({.meant = now, .number = ++number_});
      for (; !closed_ && next <= now && next < end; next += static_cast<long long>(gap_(random_)))
        backlog_.push_back({.meant = next, .number = ++number_});
      tally_.backlog_max = std::max(tally_.backlog_max, backlog_.size());
      while (!backlog_.empty() && !free_.empty()) send_one();
      give_up(now);
      const long long wait = !closed_ && next < end ? std::max(next - now, 0LL) : second / 100;
      timespec time{wait / second, wait % second};
      const int count =
          epoll_pwait2(events_, ready.data(), static_cast<int>(ready.size()), &time, nullptr);
      for (int at = 0; at < count; ++at) read(ready[static_cast<std::size_t>(at)].data.u64);
    }
    say(seconds);
  }

 private:
  void connect_one(std::size_t at) {
    Connection& one = connections_[at];
    one.socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(one.socket, reinterpret_cast<sockaddr*>(&server_), sizeof server_) != 0)
      fail("cannot connect");
    ++tally_.connects;
    const int yes = 1;
    setsockopt(one.socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = at;
    epoll_ctl(events_, EPOLL_CTL_ADD, one.socket, &event);
  }
  void connect_again(std::size_t at) {
    close(connections_[at].socket);
    connections_[at] = {};
    connect_one(at);
  }
  std::string name_of(std::uint64_t number) const {
    std::array<char, digits + 1> text{};
    std::snprintf(text.data(), text.size(), "%016llu", static_cast<unsigned long long>(number));
    return text.data();
  }
  void send_one() {
    const std::size_t at = free_.back();
    free_.pop_back();
    Connection& one = connections_[at];
    one.busy = true;
    one.call = backlog_.front();
    one.call.left = now_ns();
    one.read.clear();
    backlog_.pop_front();
    ++in_flight_;
    ++tally_.sent;
    request_.replace(place_, digits, name_of(one.call.number));
    for (std::size_t sent = 0; sent < request_.size();) {
      const auto size =
          send(one.socket, request_.data() + sent, request_.size() - sent, MSG_NOSIGNAL);
      if (size <= 0) return end_lost(at);
      sent += static_cast<std::size_t>(size);
    }
  }
  void done(std::size_t at) {
    connections_[at].busy = false;
    --in_flight_;
    free_.push_back(at);
  }
  void end_lost(std::size_t at) {
    ++tally_.lost;
    done(at);
    connect_again(at);
  }
  void give_up(long long now) {
    if (now < look_at_) return;
    look_at_ = now + second;
    for (std::size_t at = 0; at < connections_.size(); ++at)
      if (connections_[at].busy && now - connections_[at].call.left > patience) end_lost(at);
  }
  void read(std::size_t at) {
    Connection& one = connections_[at];
    std::array<char, 64 << 10> bytes;
    const ssize_t size = recv(one.socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return;
    if (!one.busy) {  // it hung up while it was idle, or said something that nobody asked
      if (size > 0) ++tally_.wrong;
      return connect_again(at);
    }
    if (size <= 0) return end_lost(at);
    one.read.append(bytes.data(), static_cast<std::size_t>(size));
    const std::size_t end = one.read.find("\r\n\r\n");
    if (end == std::string::npos) return;
    std::string head = one.read.substr(0, end);
    std::transform(head.begin(), head.end(), head.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const std::size_t length = head.find("content-length: ");
    if (length == std::string::npos) fail("an answer has no length: " + head);
    const std::size_t whole = end + 4 + std::strtoul(head.c_str() + length + 16, nullptr, 10);
    if (one.read.size() < whole) return;
    take(one, whole);
    const bool ends = head.find("connection: close") != std::string::npos;
    done(at);
    if (ends) connect_again(at);
  }
  void take(const Connection& one, std::size_t whole) {
    const int status = std::atoi(one.read.c_str() + 9);
    if (one.read.size() > whole) ++tally_.wrong;
    if (status != 200) {
      ++tally_.refused[status];
    } else if (one.read.find(mark_ + name_of(one.call.number)) == std::string::npos) {
      ++tally_.wrong;
    } else {
      ++tally_.well;
      tally_.micros.push_back(static_cast<float>(now_ns() - one.call.meant) / 1e3f);
    }
  }
  void say(double seconds) {
    std::sort(tally_.micros.begin(), tally_.micros.end());
    const auto at = [&](double part) {
      if (tally_.micros.empty()) return 0.0;
      const auto place = static_cast<std::size_t>(part * static_cast<double>(tally_.micros.size()));
      return static_cast<double>(tally_.micros[std::min(place, tally_.micros.size() - 1)]);
    };
    std::printf("{\"sent\": %llu, \"well\": %llu, \"lost\": %llu, \"wrong\": %llu, \"refused\": {",
                static_cast<unsigned long long>(tally_.sent),
                static_cast<unsigned long long>(tally_.well),
                static_cast<unsigned long long>(tally_.lost),
                static_cast<unsigned long long>(tally_.wrong));
    const char* comma = "";
    for (const auto& [status, count] : tally_.refused) {
      std::printf("%s\"%d\": %llu", comma, status, static_cast<unsigned long long>(count));
      comma = ", ";
    }
    std::printf(
        "}, \"rate\": %.1f, \"p50\": %.0f, \"p99\": %.0f, \"p999\": %.0f, \"max\": %.0f, "
        "\"backlog_max\": %zu, \"connects\": %llu}\n",
        static_cast<double>(tally_.sent) / seconds, at(0.5), at(0.99), at(0.999), at(1),
        tally_.backlog_max, static_cast<unsigned long long>(tally_.connects));
  }

  const bool closed_;
  std::string request_;
  const std::string mark_;
  std::size_t place_ = 0;
  std::mt19937_64 random_{20'261'126};
  std::exponential_distribution<double> gap_;  // nanoseconds
  const int events_;
  sockaddr_in server_{};
  std::vector<Connection> connections_;
  std::vector<std::size_t> free_;
  std::deque<Waiting> backlog_;
  // Apart, so that a run of each kind against one server shares no mark.
  std::uint64_t number_ = closed_ ? 1'000'000'000'000 : 0;
  std::size_t in_flight_ = 0;
  long long look_at_ = 0;
  Tally tally_;
};

}  // namespace

int main(int count, char** words) {
  if (count != 7) fail("open_load ADDRESS:PORT RATE SECONDS CONNECTIONS MARK FILE");
  const double rate = std::atof(words[2]), seconds = std::atof(words[3]);
  const long connections = std::atol(words[4]);
  if (rate < 0 || seconds <= 0 || connections < 1 || connections > 10'000)
    fail("RATE and SECONDS must be more than 0, CONNECTIONS from 1 to 10,000");
  std::ostringstream request;
  request << std::ifstream(words[6], std::ios::binary).rdbuf();
  OpenLoad(words[1], request.str(), words[5], rate, static_cast<std::size_t>(connections))
      .run(seconds);
}
