#include "adapters/redis/connection.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <openssl/err.h>
#include <openssl/x509v3.h>

namespace penstock::redis {
namespace {

constexpr std::size_t read_size = 64 << 10;

struct DestroyAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

std::string text_of_errno(int code) { return std::generic_category().message(code); }

std::string text_of_tls() {
  std::array<char, 256> text{};
  const unsigned long code = ERR_get_error();
  if (code == 0) return "the connection ended";
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

void append(std::string& out, char kind, std::size_t number) {
  out += kind;
  out += std::to_string(number);
  out += "\r\n";
}

bool is_address(const std::string& host) {
  std::array<unsigned char, 16> bytes{};
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

}  // namespace

std::string command(std::span<const std::string_view> words) {
  std::size_t size = 16;
  for (const std::string_view word : words) size += word.size() + 16;
  std::string out;
  out.reserve(size);
  append(out, '*', words.size());
  for (const std::string_view word : words) {
    append(out, '$', word.size());
    out.append(word).append("\r\n");
  }
  return out;
}

std::string command(std::initializer_list<std::string_view> words) {
  return command(std::span(words.begin(), words.size()));
}

Error gone(const Server& server, const std::string& what) {
  return {Code::unavailable, "the online store, Redis at " + server.text() + ", " + what};
}

Error fault(const Server& server, std::string_view text) {
  const std::string said =
      "the online store, Redis at " + server.text() + ", says: " + std::string(text.substr(0, 300));
  const auto is = [&](std::string_view word) { return text.starts_with(word); };
  if (is("NOAUTH") || is("WRONGPASS") || is("NOPERM") || is("ERR invalid password") ||
      is("ERR AUTH"))
    return {Code::permission_denied, said};
  if (is("OOM")) return {Code::resource_exhausted, said};
  if (is("LOADING") || is("CLUSTERDOWN") || is("MASTERDOWN") || is("TRYAGAIN") || is("BUSY") ||
      is("READONLY") || is("MISCONF") || is("NOREPLICAS") || is("UNKILLABLE"))
    return {Code::unavailable, said};
  if (is("WRONGTYPE"))
    return {Code::failed_precondition, said + " (something else writes keys of this prefix)"};
  if (is("MOVED") || is("ASK "))
    return {Code::failed_precondition,
            "Redis at " + server.text() +
                " is a part of a cluster; write redis+cluster:// in online_store"};
  return {Code::internal, said};
}

Result<Tls> make_tls(const Options& options) {
  Tls tls(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  if (!tls) return Error{Code::internal, "no TLS: " + text_of_tls()};
  SSL_CTX_set_min_proto_version(tls.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(tls.get(), SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_verify(tls.get(), SSL_VERIFY_PEER, nullptr);
  const int trusted = options.ca_file.empty() ? SSL_CTX_set_default_verify_paths(tls.get())
                                              : SSL_CTX_load_verify_locations(
                                                    tls.get(), options.ca_file.c_str(), nullptr);
  if (trusted == 1) return tls;
  ERR_clear_error();
  return Error{Code::invalid_argument,
               "ca_file " + options.ca_file + " cannot be read, or holds no certificates of PEM"};
}

Connection::Connection(const Server& server, const Tls& tls)
    : server_(server), tls_(tls), reader_(redisReaderCreate()) {}

Connection::~Connection() {
  if (socket_ >= 0) close(socket_);
}

Result<std::unique_ptr<Connection>> Connection::open(const Options& options, const Server& server,
                                                     const Tls& tls, Deadline deadline) {
  std::unique_ptr<Connection> one(new Connection(server, tls));
  TRY(one->connect(deadline));
  if (tls) TRY(one->shake_hands(deadline));
  TRY(one->introduce(options, deadline));
  return one;
}

Result<void> Connection::connect(Deadline deadline) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int unknown =
      getaddrinfo(server_.host.c_str(), std::to_string(server_.port).c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, DestroyAddresses> all(found);
  if (unknown != 0) return gone(server_, std::string("is no known name: ") + gai_strerror(unknown));
  std::string why = "has no address";
  for (const addrinfo* at = all.get(); at; at = at->ai_next) {
    if (socket_ >= 0) close(socket_);
    socket_ = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_ < 0) return gone(server_, "gets no socket: " + text_of_errno(errno));
    int code = ::connect(socket_, at->ai_addr, at->ai_addrlen) == 0 ? 0 : errno;
    if (code == EINPROGRESS) {
      TRY(wait(POLLOUT, deadline));
      socklen_t size = sizeof code;
      getsockopt(socket_, SOL_SOCKET, SO_ERROR, &code, &size);
    }
    if (code == 0) {
      const int on = 1;
      setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      setsockopt(socket_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
      return {};
    }
    why = "does not take the connection: " + text_of_errno(code);
  }
  return gone(server_, why);
}

Result<void> Connection::shake_hands(Deadline deadline) {
  ssl_.reset(SSL_new(tls_.get()));
  from_server_ = BIO_new(BIO_s_mem());
  to_server_ = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl_.get(), from_server_, to_server_);
  SSL_set_connect_state(ssl_.get());
  if (is_address(server_.host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), server_.host.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl_.get(), server_.host.c_str());
    SSL_set1_host(ssl_.get(), server_.host.c_str());
  }
  for (;;) {
    const int done = SSL_do_handshake(ssl_.get());
    encrypt();
    TRY(flush(deadline));
    if (done == 1) return {};
    if (SSL_get_error(ssl_.get(), done) != SSL_ERROR_WANT_READ) {
      std::string why = text_of_tls();
      if (const long verdict = SSL_get_verify_result(ssl_.get()); verdict != X509_V_OK)
        why = X509_verify_cert_error_string(verdict);
      return gone(server_, "is not who it should be, by its certificate: " + why);
    }
    if (!wait(POLLIN, deadline))
      return gone(server_, "does not answer the greeting of TLS in time; does it speak TLS?");
    std::array<char, read_size> bytes;
    const ssize_t got = recv(socket_, bytes.data(), bytes.size(), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
      return gone(server_, "ended the connection; does it speak TLS?");
    if (got > 0) BIO_write(from_server_, bytes.data(), static_cast<int>(got));
  }
}

Result<void> Connection::introduce(const Options& options, Deadline deadline) {
  std::string words;
  int replies = 0;
  if (!options.password.empty()) {
    words += options.user.empty() ? command({"AUTH", options.password})
                                  : command({"AUTH", options.user, options.password});
    ++replies;
  }
  if (options.database != 0) {
    words += command({"SELECT", std::to_string(options.database)});
    ++replies;
  }
  if (replies == 0) return {};
  TRY(send(words, deadline));
  for (; replies > 0; --replies) {
    const Reply reply = TRY(receive(deadline));
    if (reply->type == REDIS_REPLY_ERROR) return fault(server_, text_of(*reply));
  }
  return {};
}

Result<short> Connection::wait(short events, Deadline deadline) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd one{socket_, events, 0};
    const int ready =
        poll(&one, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000)));
    if (ready > 0) return one.revents;
    if (ready < 0 && errno != EINTR) return gone(server_, text_of_errno(errno));
    if (std::chrono::steady_clock::now() >= deadline)
      return gone(server_, "does not answer in time");
  }
}

void Connection::encrypt() {
  std::array<char, read_size> bytes;
  for (int got = 0; (got = BIO_read(to_server_, bytes.data(), bytes.size())) > 0;)
    out_.append(bytes.data(), static_cast<std::size_t>(got));
}

// Replies are taken meanwhile: a server whose replies nobody takes may take nothing more.
Result<void> Connection::flush(Deadline deadline) {
  while (sent_ < out_.size()) {
    const ssize_t went = ::send(socket_, out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (went >= 0) {
      sent_ += static_cast<std::size_t>(went);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return gone(server_, "ended the connection: " + text_of_errno(errno));
    const short ready = TRY(wait(POLLIN | POLLOUT, deadline));
    if ((ready & POLLIN) && (!ssl_ || SSL_is_init_finished(ssl_.get()))) TRY(take());
  }
  out_.clear();
  sent_ = 0;
  return {};
}

Result<void> Connection::send(std::string_view commands, Deadline deadline) {
  if (!ssl_) {
    out_.append(commands);
    return flush(deadline);
  }
  std::size_t written = 0;
  if (SSL_write_ex(ssl_.get(), commands.data(), commands.size(), &written) != 1 ||
      written != commands.size())
    return gone(server_, "ended the TLS session: " + text_of_tls());
  encrypt();
  return flush(deadline);
}

Result<void> Connection::decrypt() {
  std::array<char, read_size> bytes;
  for (;;) {
    const int got = SSL_read(ssl_.get(), bytes.data(), bytes.size());
    if (got > 0) {
      redisReaderFeed(reader_.get(), bytes.data(), static_cast<std::size_t>(got));
      continue;
    }
    encrypt();  // an answer to what was no data
    if (SSL_get_error(ssl_.get(), got) == SSL_ERROR_WANT_READ) return {};
    return gone(server_, "ended the TLS session: " + text_of_tls());
  }
}

Result<void> Connection::take() {
  std::array<char, read_size> bytes;
  const ssize_t got = recv(socket_, bytes.data(), bytes.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (got < 0) return gone(server_, "ended the connection: " + text_of_errno(errno));
  if (got == 0) return gone(server_, "ended the connection");
  if (!ssl_) {
    redisReaderFeed(reader_.get(), bytes.data(), static_cast<std::size_t>(got));
    return {};
  }
  BIO_write(from_server_, bytes.data(), static_cast<int>(got));
  return decrypt();
}

Result<Reply> Connection::receive(Deadline deadline) {
  for (;;) {
    void* reply = nullptr;
    if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK)
      return gone(server_, std::string("speaks no RESP: ") + reader_->errstr);
    if (reply) return Reply(static_cast<redisReply*>(reply));
    TRY(wait(POLLIN, deadline));
    TRY(take());
  }
}

bool Connection::usable() const {
  char byte = 0;
  const ssize_t got = recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN;
  // A session of TLS may have more to say; nobody else speaks without being asked.
  return got > 0 && ssl_;
}

}  // namespace penstock::redis
