#include "net/client.h"

#include "base/json.h"
#include "base/percent.h"
#include "net/tls.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>

namespace penstock::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using tcp = asio::ip::tcp;

constexpr std::size_t body_max = 256 << 20;

Error error_of(int status, const std::string& body) {
  boost::system::error_code fault;
  const json::value value = parse_json(body, fault);
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

using TlsStream = beast::ssl_stream<beast::tcp_stream>;

}  // namespace

struct Client::State {
  ClientOptions options;
  std::string authority, host, port;  // "[::1]:80", "::1", "80"
  bool secure = false;
  asio::io_context loop;
  std::optional<ssl::context> context;  // where it is secure
  std::optional<TlsStream> tls;         // one of these two, while there is a connection
  std::optional<beast::tcp_stream> plain;
  beast::flat_buffer buffer;

  bool connected() const { return tls || plain; }
  beast::tcp_stream& lowest() { return tls ? beast::get_lowest_layer(*tls) : *plain; }
  void close() {
    tls.reset();
    plain.reset();
  }

  // Runs an asynchronous step with the time limit, and waits for it: a blocking call of Asio has
  // none.
  template <class Start>
  boost::system::error_code wait(Start start) {
    boost::system::error_code result = asio::error::would_block;
    lowest().expires_after(options.time_limit);
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
    if (!message.keep_alive()) close();
    return response;
  }

  boost::system::error_code connect() {
    boost::system::error_code fault, ignored;
    buffer.clear();
    if (secure && !context) {
      context.emplace(ssl::context::tls_client);
      if (fault = trust(*context); fault) return fault;
    }
    if (secure)
      tls.emplace(loop, *context);
    else
      plain.emplace(loop);
    const auto endpoints = tcp::resolver(loop).resolve(host, port, fault);
    if (!fault) fault = wait([&](auto done) { lowest().async_connect(endpoints, done); });
    if (!fault) lowest().socket().set_option(tcp::no_delay(true), ignored);
    if (!fault && secure) fault = shake_hands();
    if (fault) close();
    return fault;
  }

  // The certificate must be of the host that was asked for.
  boost::system::error_code shake_hands() {
    boost::system::error_code is_name, fault;
    asio::ip::make_address(host, is_name);
    if (is_name) SSL_set_tlsext_host_name(tls->native_handle(), host.c_str());
    tls->set_verify_callback(ssl::host_name_verification(host), fault);
    if (fault) return fault;
    return wait([&](auto done) { tls->async_handshake(ssl::stream_base::client, done); });
  }

  // Whether the server has hung up since the last answer. Asked before a request is sent:
  // afterwards nobody can say whether the server took it.
  bool hung_up() {
    boost::system::error_code fault;
    char byte = 0;
    lowest().socket().non_blocking(true, fault);
    lowest().socket().receive(asio::buffer(&byte, 1), tcp::socket::message_peek, fault);
    return fault != asio::error::would_block;
  }

  boost::system::error_code exchange(http::request<http::string_body>& request,
                                     http::response_parser<http::string_body>& parser) {
    return tls ? exchange_over(*tls, request, parser) : exchange_over(*plain, request, parser);
  }
  template <class Stream>
  boost::system::error_code exchange_over(Stream& stream, http::request<http::string_body>& request,
                                          http::response_parser<http::string_body>& parser) {
    auto fault = wait([&](auto done) { http::async_write(stream, request, done); });
    // A server that refuses a body answers before it has read it all: its answer is still there.
    const auto write_fault = fault;
    fault = wait([&](auto done) { http::async_read(stream, buffer, parser, done); });
    return write_fault && fault ? write_fault : fault;
  }

  std::string advice(const boost::system::error_code& fault) const {
    if (fault.category() == asio::error::get_ssl_category())
      return "; it must speak TLS, with a certificate of " + host +
             " by an authority that this machine or SSL_CERT_FILE names";
    return "; is the server running? (penstock serve, --server URL)";
  }
};

Client::Client(ClientOptions options) : state_(std::make_unique<State>()) {
  std::string_view rest = options.url;
  state_->secure = rest.starts_with("https://");
  if (const std::size_t scheme = rest.find("://"); scheme != rest.npos)
    rest.remove_prefix(scheme + 3);
  rest = rest.substr(0, rest.find('/'));
  std::size_t colon = rest.rfind(':');
  if (rest.ends_with(']')) colon = std::string_view::npos;  // IPv6 without a port
  std::string_view host = rest.substr(0, colon);
  state_->authority = rest;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  state_->host = host;
  state_->port = colon != std::string_view::npos ? rest.substr(colon + 1)
                 : state_->secure                ? "443"
                                                 : "80";
  state_->options = std::move(options);
}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;

Result<ClientResponse> Client::send(
    std::string_view method, std::string_view target, std::string_view body,
    const std::vector<std::pair<std::string, std::string>>& headers) {
  State& state = *state_;
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
    if (state.connected() && state.hung_up()) state.close();
    const bool kept = state.connected();
    fault = kept ? boost::system::error_code() : state.connect();
    if (fault) break;
    http::response_parser<http::string_body> parser;
    parser.body_limit(body_max);
    parser.skip(method == "HEAD");
    fault = state.exchange(request, parser);
    if (!fault) return state.take(parser.get());
    state.close();
    if (!kept || !repeatable || fault == beast::error::timeout) break;
  }
  return Error{Code::unavailable, "no answer from " + state.options.url + ": " + fault.message() +
                                      state.advice(fault)};
}

Result<json::value> Client::call(std::string_view method, std::string_view target,
                                 const json::value& body) {
  const auto response =
      TRY(send(method, target, body.is_null() ? std::string() : json::serialize(body)));
  if (response.status >= 400) return error_of(response.status, response.body);
  boost::system::error_code fault;
  json::value value = parse_json(response.body, fault);
  if (fault) return Error{Code::internal, "the server's answer is no JSON: " + fault.message()};
  return value;
}

std::string percent_encoded(std::string_view text) { return penstock::percent_encoded(text); }

}  // namespace penstock::net
