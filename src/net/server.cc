#include "net/server.h"

#include <sys/socket.h>

#include <atomic>
#include <thread>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "base/id.h"
#include "base/log.h"
#include "net/edge.h"
#include "net/workers.h"

namespace penstock::net {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
// One io_context runs on one thread, so its connections need no strand.
using Stream = beast::tcp_stream;
using Parser = http::request_parser<http::string_body>;

constexpr auto token = asio::as_tuple(asio::use_awaitable);

Result<tcp::endpoint> endpoint_of(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  boost::system::error_code fault;
  const auto host =
      asio::ip::make_address(colon == std::string::npos ? "" : address.substr(0, colon), fault);
  char* end = nullptr;
  const long port =
      fault ? -1 : std::strtol(address.c_str() + colon + 1, &end, 10);
  if (fault || *end != '\0' || port < 0 || port > 65'535)
    return Error{Code::invalid_argument,
                 "\"" + address + "\" is no address to listen on; write IP:PORT, e.g. 127.0.0.1:8080"};
  return tcp::endpoint(host, static_cast<unsigned short>(port));
}

api::Fields fields_of(const http::fields& fields) {
  api::Fields out;
  for (const auto& field : fields) {
    std::string name(field.name_string());
    for (char& letter : name) letter = static_cast<char>(std::tolower(letter));
    out.emplace_back(std::move(name), std::string(field.value()));
  }
  return out;
}

// What a broken request was, for the one answer before the connection is closed.
Error parse_fault(const boost::system::error_code& fault) {
  if (fault == http::error::body_limit) return {Code::resource_exhausted, "the body is too large"};
  if (fault == http::error::header_limit)
    return {Code::resource_exhausted, "the headers are too large"};
  return {Code::invalid_argument, "the request is no valid HTTP: " + fault.message()};
}

int parse_status(const boost::system::error_code& fault) {
  if (fault == http::error::body_limit) return 413;
  if (fault == http::error::header_limit) return 431;
  return 400;
}

}  // namespace

struct Server::State {
  ServerOptions options;
  Router router;
  Authorize authorize;
  Metrics& metrics;
  const Clock& clock;

  struct Loop {
    asio::io_context context{1};
    std::unique_ptr<tcp::acceptor> acceptor;
  };
  std::vector<std::unique_ptr<Loop>> loops;
  std::vector<std::jthread> threads;
  std::unique_ptr<asio::thread_pool> workers;
  tcp::endpoint endpoint;
  std::atomic<bool> draining{false};
  std::atomic<std::size_t> connections{0}, queued{0}, in_flight{0};

  struct Measures {
    std::array<Counter*, 6> by_class{};  // by the first digit of the status
    Histogram* seconds = nullptr;
  };
  std::map<const api::Route*, Measures> measures;  // filled before the start, read only after

  State(ServerOptions given, std::vector<api::Route> routes, Authorize who, Metrics& all,
        const Clock& time)
      : options(std::move(given)),
        router(std::move(routes)),
        authorize(std::move(who)),
        metrics(all),
        clock(time) {
    for (const api::Route& route : router.routes()) {
      Measures& measure = measures[&route];
      for (std::size_t i = 1; i < measure.by_class.size(); ++i)
        measure.by_class[i] = nullptr;
      const Metrics::Labels labels{{"method", route.method}, {"route", route.path}};
      measure.seconds =
          &metrics.histogram("penstock_http_request_seconds", "Time from request to answer", labels);
      for (std::size_t i = 2; i < measure.by_class.size(); ++i) {
        Metrics::Labels with_class = labels;
        with_class.emplace_back("status", std::to_string(i) + "xx");
        measure.by_class[i] =
            &metrics.counter("penstock_http_requests_total", "Requests answered", with_class);
      }
    }
  }

  asio::awaitable<void> accept(Loop& loop);
  asio::awaitable<void> serve(tcp::socket socket);
  asio::awaitable<bool> serve_one(Stream& stream, beast::flat_buffer& buffer);
  asio::awaitable<bool> write(Stream& stream, api::Response& response, unsigned version,
                                        bool keep_alive, bool head);
  asio::awaitable<api::Response> answer(api::Request& request);
  api::Response refuse(const Match& match, const api::Request& request) const;
  void count(const api::Route* route, int status, double seconds);
  void run_after(std::function<void()> after);
};

asio::awaitable<void> Server::State::accept(Loop& loop) {
  while (!draining) {
    auto [fault, socket] = co_await loop.acceptor->async_accept(token);
    if (fault == asio::error::operation_aborted || draining) co_return;
    if (fault) {
      // Out of descriptors, most likely: wait for some to be given back instead of spinning.
      asio::steady_timer pause(loop.context, std::chrono::milliseconds(20));
      co_await pause.async_wait(token);
      continue;
    }
    if (connections >= options.connections_max) continue;  // the socket closes here
    ++connections;
    tcp::socket moved(loop.context);
    moved = std::move(socket);
    auto session = serve(std::move(moved));
    asio::co_spawn(loop.context, std::move(session), asio::detached);
  }
}

asio::awaitable<void> Server::State::serve(tcp::socket socket) {
  boost::system::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  Stream stream(std::move(socket));
  beast::flat_buffer buffer;
  for (bool more = true; more;) more = co_await serve_one(stream, buffer);
  stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
  --connections;
}

// One request and its answer; false where the connection is to be closed. What a pipelining caller sent
// behind it stays in the buffer, so answers keep their order.
asio::awaitable<bool> Server::State::serve_one(Stream& stream,
                                                         beast::flat_buffer& buffer) {
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(options.header_max));
  parser.body_limit(options.body_max);
  if (buffer.size() == 0) {
    // Waiting for a next request is idling; once a byte of it came, the header's time runs.
    stream.expires_after(options.idle_time);
    auto space = buffer.prepare(4'096);
    auto [idle_fault, got] = co_await stream.async_read_some(space, token);
    if (idle_fault) co_return false;
    buffer.commit(got);
  }
  stream.expires_after(options.header_time);
  auto [header_fault, header_size] = co_await http::async_read_header(stream, buffer, parser, token);
  if (!header_fault && !parser.is_done()) {
    if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      http::response<http::empty_body> go_on(http::status::continue_, parser.get().version());
      auto [fault, size] = co_await http::async_write(stream, go_on, token);
      if (fault) co_return false;
    }
    stream.expires_after(options.body_time);
    auto [body_fault, body_size] = co_await http::async_read(stream, buffer, parser, token);
    header_fault = body_fault;
  }
  if (header_fault) {
    if (header_fault == http::error::end_of_stream || header_fault == beast::error::timeout ||
        header_fault.category() == asio::error::get_system_category())
      co_return false;
    api::Response refusal = error_response("", parse_fault(header_fault));
    refusal.status = parse_status(header_fault);
    co_await write(stream, refusal, 11, false, false);
    co_return false;
  }

  ++in_flight;
  auto& message = parser.get();
  const unsigned version = message.version();
  const bool head = message.method() == http::verb::head;
  const bool keep_alive = message.keep_alive() && !draining;
  const std::string method(message.method_string()), target(message.target());
  api::Request request;
  request.method = method;
  request.headers = fields_of(message);
  request.body = std::move(message.body());
  stream.expires_never();
  const auto target_read = read_target(target, request);
  const auto body_read = target_read ? decode_body(request, options.body_max) : target_read;
  api::Response response;
  if (body_read)
    response = co_await answer(request);
  else
    response = error_response(request.path, body_read.error());
  encode_body(request, response);
  auto after = std::move(response.after);
  const bool written = co_await write(stream, response, version, keep_alive, head);
  --in_flight;
  if (after) run_after(std::move(after));
  co_return written && keep_alive;
}

api::Response Server::State::refuse(const Match& match, const api::Request& request) const {
  if (match.allowed.empty())
    return error_response(request.path, {Code::not_found, "there is nothing at " +
                                                              std::string(request.path) +
                                                              "; see /api/v1/openapi.json"});
  api::Response response = error_response(
      request.path, {Code::invalid_argument, std::string(request.method) + " is not allowed at " +
                                                 std::string(request.path) + "; allowed are " +
                                                 match.allowed});
  response.status = 405;
  response.headers.emplace_back("Allow", match.allowed);
  return response;
}

asio::awaitable<api::Response> Server::State::answer(api::Request& request) {
  const auto started = std::chrono::steady_clock::now();
  Match match = router.find(request.method, request.path);
  if (!match.route) co_return refuse(match, request);
  const api::Route& route = *match.route;
  request.path_values = std::move(match.path_values);

  Call call;
  const std::string* given = request.header("x-request-id");
  call.request_id = given && !given->empty() && given->size() <= 200 ? *given : new_ulid(clock.now());
  call.deadline = deadline_of(request, clock, options.request_time);
  api::Response response;
  const auto allowed = authorize(request, route.permission, call);
  if (!allowed) {
    response = error_response(request.path, allowed.error());
    if (response.status == 401)
      response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"penstock\"");
  } else if (route.on_loop) {
    response = handle(route, call, request);
  } else if (queued >= options.queue_max) {
    response = error_response(
        request.path, {Code::unavailable, "too many requests are waiting; try again in a second"});
    response.headers.emplace_back("Retry-After", "1");
  } else {
    ++queued;
    auto work = [this, &route, &call, &request]() -> api::Response {
      --queued;
      if (clock.now() > call.deadline)
        return error_response(request.path,
                              {Code::deadline_exceeded, "the deadline passed in the queue"});
      return handle(route, call, request);
    };
    auto hop = run_on(*workers, std::move(work));
    response = co_await std::move(hop);
  }
  response.headers.emplace_back("X-Request-Id", call.request_id);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  count(&route, response.status, took.count());
  if (response.status >= 500)
    log::warn("request_failed", {{"request_id", call.request_id},
                                 {"path", request.path},
                                 {"status", response.status},
                                 {"answer", response.body.substr(0, 500)}});
  co_return response;
}

asio::awaitable<bool> Server::State::write(Stream& stream, api::Response& response,
                                                     unsigned version, bool keep_alive, bool head) {
  http::response<http::string_body> message;
  message.result(static_cast<unsigned>(response.status));
  message.version(version);
  message.keep_alive(keep_alive);
  if (!response.content_type.empty())
    message.set(http::field::content_type, response.content_type);
  for (const auto& [name, value] : response.headers) message.insert(name, value);
  const std::size_t size = response.body.size();
  if (!head) message.body() = std::move(response.body);
  message.content_length(size);
  stream.expires_after(options.body_time);
  http::response_serializer<http::string_body> serializer(message);
  if (head) {
    auto [fault, sent] = co_await http::async_write_header(stream, serializer, token);
    co_return !fault;
  }
  auto [fault, sent] = co_await http::async_write(stream, serializer, token);
  co_return !fault;
}

void Server::State::count(const api::Route* route, int status, double seconds) {
  const Measures& measure = measures.at(route);
  measure.seconds->observe(seconds);
  const auto status_class = static_cast<std::size_t>(status / 100);
  if (status_class < measure.by_class.size() && measure.by_class[status_class])
    measure.by_class[status_class]->add();
}

void Server::State::run_after(std::function<void()> after) {
  if (queued >= options.queue_max) return;  // a shadow gives way to answers
  ++queued;
  asio::post(*workers, [this, after = std::move(after)] {
    --queued;
    try {
      after();
    } catch (const std::exception& fault) {
      log::error("after_answer_threw", {{"error", fault.what()}});
    }
  });
}

Server::Server(ServerOptions options, std::vector<api::Route> routes, Authorize authorize,
               Metrics& metrics, const Clock& clock)
    : state_(std::make_unique<State>(std::move(options), std::move(routes), std::move(authorize),
                                     metrics, clock)) {}

Server::~Server() { stop(); }

Result<void> Server::start() {
  State& state = *state_;
  tcp::endpoint endpoint = TRY(endpoint_of(state.options.address));
  state.workers = std::make_unique<asio::thread_pool>(static_cast<std::size_t>(state.options.workers));
  for (int i = 0; i < state.options.io_threads; ++i) {
    auto loop = std::make_unique<State::Loop>();
    loop->acceptor = std::make_unique<tcp::acceptor>(loop->context);
    boost::system::error_code fault;
    loop->acceptor->open(endpoint.protocol(), fault);
    // Loops share the port; another process must not, so the first one binds it alone.
    loop->acceptor->set_option(asio::socket_base::reuse_address(true), fault);
    using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;
    if (state.options.io_threads > 1) loop->acceptor->set_option(ReusePort(true), fault);
    loop->acceptor->bind(endpoint, fault);
    if (!fault) loop->acceptor->listen(asio::socket_base::max_listen_connections, fault);
    if (fault)
      return Error{Code::unavailable,
                   "cannot listen on " + state.options.address + ": " + fault.message() +
                       "; stop what listens there or choose another address with --http"};
    endpoint = loop->acceptor->local_endpoint(fault);
    state.loops.push_back(std::move(loop));
  }
  state.endpoint = endpoint;
  for (const auto& loop : state.loops) {
    auto accepting = state.accept(*loop);
    asio::co_spawn(loop->context, std::move(accepting), asio::detached);
    state.threads.emplace_back([&context = loop->context] { context.run(); });
  }
  return {};
}

std::string Server::address() const {
  return state_->endpoint.address().to_string() + ":" + std::to_string(state_->endpoint.port());
}

void Server::stop() {
  State& state = *state_;
  if (state.draining.exchange(true)) return;
  for (const auto& loop : state.loops)
    asio::post(loop->context, [&loop] {
      boost::system::error_code ignored;
      loop->acceptor->close(ignored);
    });
  const auto until = std::chrono::steady_clock::now() + state.options.drain_time;
  while (state.in_flight > 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  if (state.workers) state.workers->join();
  for (const auto& loop : state.loops) loop->context.stop();
  state.threads.clear();
}

}  // namespace penstock::net
