// Sends the same request over kept connections as fast as its answers come, and says how long they
// took, as one line of JSON.
//
//   load --url http://127.0.0.1:8080/path [--concurrency N] [--seconds S] [--body FILE]
//        [--header "Name: value"]... [--stream]
//
// With --stream the answers are streams of mock_upstream: it also says how long a piece was under
// way, and how long after the request the first one came.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Options {
  std::string host, port, path = "/", body, headers;
  std::size_t concurrency = 1;
  double seconds = 5;
  bool stream = false;
};

long long now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

struct Connection {
  int socket = -1;
  long long sent_at = 0;
  std::string read;
  std::size_t seen = 0;  // of `read`, for pieces
  bool first = true;     // no piece has come yet
};

class Load {
 public:
  explicit Load(Options options) : options_(std::move(options)), events_(epoll_create1(0)) {
    request_ = (options_.body.empty() ? "GET " : "POST ") + options_.path +
               " HTTP/1.1\r\nHost: " + options_.host + ":" + options_.port + "\r\n" +
               options_.headers;
    if (!options_.body.empty())
      request_ += "Content-Type: application/json\r\nContent-Length: " +
                  std::to_string(options_.body.size()) + "\r\n";
    request_ += "\r\n" + options_.body;
    connections_.resize(options_.concurrency);
    for (std::size_t at = 0; at < connections_.size(); ++at) connect_one(at);
  }

  void run() {
    const long long begin = now_ns();
    const auto length = static_cast<long long>(options_.seconds * 1e9);
    warm_until_ = begin + length / 10;
    end_ = begin + length;
    for (Connection& one : connections_) send_one(one);
    std::array<epoll_event, 256> ready{};
    while (now_ns() < end_) {
      const int count = epoll_wait(events_, ready.data(), static_cast<int>(ready.size()), 100);
      for (int at = 0; at < count; ++at)
        read(connections_[ready[static_cast<std::size_t>(at)].data.u64]);
    }
    say();
  }

 private:
  [[noreturn]] static void fail(const char* what) {
    std::perror(what);
    std::exit(1);
  }
  void connect_one(std::size_t at) {
    Connection& one = connections_[at];
    one.socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(options_.port.c_str())));
    inet_pton(AF_INET, options_.host.c_str(), &address.sin_addr);
    if (connect(one.socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      fail("load: connect");
    const int yes = 1;
    setsockopt(one.socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = at;
    epoll_ctl(events_, EPOLL_CTL_ADD, one.socket, &event);
  }
  void send_one(Connection& one) {
    one.read.clear();
    one.seen = 0;
    one.first = true;
    one.sent_at = now_ns();
    for (std::size_t sent = 0; sent < request_.size();) {
      const auto size =
          send(one.socket, request_.data() + sent, request_.size() - sent, MSG_NOSIGNAL);
      if (size <= 0) fail("load: send");
      sent += static_cast<std::size_t>(size);
    }
  }
  void read(Connection& one) {
    std::array<char, 64 << 10> bytes;
    const ssize_t size = recv(one.socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) fail("load: the server hung up");
    const long long now = now_ns();
    one.read.append(bytes.data(), static_cast<std::size_t>(size));
    const bool counts = one.sent_at >= warm_until_;
    if (options_.stream && counts) time_pieces(one, now);
    if (!is_whole(one)) return;
    if (counts) {
      times_.push_back(now - one.sent_at);
      if (one.read.compare(9, 3, "200") != 0) ++errors_;
    }
    send_one(one);
  }
  void time_pieces(Connection& one, long long now) {
    constexpr std::string_view mark = "\"at ";
    for (std::size_t at = 0; (at = one.read.find(mark, one.seen)) != std::string::npos;) {
      const std::size_t end = one.read.find(' ', at + mark.size());
      if (end == std::string::npos) break;
      pieces_.push_back(now - std::atoll(one.read.c_str() + at + mark.size()));
      if (one.first) firsts_.push_back(now - one.sent_at);
      one.first = false;
      one.seen = end;
    }
  }
  static bool is_whole(const Connection& one) {
    const std::size_t end = one.read.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    for (const char* name : {"content-length: ", "Content-Length: "})
      if (const std::size_t at = one.read.find(name); at < end)
        return one.read.size() >= end + 4 + std::strtoul(one.read.c_str() + at + 16, nullptr, 10);
    return one.read.ends_with("\r\n0\r\n\r\n");
  }
  static void say_times(const char* name, std::vector<long long>& times) {
    std::sort(times.begin(), times.end());
    const auto at = [&](double part) {
      if (times.empty()) return 0.0;
      const auto place = static_cast<std::size_t>(part * static_cast<double>(times.size()));
      return static_cast<double>(times[std::min(place, times.size() - 1)]) / 1e3;
    };
    std::printf(
        "\"%s\": {\"count\": %zu, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": "
        "%.1f, \"max\": %.1f}",
        name, times.size(), at(0.5), at(0.9), at(0.99), at(0.999), at(1));
  }
  void say() {
    const double seconds = static_cast<double>(end_ - warm_until_) / 1e9;
    std::printf("{\"rate\": %.1f, \"errors\": %zu, \"seconds\": %.2f, ",
                static_cast<double>(times_.size()) / seconds, errors_, seconds);
    say_times("microseconds", times_);
    if (options_.stream) {
      std::printf(", ");
      say_times("piece", pieces_);
      std::printf(", ");
      say_times("first", firsts_);
    }
    std::printf("}\n");
  }

  const Options options_;
  int events_;
  std::string request_;
  std::vector<Connection> connections_;
  std::vector<long long> times_, pieces_, firsts_;
  std::size_t errors_ = 0;
  long long warm_until_ = 0, end_ = 0;
};

Options read_options(int count, char** words) {
  Options options;
  for (int at = 1; at < count; ++at) {
    const std::string_view name = words[at];
    if (name == "--stream") {
      options.stream = true;
      continue;
    }
    if (at + 1 == count) break;
    const std::string value = words[++at];
    if (name == "--concurrency") options.concurrency = std::strtoul(value.c_str(), nullptr, 10);
    if (name == "--seconds") options.seconds = std::atof(value.c_str());
    if (name == "--header") options.headers += value + "\r\n";
    if (name == "--body") {
      std::ostringstream text;
      text << std::ifstream(value).rdbuf();
      options.body = text.str();
    }
    if (name == "--url") {
      const std::string rest = value.substr(value.find("://") + 3);
      const std::string authority = rest.substr(0, rest.find('/'));
      options.host = authority.substr(0, authority.find(':'));
      options.port = authority.substr(authority.find(':') + 1);
      if (rest.find('/') != rest.npos) options.path = rest.substr(rest.find('/'));
    }
  }
  return options;
}

}  // namespace

int main(int count, char** words) {
  Options options = read_options(count, words);
  if (options.host.empty() || options.concurrency == 0) {
    std::fprintf(stderr,
                 "load --url http://ADDRESS:PORT/PATH [--concurrency N] [--seconds S] "
                 "[--body FILE] [--header H] [--stream]\n");
    return 2;
  }
  Load(std::move(options)).run();
}
