#include "net/post.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>

#include "net/tls.h"

namespace penstock::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ip = asio::ip;
using tcp = ip::tcp;
using Fault = boost::system::error_code;

constexpr std::size_t url_max = 2'000;

struct Target {
  bool is_tls = true;
  std::string host, port, authority, path;
  std::string place() const { return (is_tls ? "https://" : "http://") + authority; }
};

Error refused(const std::string& problem) {
  return {Code::invalid_argument, "url " + problem, {{"url", problem}}};
}

// A URL may hold a secret in its path: errors name its host alone.
Result<Target> target_of(const std::string& url, const PostLimits& limits) {
  if (url.size() > url_max)
    return refused("has " + std::to_string(url.size()) + " bytes, and may have " +
                   std::to_string(url_max));
  Target out;
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    if (!limits.allow_http)
      return refused("begins with http://, and only https:// is allowed here");
    rest.remove_prefix(7);
    out.is_tls = false;
  } else {
    return refused("must begin with https://" +
                   std::string(limits.allow_http ? " or http://" : ""));
  }
  if (!std::all_of(rest.begin(), rest.end(), [](char c) { return c > ' ' && c < 0x7f; }))
    return refused("has a blank or a letter that must be percent-encoded");
  rest = rest.substr(0, rest.find('#'));
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, end);
  out.path = rest.substr(end);
  if (!out.path.starts_with('/')) out.path = "/" + out.path;
  if (authority.find('@') != std::string_view::npos)
    return refused("names a user; leave what stands before @ out");
  out.authority = authority;
  std::size_t colon = authority.rfind(':');
  if (authority.ends_with(']')) colon = std::string_view::npos;  // IPv6 without a port
  std::string_view host = authority.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty()) return refused("must name a host");
  out.host = host;
  out.port = out.is_tls ? "443" : "80";
  if (colon != std::string_view::npos) {
    const std::string_view port = authority.substr(colon + 1);
    unsigned number = 0;
    const auto read = std::from_chars(port.data(), port.data() + port.size(), number);
    if (read.ptr != port.data() + port.size() || number < 1 || number > 65'535)
      return refused("has port '" + std::string(port.substr(0, 20)) + "', which is none");
    out.port = port;
  }
  return out;
}

bool is_public(const ip::address_v4& address) {
  struct Net {
    std::uint32_t first;
    int bits;
  };
  // What IANA keeps for other uses than the internet's.
  constexpr std::array reserved{Net{0x00000000, 8},  Net{0x0a000000, 8},  Net{0x64400000, 10},
                                Net{0x7f000000, 8},  Net{0xa9fe0000, 16}, Net{0xac100000, 12},
                                Net{0xc0000000, 24}, Net{0xc0000200, 24}, Net{0xc0586300, 24},
                                Net{0xc0a80000, 16}, Net{0xc6120000, 15}, Net{0xc6336400, 24},
                                Net{0xcb007100, 24}, Net{0xe0000000, 4},  Net{0xf0000000, 4}};
  const std::uint32_t number = address.to_uint();
  return std::none_of(reserved.begin(), reserved.end(),
                      [&](const Net& net) { return (number ^ net.first) >> (32 - net.bits) == 0; });
}

bool is_public(const ip::address_v6& address) {
  const auto bytes = address.to_bytes();
  const auto embedded = [&](std::size_t from) {
    return is_public(
        ip::address_v4({bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]}));
  };
  constexpr std::array<unsigned char, 12> nat64{0x00, 0x64, 0xff, 0x9b};
  if (address.is_v4_mapped() || std::equal(nat64.begin(), nat64.end(), bytes.begin()))
    return embedded(12);
  if (bytes[0] == 0x20 && bytes[1] == 0x02) return embedded(2);  // 6to4
  if ((bytes[0] & 0xe0) != 0x20) return false;                   // global unicast is 2000::/3
  if (bytes[0] == 0x20 && bytes[1] == 0x01 && bytes[2] < 0x02) return false;  // 2001::/23
  if (bytes[0] == 0x20 && bytes[1] == 0x01 && bytes[2] == 0x0d && bytes[3] == 0xb8) return false;
  return !(bytes[0] == 0x3f && bytes[1] == 0xff && bytes[2] < 0x10);  // documentation
}

bool is_public(const ip::address& address) {
  return address.is_v4() ? is_public(address.to_v4()) : is_public(address.to_v6());
}

Error not_public(const Target& target, const ip::address& address) {
  return refused("names " + target.host + ", which is " + address.to_string() +
                 " and not a public address");
}

// One exchange, and the event loop that it runs on. The deadline is of the whole.
class Exchange {
 public:
  Exchange(Target target, const PostLimits& limits)
      : target_(std::move(target)),
        limits_(limits),
        deadline_(std::chrono::steady_clock::now() +
                  std::chrono::duration_cast<std::chrono::steady_clock::duration>(limits.time)) {}

  Result<void> resolve() {
    tcp::resolver resolver(loop_);
    Fault result = asio::error::timed_out;
    resolver.async_resolve(target_.host, target_.port,
                           [&](Fault fault, tcp::resolver::results_type found) {
                             result = fault;
                             for (const auto& one : found) endpoints_.push_back(one.endpoint());
                           });
    loop_.run_until(deadline_);
    resolver.cancel();
    if (result || endpoints_.empty())
      return Error{Code::unavailable,
                   "cannot look up " + target_.host + ": " +
                       (result ? result.message() : std::string("it has no address"))};
    for (const tcp::endpoint& one : endpoints_) TRY(check(one));
    return {};
  }

  Result<PostAnswer> send(const http::request<http::string_body>& request) {
    if (!target_.is_tls) {
      beast::tcp_stream stream(loop_);
      TRY(connect(stream));
      return exchange(stream, request);
    }
    asio::ssl::context context(asio::ssl::context::tls_client);
    TRY(trust(context));
    beast::ssl_stream<beast::tcp_stream> stream(loop_, context);
    TRY(connect(beast::get_lowest_layer(stream)));
    const Fault fault = wait(
        [&](auto done) { stream.async_handshake(asio::ssl::stream_base::client, std::move(done)); },
        [&]() -> bool {
          stream.set_verify_callback(asio::ssl::host_name_verification(target_.host));
          return SSL_set_tlsext_host_name(stream.native_handle(), target_.host.c_str()) == 1;
        });
    if (fault) return failed(fault);
    return exchange(stream, request);
  }

 private:
  Result<void> check(const tcp::endpoint& endpoint) const {
    if (limits_.allow_private || is_public(endpoint.address())) return {};
    return not_public(target_, endpoint.address());
  }

  Result<void> trust(asio::ssl::context& context) const {
    const Fault fault = net::trust(context, limits_.ca_file);
    if (!fault) return {};
    return Error{Code::failed_precondition,
                 (limits_.ca_file.empty() ? std::string("the system's certificate authorities")
                                          : "ca_file " + limits_.ca_file) +
                     " cannot be read: " + fault.message()};
  }

  // Runs an asynchronous step and waits for it; the stream's own timer ends it at the deadline.
  template <class Start, class Before>
  Fault wait(Start start, Before before) {
    if (!before()) return asio::error::invalid_argument;
    Fault result = asio::error::would_block;
    start([&](Fault fault, auto&&...) { result = fault; });
    loop_.restart();
    loop_.run();
    return result;
  }
  template <class Start>
  Fault wait(Start start) {
    return wait(std::move(start), [] { return true; });
  }

  Result<void> connect(beast::tcp_stream& stream) {
    stream.expires_at(deadline_);
    const Fault fault = wait([&](auto done) { stream.async_connect(endpoints_, std::move(done)); });
    if (fault) return failed(fault);
    Fault gone;
    const tcp::endpoint peer = stream.socket().remote_endpoint(gone);
    if (gone) return failed(gone);
    return check(peer);
  }

  template <class Stream>
  Result<PostAnswer> exchange(Stream& stream, const http::request<http::string_body>& request) {
    const Fault sent =
        wait([&](auto done) { http::async_write(stream, request, std::move(done)); });
    // Who refuses a body may answer before it has read it all: the answer is still there.
    http::response_parser<http::string_body> parser;
    parser.body_limit(limits_.answer_max);
    beast::flat_buffer buffer;
    const Fault read =
        wait([&](auto done) { http::async_read(stream, buffer, parser, std::move(done)); });
    const int status = static_cast<int>(parser.get().result_int());
    // Whoever says a status has answered, also where the rest is too long or breaks off.
    const bool has_status = read == http::error::body_limit || parser.is_header_done();
    if (read && !(has_status && status != 0)) return failed(sent ? sent : read);
    return PostAnswer{status, std::move(parser.get().body())};
  }

  Error failed(const Fault& fault) const {
    return {Code::unavailable, "no answer from " + target_.place() + ": " + fault.message()};
  }

  Target target_;
  const PostLimits& limits_;
  std::chrono::steady_clock::time_point deadline_;
  asio::io_context loop_;
  std::vector<tcp::endpoint> endpoints_;
};

}  // namespace

bool is_public_address(const std::string& address) {
  Fault fault;
  const ip::address read = ip::make_address(address, fault);
  return !fault && is_public(read);
}

Result<void> check_post_url(const std::string& url, const PostLimits& limits) {
  Target target = TRY(target_of(url, limits));
  if (limits.allow_private) return {};
  return Exchange(std::move(target), limits).resolve();
}

Result<PostAnswer> post(const std::string& url,
                        const std::vector<std::pair<std::string, std::string>>& headers,
                        const std::string& body, const PostLimits& limits) {
  Target target = TRY(target_of(url, limits));
  http::request<http::string_body> request;
  request.method(http::verb::post);
  request.target(target.path);
  request.version(11);
  request.set(http::field::host, target.authority);
  request.set(http::field::connection, "close");
  request.set(http::field::user_agent, "penstock");
  for (const auto& [name, value] : headers) request.set(name, value);
  request.body() = body;
  request.prepare_payload();
  Exchange exchange(std::move(target), limits);
  TRY(exchange.resolve());
  return exchange.send(request);
}

}  // namespace penstock::net
