#include "net/client.h"

#include "base/percent.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace penstock::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

constexpr std::size_t body_max = 256 << 20;

Error error_of(int status, const std::string& body) {
  boost::system::error_code fault;
  const json::value value = json::parse(body, fault);
  Error error{.code = status == 404                    ? Code::not_found
                      : status == 400                  ? Code::invalid_argument
                      : status == 401                  ? Code::unauthenticated
                      : status == 403                  ? Code::permission_denied
                      : status == 409                  ? Code::failed_precondition
                      : status == 429 || status == 413 ? Code::resource_exhausted
                      : status == 415 || status == 405 ? Code::invalid_argument
                      : status == 504                  ? Code::deadline_exceeded
                                                       : Code::internal,
              .message = "the server answered " + std::to_string(status)};
  if (fault || !value.is_object()) return error;
  const json::object& object = value.get_object();
  if (const auto* detail = object.if_contains("detail"); detail && detail->is_string())
    error.message = detail->get_string();
  else if (const auto* text = object.if_contains("error"); text && text->is_string())
    error.message = text->get_string();
  if (const auto* title = object.if_contains("title"))
    Kind<Code>::hear(from_json(*title), error.code);
  // A refusal of the server is not a server that cannot be reached.
  if (error.code == Code::unavailable) error.code = Code::resource_exhausted;
  const auto* violations = object.if_contains("violations");
  if (!violations || !violations->is_array()) return error;
  const auto text_of = [](const json::value& one, std::string_view name) {
    const json::value* text = one.is_object() ? one.get_object().if_contains(name) : nullptr;
    return text && text->is_string() ? std::string(text->get_string()) : "";
  };
  for (const json::value& one : violations->get_array())
    error.violations.push_back({text_of(one, "field"), text_of(one, "problem")});
  return error;
}

}  // namespace

struct Client::State {
  ClientOptions options;
  std::string authority, host, port;  // "[::1]:80", "::1", "80"
  bool is_http = true;
  asio::io_context loop;
  std::optional<beast::tcp_stream> stream;
  beast::flat_buffer buffer;

  // Runs an asynchronous step with the time limit, and waits for it: a blocking call of Asio has
  // none.
  template <class Start>
  boost::system::error_code wait(Start start) {
    boost::system::error_code result = asio::error::would_block;
    stream->expires_after(options.time_limit);
    start([&](boost::system::error_code fault, auto&&...) { result = fault; });
    loop.restart();
    loop.run();
    return result;
  }

  ClientResponse take(http::response<http::string_body>& message) {
    ClientResponse response{.status = static_cast<int>(message.result_int())};
    for (const auto& field : message) {
      std::string name(field.name_string());
      for (char& letter : name) letter = static_cast<char>(std::tolower(letter));
      response.headers.emplace_back(std::move(name), std::string(field.value()));
    }
    response.body = std::move(message.body());
    if (!message.keep_alive()) stream.reset();
    return response;
  }

  boost::system::error_code connect() {
    boost::system::error_code fault;
    buffer.clear();
    stream.emplace(loop);
    const auto endpoints = tcp::resolver(loop).resolve(host, port, fault);
    if (!fault) fault = wait([&](auto done) { stream->async_connect(endpoints, done); });
    boost::system::error_code ignored;
    if (fault)
      stream.reset();
    else
      stream->socket().set_option(tcp::no_delay(true), ignored);
    return fault;
  }

  // Whether the server has hung up since the last answer. Asked before a request is sent:
  // afterwards nobody can say whether the server took it.
  bool hung_up() {
    boost::system::error_code fault;
    char byte = 0;
    stream->socket().non_blocking(true, fault);
    stream->socket().receive(asio::buffer(&byte, 1), tcp::socket::message_peek, fault);
    return fault != asio::error::would_block;
  }

  boost::system::error_code exchange(http::request<http::string_body>& request,
                                     http::response_parser<http::string_body>& parser) {
    auto fault = wait([&](auto done) { http::async_write(*stream, request, done); });
    // A server that refuses a body answers before it has read it all: its answer is still there.
    const auto write_fault = fault;
    fault = wait([&](auto done) { http::async_read(*stream, buffer, parser, done); });
    return write_fault && fault ? write_fault : fault;
  }
};

Client::Client(ClientOptions options) : state_(std::make_unique<State>()) {
  std::string_view rest = options.url;
  state_->is_http = !rest.starts_with("https://");
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  rest = rest.substr(0, rest.find('/'));
  std::size_t colon = rest.rfind(':');
  if (rest.ends_with(']')) colon = std::string_view::npos;  // IPv6 without a port
  std::string_view host = rest.substr(0, colon);
  state_->authority = rest;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  state_->host = host;
  state_->port = colon == std::string_view::npos ? "80" : rest.substr(colon + 1);
  state_->options = std::move(options);
}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;

Result<ClientResponse> Client::send(
    std::string_view method, std::string_view target, std::string_view body,
    const std::vector<std::pair<std::string, std::string>>& headers) {
  State& state = *state_;
  if (!state.is_http)
    return Error{
        Code::invalid_argument,
        state.options.url + ": only http:// is spoken here; put a proxy before it for TLS"};
  http::request<http::string_body> request;
  request.method_string(method);
  request.target(target);
  request.version(11);
  request.set(http::field::host, state.authority);
  if (!state.options.token.empty())
    request.set(http::field::authorization, "Bearer " + state.options.token);
  if (!body.empty()) request.set(http::field::content_type, "application/json");
  // The server need not go on when nobody waits any more.
  const auto patience = std::chrono::ceil<std::chrono::milliseconds>(state.options.time_limit);
  request.set("X-Request-Timeout", std::to_string(patience.count()) + "ms");
  for (const auto& [name, value] : headers) request.set(name, value);
  request.body() = body;
  request.prepare_payload();

  boost::system::error_code fault;
  // A request that may be sent twice without harm is, if the server closed just as it was sent.
  const bool repeatable = method == "GET" || method == "HEAD";
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (state.stream && state.hung_up()) state.stream.reset();
    const bool kept = state.stream.has_value();
    fault = kept ? boost::system::error_code() : state.connect();
    if (fault) break;
    http::response_parser<http::string_body> parser;
    parser.body_limit(body_max);
    parser.skip(method == "HEAD");
    fault = state.exchange(request, parser);
    if (!fault) return state.take(parser.get());
    state.stream.reset();
    if (!kept || !repeatable || fault == beast::error::timeout) break;
  }
  return Error{Code::unavailable, "no answer from " + state.options.url + ": " + fault.message() +
                                      "; is the server running? (penstock serve, --server URL)"};
}

Result<json::value> Client::call(std::string_view method, std::string_view target,
                                 const json::value& body) {
  const auto response =
      TRY(send(method, target, body.is_null() ? std::string() : json::serialize(body)));
  if (response.status >= 400) return error_of(response.status, response.body);
  boost::system::error_code fault;
  json::value value = json::parse(response.body, fault);
  if (fault) return Error{Code::internal, "the server's answer is no JSON: " + fault.message()};
  return value;
}

std::string percent_encoded(std::string_view text) { return penstock::percent_encoded(text); }

}  // namespace penstock::net
