#include "net/connection.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <boost/asio/ip/address.hpp>

namespace penstock::net {
namespace {

constexpr std::size_t tls_step = 64 << 10;

std::string last_fault(ssl_st* ssl) {
  const long verified = SSL_get_verify_result(ssl);
  std::array<char, 256> text{};
  const unsigned long code = ERR_peek_last_error();
  ERR_error_string_n(code, text.data(), text.size());
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  std::string out = reason ? reason : code == 0 ? "the connection ended" : text.data();
  if (verified != X509_V_OK) out += std::string(": ") + X509_verify_cert_error_string(verified);
  ERR_clear_error();
  return out;
}

}  // namespace

Tls::Tls(asio::ssl::context& context, const std::string& host)
    : ssl_(SSL_new(context.native_handle())),
      in_(BIO_new(BIO_s_mem())),
      out_(BIO_new(BIO_s_mem())) {
  if (!ssl_ || !in_ || !out_) throw std::bad_alloc();
  BIO_set_mem_eof_return(in_, -1);
  SSL_set_bio(ssl_, in_, out_);
  SSL_set_connect_state(ssl_);
  SSL_set_verify(ssl_, SSL_VERIFY_PEER, nullptr);
  boost::system::error_code is_name;
  asio::ip::make_address(host, is_name);
  if (is_name) {
    SSL_set_tlsext_host_name(ssl_, host.c_str());
    SSL_set_hostflags(ssl_, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_set1_host(ssl_, host.c_str()) != 1) fault_ = "its host is no name";
  } else if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host.c_str()) != 1) {
    fault_ = "its host is no address";
  }
}

Tls::~Tls() { SSL_free(ssl_); }

Tls::Step Tls::step_of(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return Step::wants_bytes;
    case SSL_ERROR_ZERO_RETURN: return Step::end;
    default: fault_ = last_fault(ssl_); return Step::broken;
  }
}

Tls::Step Tls::shake_hands() {
  if (!fault_.empty()) return Step::broken;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  return result == 1 ? Step::done : step_of(result);
}

Tls::Step Tls::read(char* to, std::size_t most, std::size_t& got) {
  ERR_clear_error();
  const int result = SSL_read_ex(ssl_, to, most, &got);
  return result == 1 ? Step::done : step_of(result);
}

bool Tls::write(std::string_view plain) {
  ERR_clear_error();
  std::size_t written = 0;
  if (SSL_write_ex(ssl_, plain.data(), plain.size(), &written) == 1) return true;
  fault_ = last_fault(ssl_);
  return false;
}

void Tls::take(const char* from, std::size_t size) { BIO_write(in_, from, static_cast<int>(size)); }

void Tls::put_out(std::string& out) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(out_, &data);
  if (size <= 0) return;
  out.append(data, static_cast<std::size_t>(size));
  static_cast<void>(BIO_reset(out_));
}

void Connection::begin(const std::string& host) {
  boost::system::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.non_blocking(true, ignored);
  if (origin_->tls) tls_ = std::make_unique<Tls>(*origin_->tls, host);
}

// Sends what TLS has to say.
Connection::Io Connection::push() {
  tls_->put_out(cipher_);
  while (cipher_sent_ < cipher_.size()) {
    const std::string_view rest = std::string_view(cipher_).substr(cipher_sent_);
    const std::size_t size = socket.send(asio::buffer(rest), 0, fault_);
    if (fault_ == asio::error::would_block) return Io::blocked;
    if (fault_) return Io::broken;
    cipher_sent_ += size;
  }
  cipher_.clear();
  cipher_sent_ = 0;
  return Io::some;
}

// Takes bytes off the socket for TLS to read.
Connection::Io Connection::pull() {
  // Not of each thread from its start on, as an array would be.
  constexpr std::size_t most = 16 << 10;
  thread_local const auto bytes = std::make_unique_for_overwrite<char[]>(most);
  const std::size_t size = socket.receive(asio::buffer(bytes.get(), most), 0, fault_);
  if (fault_ == asio::error::would_block) return Io::blocked;
  if (fault_) return Io::broken;
  tls_->take(bytes.get(), size);
  return Io::some;
}

Connection::Io Connection::shake_hands() {
  while (tls_) {
    const Tls::Step step = tls_->shake_hands();
    if (push() == Io::broken) return Io::broken;
    if (step == Tls::Step::done) return Io::some;
    if (step != Tls::Step::wants_bytes) return Io::broken;
    if (const Io got = pull(); got != Io::some) return got;
  }
  return Io::some;
}

Connection::Io Connection::send(std::string_view head, std::string_view body, std::size_t& sent) {
  if (!tls_) {
    while (sent < head.size() + body.size()) {
      const std::size_t of_body = sent < head.size() ? 0 : sent - head.size();
      const std::array<asio::const_buffer, 2> rest = {
          asio::buffer(head.data(), head.size()) + sent,
          asio::buffer(body.data(), body.size()) + of_body};
      const std::size_t size = socket.send(rest, 0, fault_);
      if (fault_ == asio::error::would_block) return Io::blocked;
      if (fault_) return Io::broken;
      sent += size;
    }
    return Io::some;
  }
  while (true) {
    if (const Io pushed = push(); pushed != Io::some) return pushed;
    if (sent == head.size() + body.size()) return Io::some;
    std::string_view next =
        sent < head.size() ? head.substr(sent) : body.substr(sent - head.size());
    next = next.substr(0, tls_step);
    if (!tls_->write(next)) return Io::broken;
    sent += next.size();
  }
}

Connection::Io Connection::receive(char* to, std::size_t most, std::size_t& got) {
  if (!tls_) {
    got = socket.receive(asio::buffer(to, most), 0, fault_);
    if (fault_ == asio::error::would_block) return Io::blocked;
    if (fault_ == asio::error::eof) return Io::end;
    return fault_ ? Io::broken : Io::some;
  }
  while (true) {
    const Tls::Step step = tls_->read(to, most, got);
    if (push() == Io::broken) return Io::broken;  // TLS may have something to say as well
    if (step == Tls::Step::done) return Io::some;
    if (step == Tls::Step::end) return Io::end;
    if (step == Tls::Step::broken) return Io::broken;
    // An end that TLS did not announce may be anybody's: it is none.
    if (const Io pulled = pull(); pulled != Io::some) return pulled;
  }
}

bool Connection::is_quiet() {
  if (tls_) {
    char byte = 0;
    std::size_t got = 0;
    return receive(&byte, 1, got) == Io::blocked;  // new keys may have come
  }
  char byte = 0;
  return ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK);
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  boost::system::error_code ignored;
  socket.close(ignored);
  origin_->closed();
}

}  // namespace penstock::net
