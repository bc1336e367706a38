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
#include <vector>
#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <open_inference.grpc.pb.h>

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

void run_http(const std::string& address, int count, double seconds, const std::string& request) {
  sockaddr_in server{};
  server.sin_family = AF_INET;
  const std::size_t colon = address.rfind(':');
  server.sin_port = htons(static_cast<std::uint16_t>(std::atoi(address.c_str() + colon + 1)));
  ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &server.sin_addr);
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

struct GrpcCall {
  std::unique_ptr<inference::GRPCInferenceService::Stub> stub;
  std::unique_ptr<grpc::ClientContext> context;
  inference::ModelInferResponse answer;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<inference::ModelInferResponse>> reader;
  Clock::time_point start;

  void ask(const inference::ModelInferRequest& request, grpc::CompletionQueue& queue) {
    context = std::make_unique<grpc::ClientContext>();
    if (const char* token = std::getenv("PENSTOCK_TOKEN"); token && *token)
      context->AddMetadata("authorization", std::string("Bearer ") + token);
    answer.Clear();
    start = Clock::now();
    reader = stub->AsyncModelInfer(context.get(), request, &queue);
    reader->Finish(&answer, &status, this);
  }
};

void run_grpc(const std::string& address, int count, double seconds, const std::string& message) {
  inference::ModelInferRequest request;
  if (!request.ParseFromString(message)) fail("the file is no ModelInferRequest");
  grpc::CompletionQueue queue;
  std::vector<GrpcCall> calls(static_cast<std::size_t>(count));
  // A few connections, as a few client processes have.
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < std::min(count, 8); ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channels.push_back(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  }
  for (std::size_t i = 0; i < calls.size(); ++i)
    calls[i].stub = inference::GRPCInferenceService::NewStub(channels[i % channels.size()]);
  Tally tally(seconds);
  for (GrpcCall& call : calls) call.ask(request, queue);
  for (std::size_t running = calls.size(); running > 0;) {
    void* tag = nullptr;
    bool done = false;
    if (!queue.Next(&tag, &done)) break;
    auto& call = *static_cast<GrpcCall*>(tag);
    if (!call.status.ok()) fail("answered " + call.status.error_message());
    tally.took(call.start);
    if (tally.goes_on())
      call.ask(request, queue);
    else
      --running;
  }
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
    run_grpc(argv[2], callers, seconds, bytes);
  else
    run_http(argv[2], callers, seconds, bytes);
}
