#include "net/server.h"

#include <linux/filter.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_set>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/log.h"
#include "net/edge.h"
#include "net/http2_session.h"
#include "net/session.h"
#include "net/workers.h"

namespace penstock::net {
namespace {

using tcp = asio::ip::tcp;
using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

constexpr auto token = asio::as_tuple(asio::use_awaitable);
// How long a connection that has begun may take to be there when the server stops.
constexpr Micros handshake_time = std::chrono::milliseconds(5);

Result<tcp::endpoint> endpoint_of(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = colon == std::string::npos ? "" : address.substr(0, colon);
  if (host == "localhost") host = "127.0.0.1";
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  boost::system::error_code fault;
  const auto ip = asio::ip::make_address(host, fault);
  char* end = nullptr;
  const long port = fault ? -1 : std::strtol(address.c_str() + colon + 1, &end, 10);
  if (fault || end == address.c_str() + colon + 1 || *end != '\0' || port < 0 || port > 65'535)
    return Error{
        Code::invalid_argument,
        "\"" + address + "\" is no address to listen on; write IP:PORT, e.g. 127.0.0.1:8080"};
  return tcp::endpoint(ip, static_cast<unsigned short>(port));
}

boost::system::error_code listen_on(tcp::acceptor& acceptor, const tcp::endpoint& endpoint,
                                    bool shared) {
  boost::system::error_code fault;
  acceptor.open(endpoint.protocol(), fault);
  if (!fault) acceptor.set_option(asio::socket_base::reuse_address(true), fault);
  if (!fault && shared) acceptor.set_option(ReusePort(true), fault);
  if (!fault) acceptor.bind(endpoint, fault);
  if (!fault) acceptor.listen(asio::socket_base::max_listen_connections, fault);
  return fault;
}

std::string text_of(const tcp::endpoint& endpoint) {
  const auto ip = endpoint.address();
  return (ip.is_v6() ? "[" + ip.to_string() + "]" : ip.to_string()) + ":" +
         std::to_string(endpoint.port());
}

// Closing a listening socket resets whoever has connected since the last accept. So the first
// packets of newcomers are dropped before: they knock again and find nobody, or the next server.
void refuse_newcomers(tcp::acceptor& acceptor) {
  constexpr std::uint32_t flags_at = 13, syn = 0x02, ack = 0x10, whole = 0xffff'ffff;
  std::array<sock_filter, 5> program{{{BPF_LD | BPF_B | BPF_ABS, 0, 0, flags_at},
                                      {BPF_ALU | BPF_AND | BPF_K, 0, 0, syn | ack},
                                      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, syn},
                                      {BPF_RET | BPF_K, 0, 0, 0},
                                      {BPF_RET | BPF_K, 0, 0, whole}}};
  const sock_fprog filter{.len = program.size(), .filter = program.data()};
  ::setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

// One thread with its connections.
struct Loop {
  std::unordered_set<Session*> sessions;
  std::unordered_set<Http2Session*> grpc_sessions;
  std::optional<Forwards> forwards;  // outlives the context, whose coroutines end calls
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  tcp::acceptor acceptor{context}, grpc_acceptor{context};
  std::vector<pollfd> watched;
  std::vector<Session*> watching;

  ~Loop() {
    if (forwards) forwards->close();
  }
  // Ends the sessions that wait for another server and whose caller is gone. Reading would tell the
  // same, but what a caller sends ahead is not to be read yet.
  void look_for_hang_ups() {
    watched.clear();
    watching.clear();
    for (Session* session : sessions) {
      const int socket = session->watched();
      if (socket < 0) continue;
      watched.push_back({.fd = socket, .events = POLLRDHUP, .revents = 0});
      watching.push_back(session);
    }
    if (watched.empty() || ::poll(watched.data(), watched.size(), 0) <= 0) return;
    for (std::size_t at = 0; at < watched.size(); ++at)
      if (watched[at].revents != 0) watching[at]->hang_up();
  }
};

}  // namespace

struct Server::State {
  Edge edge;
  const RpcEdge rpcs;
  std::mutex turn;
  std::condition_variable ended;
  std::size_t open = 0;  // connections and listening sockets, under `turn`
  std::atomic<std::size_t> connections{0};
  tcp::endpoint endpoint, grpc_endpoint;
  const std::shared_ptr<Upstreams> upstreams;
  std::vector<std::unique_ptr<Loop>> loops;
  std::vector<std::jthread> threads;
  // The last, so the first to go: what waits in it holds coroutines of the loops.
  std::unique_ptr<Workers> workers;

  State(ServerOptions options, std::vector<api::Route> routes, Authorize authorize,
        Metrics& metrics, const Clock& clock, std::shared_ptr<Upstreams> given,
        std::vector<api::Rpc> methods)
      : edge(std::move(options), std::move(routes), authorize, metrics, clock),
        rpcs(std::move(methods), authorize, edge.options, clock),
        upstreams(given ? std::move(given) : std::make_shared<Upstreams>(metrics, clock)) {}

  // Counts something open while it lives; stop() waits for the last.
  class Open {
   public:
    explicit Open(State& state) : state_(state) {
      const std::lock_guard lock(state_.turn);
      ++state_.open;
    }
    ~Open() {
      const std::lock_guard lock(state_.turn);
      if (--state_.open == 0) state_.ended.notify_all();
    }
    Open(const Open&) = delete;

   private:
    State& state_;
  };

  // Keeps a session known to its loop.
  template <class One>
  class Place {
   public:
    Place(State& state, std::unordered_set<One*>& sessions, One& session)
        : open_(state), state_(state), sessions_(sessions), session_(session) {
      sessions_.insert(&session_);
    }
    ~Place() {
      sessions_.erase(&session_);
      state_.edge.measures.connections(--state_.connections);
    }
    Place(const Place&) = delete;

   private:
    Open open_;
    State& state_;
    std::unordered_set<One*>& sessions_;
    One& session_;
  };

  void begin(Loop& loop, tcp::acceptor& acceptor, tcp::socket socket);
  asio::awaitable<void> accept(Loop& loop, tcp::acceptor& acceptor);
  asio::awaitable<void> serve(Loop& loop, tcp::socket socket);
  asio::awaitable<void> serve_grpc(Loop& loop, tcp::socket socket);
  asio::awaitable<void> watch(Loop& loop);
  Result<void> listen();
  Result<tcp::endpoint> listen(const std::string& address, tcp::acceptor Loop::*acceptor,
                               std::string_view flag);
  void run(Loop& loop);
};

asio::awaitable<void> Server::State::serve(Loop& loop, tcp::socket socket) {
  Session session(edge, *workers, *loop.forwards, std::move(socket));
  const Place place(*this, loop.sessions, session);
  try {
    co_await session.run();
  } catch (const std::exception& fault) {
    log::error("connection_broke", {{"error", fault.what()}});
  }
}

asio::awaitable<void> Server::State::serve_grpc(Loop& loop, tcp::socket socket) {
  const auto session = std::make_shared<Http2Session>(edge, rpcs, *workers, std::move(socket));
  const Place place(*this, loop.grpc_sessions, *session);
  try {
    co_await session->run();
  } catch (const std::exception& fault) {
    log::error("connection_broke", {{"error", fault.what()}});
  }
}

void Server::State::begin(Loop& loop, tcp::acceptor& acceptor, tcp::socket socket) {
  if (connections >= edge.options.connections_max) return;  // the socket closes here
  edge.measures.connections(++connections);
  auto session = &acceptor == &loop.grpc_acceptor ? serve_grpc(loop, std::move(socket))
                                                  : serve(loop, std::move(socket));
  asio::co_spawn(loop.context, std::move(session), asio::detached);
}

asio::awaitable<void> Server::State::accept(Loop& loop, tcp::acceptor& acceptor) {
  const Open open_one(*this);
  while (!edge.draining) {
    auto [fault, socket] = co_await acceptor.async_accept(token);
    if (!fault) {
      begin(loop, acceptor, std::move(socket));
    } else if (fault != asio::error::operation_aborted) {
      // Out of descriptors, most likely: wait for some to be given back instead of spinning.
      asio::steady_timer pause(loop.context, std::chrono::milliseconds(20));
      co_await pause.async_wait(token);
    }
  }
  // Who connected before the end is served: closing now would reset them.
  refuse_newcomers(acceptor);
  asio::steady_timer handshakes(loop.context, handshake_time);
  co_await handshakes.async_wait(token);
  boost::system::error_code fault;
  acceptor.non_blocking(true, fault);
  while (!fault) {
    tcp::socket socket(loop.context);
    acceptor.accept(socket, fault);
    if (!fault) begin(loop, acceptor, std::move(socket));
  }
  acceptor.close(fault);
}

// The timers of all connections in one.
asio::awaitable<void> Server::State::watch(Loop& loop) {
  const ServerOptions& options = edge.options;
  const Micros shortest =
      std::min({options.header_time, options.body_time, options.idle_time, options.linger_time});
  const Micros step = std::clamp<Micros>(shortest / 4, std::chrono::milliseconds(5),
                                         std::chrono::milliseconds(250));
  asio::steady_timer timer(loop.context);
  while (true) {
    timer.expires_after(step);
    auto [fault] = co_await timer.async_wait(token);
    if (fault) co_return;
    const auto now = std::chrono::steady_clock::now();
    for (Session* session : loop.sessions) session->stop_if_late(now);
    for (Http2Session* session : loop.grpc_sessions) session->stop_if_late(now);
    loop.look_for_hang_ups();
  }
}

void Server::State::run(Loop& loop) {
  while (true) {
    try {
      loop.context.run();
      return;
    } catch (const std::exception& fault) {
      log::error("loop_broke", {{"error", fault.what()}});
    }
  }
}

Result<void> Server::State::listen() {
  for (int i = 0; i < std::max(edge.options.io_threads, 1); ++i)
    loops.push_back(std::make_unique<Loop>());
  auto done = listen(edge.options.address, &Loop::acceptor, "--http");
  if (done) endpoint = *done;
  if (done && !edge.options.grpc.empty()) {
    done = listen(edge.options.grpc, &Loop::grpc_acceptor, "--grpc");
    if (done) grpc_endpoint = *done;
  }
  if (done) return {};
  loops.clear();
  return done.error();
}

// All loops at one address.
Result<tcp::endpoint> Server::State::listen(const std::string& address,
                                            tcp::acceptor Loop::*acceptor, std::string_view flag) {
  tcp::endpoint at = TRY(endpoint_of(address));
  const bool is_shared = loops.size() > 1;
  boost::system::error_code fault;
  if (is_shared && at.port() != 0) {
    // Loops share the port, so the kernel would let another server of this user share it as well.
    asio::io_context context;
    tcp::acceptor probe(context);
    fault = listen_on(probe, at, false);
  }
  for (const auto& loop : loops) {
    tcp::acceptor& one = (*loop).*acceptor;
    if (!fault) fault = listen_on(one, at, is_shared);
    if (!fault) at = one.local_endpoint(fault);
  }
  if (!fault) return at;
  return Error{Code::unavailable, "cannot listen on " + address + ": " + fault.message() +
                                      "; stop what listens there or choose another address with " +
                                      std::string(flag)};
}

Server::Server(ServerOptions options, std::vector<api::Route> routes, Authorize authorize,
               Metrics& metrics, const Clock& clock, std::shared_ptr<Upstreams> upstreams,
               std::vector<api::Rpc> rpcs)
    : state_(std::make_unique<State>(std::move(options), std::move(routes), std::move(authorize),
                                     metrics, clock, std::move(upstreams), std::move(rpcs))) {}

Server::~Server() { stop(); }

Result<void> Server::start() {
  State& state = *state_;
  TRY(state.listen());
  state.workers =
      std::make_unique<Workers>(state.edge.options.workers, state.edge.options.queue_max);
  for (const auto& loop : state.loops) {
    loop->forwards.emplace(loop->context, state.edge, *state.workers, state.upstreams->origins(),
                           [&state] { return std::make_shared<State::Open>(state); });
    for (tcp::acceptor* acceptor : {&loop->acceptor, &loop->grpc_acceptor}) {
      if (!acceptor->is_open()) continue;
      auto accepting = state.accept(*loop, *acceptor);
      asio::co_spawn(loop->context, std::move(accepting), asio::detached);
    }
    auto watching = state.watch(*loop);
    asio::co_spawn(loop->context, std::move(watching), asio::detached);
  }
  // One turn each before any thread runs: stop() must find them listening.
  for (const auto& loop : state.loops) loop->context.poll();
  for (const auto& loop : state.loops)
    state.threads.emplace_back([&state, &here = *loop] {
      pthread_setname_np(pthread_self(), "loop");  // for top and perf
      state.run(here);
    });
  return {};
}

std::string Server::address() const { return text_of(state_->endpoint); }

std::string Server::grpc_address() const {
  return state_->edge.options.grpc.empty() ? "" : text_of(state_->grpc_endpoint);
}

void Server::stop() {
  State& state = *state_;
  if (state.edge.draining.exchange(true) || !state.workers) return;
  for (const auto& loop : state.loops)
    asio::post(loop->context, [&here = *loop] {
      boost::system::error_code ignored;
      here.acceptor.cancel(ignored);
      here.grpc_acceptor.cancel(ignored);
      for (Session* session : here.sessions) session->drain();
      for (Http2Session* session : here.grpc_sessions) session->drain();
    });
  std::unique_lock lock(state.turn);
  const bool all =
      state.ended.wait_for(lock, state.edge.options.drain_time, [&] { return state.open == 0; });
  lock.unlock();
  if (!all) {
    for (const auto& loop : state.loops)
      asio::post(loop->context, [&here = *loop] {
        for (Session* session : here.sessions) session->abort();
        for (Http2Session* session : here.grpc_sessions) session->abort();
        here.forwards->cut();
      });
    state.workers->stop();
  }
  state.workers->join();
  // What workers gave back last is taken first.
  for (const auto& loop : state.loops)
    asio::post(loop->context, [&here = *loop] { here.context.stop(); });
  state.threads.clear();
}

}  // namespace penstock::net
