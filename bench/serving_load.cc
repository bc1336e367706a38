// Asks one server the same thing over and over, from as many callers at once as told, each with its
// next call when its last is answered. One thread, so that the server keeps the rest of the
// machine.
//
//   serving_load http 127.0.0.1:8080 CALLERS SECONDS REQUEST   the request's bytes, head and body
//   serving_load grpc 127.0.0.1:8001 CALLERS SECONDS MESSAGE   a ModelInferRequest;
//                                                              PENSTOCK_TOKEN goes with it
//
// One line of JSON: calls, rate, p50, p99 and p99_9 in microseconds. Any answer but a success ends
// it with an error: a refusal must never look fast.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <arpa/inet.h>
#include <nghttp2/nghttp2.h>
#include <open_inference.pb.h>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "serving_load: %s\n", what.c_str());
  std::exit(1);
}

// Calls of the first half second warm up and are not counted.
class Tally {
 public:
  explicit Tally(double seconds)
      : begin_(Clock::now() + std::chrono::milliseconds(500)),
        end_(begin_ +
             std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))) {
    micros_.reserve(4 << 20);
  }
  bool goes_on() const { return Clock::now() < end_; }
  void took(Clock::time_point start) {
    const auto now = Clock::now();
    if (start < begin_ || now > end_) return;
    micros_.push_back(std::chrono::duration<float, std::micro>(now - start).count());
  }
  void print() {
    if (micros_.empty()) fail("no call was answered");
    std::sort(micros_.begin(), micros_.end());
    const auto at = [&](double share) {
      return micros_[static_cast<std::size_t>(share * static_cast<double>(micros_.size() - 1))];
    };
    const double seconds = std::chrono::duration<double>(end_ - begin_).count();
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    std::printf(
        "{\"calls\": %zu, \"rate\": %.0f, \"p50\": %.1f, \"p99\": %.1f, \"p99_9\": %.1f, "
        "\"own_cpu_seconds\": %.2f}\n",
        micros_.size(), static_cast<double>(micros_.size()) / seconds, at(0.5), at(0.99), at(0.999),
        static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
            static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6);
  }

 private:
  const Clock::time_point begin_, end_;
  std::vector<float> micros_;
};

struct Caller {
  int socket = -1;
  std::size_t sent = 0;
  std::string answer;
  Clock::time_point start;
};

void send_more(Caller& caller, const std::string& request) {
  while (caller.sent < request.size()) {
    const ssize_t size =
        ::send(caller.socket, request.data() + caller.sent, request.size() - caller.sent, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) fail("the server hung up");
    caller.sent += static_cast<std::size_t>(size);
  }
}

void ask(Caller& caller, const std::string& request) {
  caller.answer.clear();
  caller.sent = 0;
  caller.start = Clock::now();
  send_more(caller, request);
  // A server that sends head and body apart waits for the first to be acknowledged (Nagle), and the
  // kernel puts that off by 40 ms. It forgets this wish with each answer.
  const int yes = 1;
  ::setsockopt(caller.socket, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
}

bool is_whole(const std::string& answer) {
  const std::size_t end = answer.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  if (answer.compare(0, 12, "HTTP/1.1 200") != 0) fail("answered " + answer.substr(0, 500));
  std::string head = answer.substr(0, end);
  std::transform(head.begin(), head.end(), head.begin(), ::tolower);
  const std::size_t length = head.find("content-length:");
  if (length == std::string::npos) fail("an answer has no length");
  return answer.size() >= end + 4 + std::strtoul(head.c_str() + length + 15, nullptr, 10);
}

int connect_to(const sockaddr_in& address) {
  const int made = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(made, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail("cannot connect");
  const int yes = 1;
  ::setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return made;
}

sockaddr_in address_of(const std::string& address) {
  sockaddr_in server{};
  server.sin_family = AF_INET;
  const std::size_t colon = address.rfind(':');
  server.sin_port = htons(static_cast<std::uint16_t>(std::atoi(address.c_str() + colon + 1)));
  ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &server.sin_addr);
  return server;
}

void run_http(const std::string& address, int count, double seconds, const std::string& request) {
  const sockaddr_in server = address_of(address);
  const int poll = ::epoll_create1(0);
  std::vector<Caller> callers(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < callers.size(); ++i) {
    callers[i].socket = connect_to(server);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, callers[i].socket, &event);
  }
  Tally tally(seconds);
  for (Caller& caller : callers) ask(caller, request);
  std::vector<epoll_event> events(callers.size());
  std::string piece(1 << 18, '\0');
  while (tally.goes_on()) {
    const int ready = ::epoll_wait(poll, events.data(), count, 100);
    for (int i = 0; i < ready; ++i) {
      Caller& caller = callers[events[static_cast<std::size_t>(i)].data.u64];
      const ssize_t size = ::recv(caller.socket, piece.data(), piece.size(), 0);
      if (size <= 0) fail("the server hung up");
      caller.answer.append(piece.data(), static_cast<std::size_t>(size));
      if (!is_whole(caller.answer)) continue;
      tally.took(caller.start);
      ask(caller, request);
    }
  }
  tally.print();
}

// One of a few connections, as a few client processes have.
struct Channel {
  int socket = -1;
  nghttp2_session* session = nullptr;
  std::string out;
  std::size_t sent = 0;
};

class GrpcLoad;

struct GrpcCall {
  GrpcLoad* load = nullptr;
  Channel* channel = nullptr;
  std::size_t sent = 0;  // of the message
  bool is_ok = false;    // its status came and was no error
  std::string answer;
  Clock::time_point start;
};

nghttp2_nv field(const std::string& name, const std::string& value) {
  const auto bytes = [](const std::string& text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

GrpcCall& call_of(nghttp2_session* session, std::int32_t stream) {
  auto* const call = static_cast<GrpcCall*>(nghttp2_session_get_stream_user_data(session, stream));
  if (!call) fail("a frame came for no call");
  return *call;
}

class GrpcLoad {
 public:
  GrpcLoad(const std::string& address, const std::string& message) {
    if (!request_.ParseFromString(message)) fail("the file is no ModelInferRequest");
    const auto size = static_cast<std::uint32_t>(message.size());
    message_.assign(1, '\0');
    for (int shift = 24; shift >= 0; shift -= 8)
      message_ += static_cast<char>(size >> shift & 0xFF);
    message_ += message;
    headers_ = {{":method", "POST"},
                {":scheme", "http"},
                {":path", "/inference.GRPCInferenceService/ModelInfer"},
                {":authority", address},
                {"te", "trailers"},
                {"content-type", "application/grpc"},
                {"user-agent", "serving_load"}};
    if (const char* token = std::getenv("PENSTOCK_TOKEN"); token && *token)
      headers_.emplace_back("authorization", std::string("Bearer ") + token);
    for (const auto& [name, value] : headers_) fields_.push_back(field(name, value));
    server_ = address_of(address);
  }

  void run(int count, double seconds);

 private:
  void open(Channel& channel);
  void ask(GrpcCall& call);
  void closed(GrpcCall& call);
  static void flush(Channel& channel);
  static ssize_t put_message(nghttp2_session* session, std::int32_t stream, std::uint8_t* to,
                             std::size_t most, std::uint32_t* flags, nghttp2_data_source*, void*);
  static int on_header(nghttp2_session* session, const nghttp2_frame* frame,
                       const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                       std::size_t value_size, std::uint8_t, void*);

  inference::ModelInferRequest request_;
  std::string message_;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::vector<nghttp2_nv> fields_;
  sockaddr_in server_{};
  Tally* tally_ = nullptr;
  bool has_read_one_ = false;
};

ssize_t GrpcLoad::put_message(nghttp2_session* session, std::int32_t stream, std::uint8_t* to,
                              std::size_t most, std::uint32_t* flags, nghttp2_data_source*, void*) {
  GrpcCall& call = call_of(session, stream);
  const std::string& message = call.load->message_;
  const std::size_t size = std::min(most, message.size() - call.sent);
  std::memcpy(to, message.data() + call.sent, size);
  call.sent += size;
  if (call.sent == message.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(size);
}

int GrpcLoad::on_header(nghttp2_session* session, const nghttp2_frame* frame,
                        const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                        std::size_t value_size, std::uint8_t, void*) {
  const std::string_view key(reinterpret_cast<const char*>(name), name_size);
  const std::string_view text(reinterpret_cast<const char*>(value), value_size);
  if (key == ":status" && text != "200") fail("answered " + std::string(text));
  if (key == "grpc-message" && !text.empty()) fail("answered " + std::string(text));
  if (key != "grpc-status") return 0;
  if (text != "0") fail("answered with gRPC's code " + std::string(text));
  call_of(session, frame->hd.stream_id).is_ok = true;
  return 0;
}

void GrpcLoad::open(Channel& channel) {
  channel.socket = connect_to(server_);
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks, [](nghttp2_session* session, std::uint8_t, std::int32_t stream,
                    const std::uint8_t* data, std::size_t size, void*) {
        call_of(session, stream).answer.append(reinterpret_cast<const char*>(data), size);
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      callbacks, [](nghttp2_session* session, std::int32_t stream, std::uint32_t fault, void*) {
        if (fault != 0) fail("a call was reset with " + std::to_string(fault));
        GrpcCall& call = call_of(session, stream);
        call.load->closed(call);
        return 0;
      });
  nghttp2_session_client_new(&channel.session, callbacks, nullptr);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20};
  nghttp2_submit_settings(channel.session, NGHTTP2_FLAG_NONE, &window, 1);
  nghttp2_session_set_local_window_size(channel.session, NGHTTP2_FLAG_NONE, 0, 16 << 20);
}

void GrpcLoad::ask(GrpcCall& call) {
  call.sent = 0;
  call.is_ok = false;
  call.answer.clear();
  call.start = Clock::now();
  nghttp2_data_provider provider{};
  provider.read_callback = put_message;
  if (nghttp2_submit_request(call.channel->session, nullptr, fields_.data(), fields_.size(),
                             &provider, &call) < 0)
    fail("no more calls on this connection");
}

// Every answer is looked at as far as its length, the first one as a message.
void GrpcLoad::closed(GrpcCall& call) {
  if (!call.is_ok) fail("a call ended without a status");
  std::uint32_t size = 0;
  if (call.answer.size() > 5) std::memcpy(&size, call.answer.data() + 1, sizeof size);
  if (size == 0 || ntohl(size) + 5 != call.answer.size()) fail("an answer is no whole message");
  if (!has_read_one_) {
    inference::ModelInferResponse answer;
    if (!answer.ParseFromString(call.answer.substr(5)) ||
        answer.outputs_size() != request_.outputs_size())
      fail("the answer has not the outputs that were asked for");
    has_read_one_ = true;
  }
  tally_->took(call.start);
  if (tally_->goes_on()) ask(call);
}

void GrpcLoad::flush(Channel& channel) {
  while (true) {
    const std::uint8_t* data = nullptr;
    while (channel.out.size() < (64 << 10)) {
      const ssize_t size = nghttp2_session_mem_send(channel.session, &data);
      if (size < 0) fail("HTTP/2 broke");
      if (size == 0) break;
      channel.out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
    }
    if (channel.out.empty()) return;
    const ssize_t size = ::send(channel.socket, channel.out.data() + channel.sent,
                                channel.out.size() - channel.sent, 0);
    if (size <= 0) fail("the server hung up");
    channel.sent += static_cast<std::size_t>(size);
    if (channel.sent < channel.out.size()) continue;
    channel.out.clear();
    channel.sent = 0;
  }
}

void GrpcLoad::run(int count, double seconds) {
  std::vector<Channel> channels(static_cast<std::size_t>(std::min(count, 8)));
  std::vector<GrpcCall> calls(static_cast<std::size_t>(count));
  const int poll = ::epoll_create1(0);
  for (std::size_t i = 0; i < channels.size(); ++i) {
    open(channels[i]);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, channels[i].socket, &event);
  }
  Tally tally(seconds);
  tally_ = &tally;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    calls[i].load = this;
    calls[i].channel = &channels[i % channels.size()];
    ask(calls[i]);
  }
  for (Channel& channel : channels) flush(channel);
  std::vector<epoll_event> events(channels.size());
  std::string piece(1 << 18, '\0');
  while (tally.goes_on()) {
    const int ready = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), 100);
    for (int i = 0; i < ready; ++i) {
      Channel& channel = channels[events[static_cast<std::size_t>(i)].data.u64];
      const ssize_t size = ::recv(channel.socket, piece.data(), piece.size(), 0);
      if (size <= 0) fail("the server hung up");
      if (nghttp2_session_mem_recv(channel.session,
                                   reinterpret_cast<const std::uint8_t*>(piece.data()),
                                   static_cast<std::size_t>(size)) < 0)
        fail("the server's bytes are no HTTP/2");
      flush(channel);
    }
  }
  for (Channel& channel : channels) nghttp2_session_del(channel.session);
  tally.print();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) fail("serving_load http|grpc ADDRESS CALLERS SECONDS FILE");
  std::ifstream file(argv[5], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  if (bytes.empty()) fail(std::string("cannot read ") + argv[5]);
  const int callers = std::atoi(argv[3]);
  const double seconds = std::atof(argv[4]);
  if (callers < 1 || seconds <= 0) fail("CALLERS and SECONDS must be more than 0");
  if (std::string(argv[1]) == "grpc")
    GrpcLoad(argv[2], bytes).run(callers, seconds);
  else
    run_http(argv[2], callers, seconds, bytes);
}
