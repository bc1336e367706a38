// A language model that costs nothing, for benches: it answers every POST with the same completion,
// and a request with "stream":true with a stream of pieces. It says that it is a stand-in.
//
//   mock_upstream [--port N] [--pieces N] [--gap MICROSECONDS] [--mark TEXT]
//
// With --mark, a whole answer repeats the first word of the request that begins with TEXT, and on
// SIGTERM it says how many requests came, and how many with a word that had come before.
// Each piece says when it was sent (CLOCK_MONOTONIC, ns), so that a reader on the same machine
// knows how long it was under way.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace {

struct Options {
  int port = 0, pieces = 20;
  long gap = 1'000;
  std::string mark;
};

volatile std::sig_atomic_t ended = 0;

long long now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

std::string whole_answer(std::string_view says) {
  const std::string body =
      R"({"id":"chatcmpl-mock","object":"chat.completion","created":1767225600,"model":"mock",)"
      R"("system_fingerprint":"a stand-in of the bench","choices":[{"index":0,"message":{"role":)"
      R"("assistant","content":")" +
      std::string(says) +
      R"("},"finish_reason":"stop"}],)"
      R"("usage":{"prompt_tokens":25,"completion_tokens":9,"total_tokens":34}})";
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string chunk(const std::string& data) {
  std::array<char, 20> size{};
  std::snprintf(size.data(), size.size(), "%zx\r\n", data.size());
  return size.data() + data + "\r\n";
}

std::string piece(const std::string& delta, const std::string& usage) {
  return "data: {\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":"
         "1767225600,\"model\":\"mock\",\"choices\":[" +
         delta + "]" + usage + "}\n\n";
}

struct Connection {
  int socket = -1, timer = -1, left = 0;
  std::string read;
};

class Mock {
 public:
  explicit Mock(const Options& options) : options_(options), events_(epoll_create1(0)) {
    listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const int yes = 1;
    setsockopt(listening_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(options.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listening_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listening_, 4'096) != 0) {
      std::perror("mock_upstream");
      std::exit(1);
    }
    getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size);
    std::printf("http://127.0.0.1:%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    watch(listening_);
  }

  void run() {
    std::array<epoll_event, 256> ready{};
    while (!ended) {
      const int count = epoll_wait(events_, ready.data(), static_cast<int>(ready.size()), -1);
      for (int at = 0; at < count; ++at) {
        const int file = ready[static_cast<std::size_t>(at)].data.fd;
        if (file == listening_)
          accept_all();
        else if (const auto timer = timers_.find(file); timer != timers_.end())
          tick(*timer->second);
        else if (const auto open = connections_.find(file); open != connections_.end())
          read(*open->second);
      }
    }
    if (!options_.mark.empty())
      std::printf("{\"requests\": %zu, \"repeated\": %zu}\n", requests_, repeated_);
  }

 private:
  void watch(int file) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = file;
    epoll_ctl(events_, EPOLL_CTL_ADD, file, &event);
  }
  void accept_all() {
    for (int file = 0; (file = accept4(listening_, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
      const int yes = 1;
      setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      auto made = std::make_unique<Connection>();
      made->socket = file;
      connections_[file] = std::move(made);
      watch(file);
    }
  }
  void close_one(Connection& one) {
    if (one.timer >= 0) {
      timers_.erase(one.timer);
      close(one.timer);
    }
    const int file = one.socket;
    close(file);
    connections_.erase(file);
  }
  void read(Connection& one) {
    std::array<char, 64 << 10> bytes;
    const ssize_t size = recv(one.socket, bytes.data(), bytes.size(), 0);
    if (size <= 0) {
      if (size == 0 || errno != EAGAIN) close_one(one);
      return;
    }
    one.read.append(bytes.data(), static_cast<std::size_t>(size));
    while (one.left == 0 && take(one)) continue;
  }
  // Answers one request, where it has wholly come.
  bool take(Connection& one) {
    const std::size_t end = one.read.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    std::size_t length = 0;
    for (const char* name : {"content-length: ", "Content-Length: "})
      if (const std::size_t at = one.read.find(name); at < end)
        length = std::strtoul(one.read.c_str() + at + 16, nullptr, 10);
    if (one.read.size() < end + 4 + length) return false;
    const std::string_view body = std::string_view(one.read).substr(end + 4, length);
    const bool streams =
        body.find("\"stream\":true") != body.npos || body.find("\"stream\": true") != body.npos;
    const std::string word = options_.mark.empty() ? "" : marked(body);
    one.read.erase(0, end + 4 + length);
    if (streams)
      begin_stream(one);
    else
      send_all(one, word.empty() ? whole_ : whole_answer(word));
    return true;
  }
  std::string marked(std::string_view body) {
    const std::size_t at = body.find(options_.mark);
    if (at == body.npos) return "";
    std::string word(body.substr(at, body.find_first_of("\"\\ ", at) - at));
    ++requests_;
    if (!seen_[std::hash<std::string>()(word) % seen_.size()].insert(word).second) ++repeated_;
    return word;
  }
  void send_all(Connection& one, const std::string& bytes) {
    [[maybe_unused]] const auto sent =
        send(one.socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);  // small: it has room
  }
  void begin_stream(Connection& one) {
    one.left = options_.pieces;
    send_piece(one,
               "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: "
               "chunked\r\n\r\n");
    if (one.left == 0) return;
    if (one.timer < 0) {
      one.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
      timers_[one.timer] = &one;
      watch(one.timer);
    }
    set_timer(one, options_.gap);
  }
  static void set_timer(const Connection& one, long gap) {
    itimerspec time{};
    time.it_value = {gap / 1'000'000, gap % 1'000'000 * 1'000};
    time.it_interval = time.it_value;
    timerfd_settime(one.timer, 0, &time, nullptr);
  }
  void send_piece(Connection& one, std::string out) {
    --one.left;
    out += chunk(piece(R"({"index":0,"delta":{"content":"at )" + std::to_string(now_ns()) +
                           R"( "},"finish_reason":null})",
                       ""));
    if (one.left == 0)
      out += chunk(piece(R"({"index":0,"delta":{},"finish_reason":"stop"})", "")) +
             chunk(piece("", R"(,"usage":{"prompt_tokens":25,"completion_tokens":20,)"
                             R"("total_tokens":45})")) +
             chunk("data: [DONE]\n\n") + "0\r\n\r\n";
    send_all(one, out);
  }
  void tick(Connection& one) {
    std::uint64_t times = 0;
    if (::read(one.timer, &times, sizeof times) < 0 || one.left == 0) return;
    send_piece(one, "");
    if (one.left == 0) {
      set_timer(one, 0);
      while (one.left == 0 && take(one)) continue;
    }
  }

  const Options options_;
  const std::string whole_ = whole_answer("The flight is likely to leave on time.");
  std::size_t requests_ = 0, repeated_ = 0;
  // Many small ones: one of three million words stands still for 0.4 s when it grows.
  std::vector<std::unordered_set<std::string>> seen_ =
      std::vector<std::unordered_set<std::string>>(4'096);
  int events_, listening_ = -1;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
  std::unordered_map<int, Connection*> timers_;
};

}  // namespace

int main(int count, char** words) {
  Options options;
  for (int at = 1; at + 1 < count; at += 2) {
    const std::string_view name = words[at];
    const long value = std::atol(words[at + 1]);
    if (name == "--port") options.port = static_cast<int>(value);
    if (name == "--pieces") options.pieces = static_cast<int>(value);
    if (name == "--gap") options.gap = value;
    if (name == "--mark") options.mark = words[at + 1];
  }
  std::signal(SIGTERM, [](int) { ended = 1; });
  Mock(options).run();
}
