#include "net/exchange.h"

#include <algorithm>

#include <boost/asio/post.hpp>

#include "net/ticks.h"
#include "net/wire.h"

namespace penstock::net {
namespace {

// What one turn of the loop reads of one answer, so that others have theirs.
constexpr int rounds_max = 4;

// What says how the message is framed or who sends it is not the request's to say.
bool is_ours(std::string_view name) {
  for (const std::string_view ours : {"host", "content-length", "transfer-encoding", "connection",
                                      "authorization", "keep-alive", "upgrade", "expect", "te"})
    if (name == ours) return true;
  return false;
}

void append_request_head(std::string& out, const http::Request& request,
                         const http::Endpoint& endpoint, const std::string& address) {
  out.reserve(256 + request.target.size() + endpoint.authorization.size());
  ((out += request.method) += ' ') += endpoint.base_path;
  ((out += request.target) += " HTTP/1.1\r\nhost: ") += address;
  if (!endpoint.authorization.empty()) (out += "\r\nauthorization: ") += endpoint.authorization;
  bool has_agent = false;
  for (const auto& [name, value] : request.headers) {
    if (is_ours(name)) continue;
    has_agent = has_agent || name == "user-agent";
    (((out += "\r\n") += name) += ": ") += value;
  }
  if (!has_agent) out += "\r\nuser-agent: penstock";
  if (!request.body.empty() || (request.method != "GET" && request.method != "HEAD"))
    (out += "\r\ncontent-length: ") += std::to_string(request.body.size());
  out += "\r\n\r\n";
}

}  // namespace

Exchange::Exchange(Pool& pool, Kept& kept, std::shared_ptr<const http::Endpoint> endpoint,
                   http::Request request, Instant deadline, Receiver& receiver)
    : pool_(&pool),
      kept_(&kept),
      endpoint_(std::move(endpoint)),
      request_(std::move(request)),
      receiver_(&receiver),
      deadline_(deadline) {
  ++kept_->users;
  place_ = pool_->live().insert(pool_->live().end(), this);
  kept_->origin->attempt();
}

void Exchange::enter(Phase phase, Micros limit) {
  phase_ = phase;
  limit_ = about_now() + limit;
}

// Why the request cannot be sent as it is; mostly nothing.
std::string Exchange::checked_head() const {
  const auto bad_line = [](std::string_view text) {
    return has_break(text) || text.find(' ') != text.npos;
  };
  if (request_.method.empty() || bad_line(request_.method) || bad_line(request_.target) ||
      bad_line(endpoint_->base_path))
    return "a request line may have no spaces and line breaks";
  if (endpoint_->base_path.empty() && request_.target.empty()) return "a request needs a target";
  if (has_break(endpoint_->authorization)) return "its authorization has a line break";
  for (const auto& [name, value] : request_.headers)
    if (name.empty() || bad_line(name) || has_break(value))
      return "a header may have no line break";
  return "";
}

void Exchange::start() {
  if (std::string bad = checked_head(); !bad.empty())
    return fail_later(api::Fault::refused, std::move(bad));
  append_request_head(head_, request_, *endpoint_, kept_->origin->address);
  if (deadline_ <= std::chrono::steady_clock::now())
    return fail_later(api::Fault::deadline, "the deadline passed before it was asked");
  if (auto kept = pool_->take_unused(*kept_)) {
    reused_ = true;
    use(std::move(kept));
    return;
  }
  open();
}

void Exchange::open() {
  enter(phase_, endpoint_->connect_time);
  connect_by_ = limit_;
  if (endpoint_->tls && !kept_->origin->tls)
    return fail_later(api::Fault::refused, kept_->origin->tls_fault);
  if (kept_->origin->open(endpoint_->connections_max)) return resolve();
  const std::string most = std::to_string(endpoint_->connections_max);
  if (kept_->origin->unused() == 0)
    return fail_later(api::Fault::refused, "all its " + most + " connections are in use", true);
  phase_ = Phase::waiting;  // look_at() tries again
  pool_->origins().make_room(*pool_, kept_->origin);
}

void Exchange::resolve() {
  connection_ = std::make_shared<Connection>(pool_->loop(), kept_->origin);
  connection_->user = this;
  kept_->origin->lend();
  phase_ = Phase::resolving;
  boost::system::error_code no_address;
  const auto ip = asio::ip::make_address(endpoint_->host, no_address);
  if (!no_address) {
    const int port = std::atoi(endpoint_->port.c_str());
    if (port <= 0 || port > 65'535) return fail_later(api::Fault::refused, "its port is no number");
    return connect({{ip, static_cast<unsigned short>(port)}});
  }
  if (const auto* known = pool_->names().known(endpoint_->host, endpoint_->port))
    return connect(*known);
  pool_->names().ask(endpoint_->host, endpoint_->port,
                     [weak = weak_from_this()](const auto& fault, const auto& addresses) {
                       const auto self = weak.lock();
                       if (!self || self->phase_ != Phase::resolving) return;
                       if (fault || addresses.empty())
                         return self->fail(api::Fault::refused,
                                           "its name is not known: " + fault.message());
                       self->connect(addresses);
                     });
}

void Exchange::connect(std::vector<asio::ip::tcp::endpoint> addresses) {
  addresses_ = std::move(addresses);
  address_at_ = 0;
  connect_next();
}

void Exchange::connect_next() {
  phase_ = Phase::connecting;
  // Each address has its share of the time that is left, so that one that is silent is gone past.
  const Instant now = std::chrono::steady_clock::now();
  const auto left = static_cast<std::int64_t>(addresses_.size() - address_at_);
  limit_ = now + std::max<Instant::duration>(connect_by_ - now, Instant::duration(0)) / left;
  connection_->socket.async_connect(addresses_[address_at_], [self = shared_from_this(),
                                                              used = connection_,
                                                              at = address_at_](const auto& fault) {
    if (self->connection_ == used && self->phase_ == Phase::connecting && self->address_at_ == at)
      self->connected(fault);
  });
}

void Exchange::connected(const boost::system::error_code& fault) {
  if (fault) {
    if (++address_at_ == addresses_.size())
      return fail(api::Fault::refused, "no connection: " + fault.message());
    boost::system::error_code ignored;
    connection_->socket.close(ignored);
    return connect_next();
  }
  connection_->begin(endpoint_->host);
  limit_ = connect_by_;
  phase_ = Phase::handshake;
  shake_hands();
}

void Exchange::shake_hands() {
  switch (connection_->shake_hands()) {
    case Connection::Io::some: return use(std::move(connection_));
    case Connection::Io::blocked: return pool_->wait_read(connection_);
    default: return fail(api::Fault::refused, "the TLS handshake failed: " + connection_->fault());
  }
}

void Exchange::use(std::shared_ptr<Connection> connection) {
  connection_ = std::move(connection);
  if (connection_->user != this) kept_->origin->lend();
  connection_->user = this;
  enter(Phase::sending, endpoint_->idle_time);
  sent_ = 0;
  all_sent_ = false;
  reader_.begin(request_.method == "HEAD",
                {.head_max = pool_->origins().options.head_max, .body_max = endpoint_->answer_max});
  pool_->wait_read(connection_);
  write();
}

void Exchange::write() {
  const Connection::Io io = connection_->send(head_, request_.body, sent_);
  if (io == Connection::Io::blocked) {
    limit_ = about_now() + endpoint_->idle_time;
    return pool_->wait_write(connection_);
  }
  // A server that refuses a body answers before it has read it: its answer may still be there, so
  // a fault shows when that is read.
  all_sent_ = io == Connection::Io::some;
  if (phase_ == Phase::sending) enter(Phase::head, endpoint_->first_byte_time);
}

void Exchange::writable() {
  if (phase_ == Phase::sending || phase_ == Phase::head || phase_ == Phase::body) write();
}

void Exchange::readable() {
  const auto self = shared_from_this();
  if (phase_ == Phase::handshake) return shake_hands();
  std::vector<char>& buffer = pool_->buffer();
  bool is_dry = false;
  for (int round = 0; round < rounds_max && receiver_ && !paused_ && !is_dry; ++round) {
    std::size_t got = 0;
    const Connection::Io io = connection_->receive(buffer.data(), buffer.size(), got);
    is_dry = io == Connection::Io::blocked;
    if (is_dry) break;
    if (io != Connection::Io::some) return ended(io);
    got_any_ = true;
    if (!take({buffer.data(), got})) return;
    is_dry = got < buffer.size() && !endpoint_->tls;
  }
  if (!receiver_ || paused_) return;
  if (is_dry || !endpoint_->tls) return pool_->wait_read(connection_);
  // What TLS has taken off the socket already, no readiness of the socket will tell of.
  asio::post(pool_->loop(), [self] {
    if (self->receiver_ && self->connection_) self->readable();
  });
}

// False once there is nothing more to read for.
bool Exchange::take(std::string_view bytes) {
  while (true) {
    switch (reader_.next(bytes)) {
      case AnswerReader::Step::more:
        // The time between two pieces begins anew; a head has to come at once.
        if (phase_ == Phase::body) limit_ = about_now() + endpoint_->idle_time;
        return true;
      case AnswerReader::Step::head:
        enter(Phase::body, endpoint_->idle_time);
        receiver_->head(reader_.status(), reader_.headers(), reader_.promised());
        break;
      case AnswerReader::Step::body: receiver_->body(reader_.piece()); break;
      case AnswerReader::Step::done: done(bytes.empty()); return false;
      case AnswerReader::Step::broken: fail(api::Fault::broke, reader_.problem()); return false;
      case AnswerReader::Step::too_large:
        fail(api::Fault::too_large, reader_.problem());
        return false;
    }
    if (!receiver_) return false;
  }
}

// The connection came to its end.
void Exchange::ended(Connection::Io how) {
  if (how == Connection::Io::end && reader_.end() == AnswerReader::Step::done) return done(false);
  if (reused_ && !replaced_ && !got_any_) return replace();
  if (how == Connection::Io::end) return fail(api::Fault::broke, reader_.problem());
  fail(api::Fault::broke, "the connection broke: " + connection_->fault());
}

// The server had closed a kept connection before it could see the request.
void Exchange::replace() {
  replaced_ = true;
  reused_ = false;
  connection_->user = nullptr;
  kept_->origin->give_back();
  connection_->close();
  connection_.reset();
  open();
}

void Exchange::done(bool reusable) {
  Receiver* const receiver = std::exchange(receiver_, nullptr);
  if (reusable && all_sent_ && reader_.keep_alive()) {
    connection_->user = nullptr;
    kept_->origin->give_back();
    pool_->keep(*kept_, std::exchange(connection_, nullptr));
  }
  leave();
  receiver->end();
}

void Exchange::fail(api::Fault fault, std::string_view what, bool busy) {
  if (!receiver_) return;
  Receiver* const receiver = std::exchange(receiver_, nullptr);
  Origin& origin = *kept_->origin;
  origin.fault(fault);
  Broken broken{fault, "upstream " + origin.name + " (" + origin.address + "): ", busy};
  broken.detail += what;
  const auto self = weak_from_this().lock();  // leave() may let go of the last one
  leave();
  receiver->fault(std::move(broken));
}

void Exchange::fail_later(api::Fault fault, std::string what, bool busy) {
  asio::post(pool_->loop(), [weak = weak_from_this(), fault, what = std::move(what), busy] {
    if (const auto self = weak.lock()) self->fail(fault, what, busy);
  });
}

void Exchange::close() {
  receiver_ = nullptr;
  leave();
}

// Gives back all that it holds.
void Exchange::leave() {
  if (phase_ == Phase::over) return;
  phase_ = Phase::over;
  pool_->live().erase(place_);
  --kept_->users;
  if (!connection_) return;
  connection_->user = nullptr;
  kept_->origin->give_back();
  connection_->close();
  connection_.reset();
}

void Exchange::pause() { paused_ = true; }

void Exchange::resume() {
  if (!std::exchange(paused_, false) || phase_ == Phase::over) return;
  if (phase_ == Phase::body) limit_ = about_now() + endpoint_->idle_time;
  if (!connection_) return;
  // TLS may hold bytes that the socket no longer has.
  if (endpoint_->tls)
    asio::post(pool_->loop(), [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && self->receiver_ && self->connection_) self->readable();
    });
  else
    pool_->wait_read(connection_);
}

std::string_view Exchange::late_text() const {
  switch (phase_) {
    case Phase::waiting: return "all its connections stayed in use";
    case Phase::resolving: return "its name was not found in time";
    case Phase::connecting: return "it did not take the connection in time";
    case Phase::handshake: return "the TLS handshake took too long";
    case Phase::sending: return "it did not take the request in time";
    case Phase::head: return "its answer did not begin in time";
    default: return "its answer stopped half way";
  }
}

void Exchange::look_at(Instant now) {
  if (now >= deadline_) return fail(api::Fault::deadline, "the deadline passed");
  if (paused_) return;
  if (now >= limit_) {
    if (phase_ != Phase::connecting || address_at_ + 1 == addresses_.size())
      return fail(phase_ == Phase::waiting ? api::Fault::refused : api::Fault::timed_out,
                  late_text(), phase_ == Phase::waiting);
    boost::system::error_code ignored;
    ++address_at_;
    connection_->socket.close(ignored);
    return connect_next();
  }
  if (phase_ != Phase::waiting) return;
  if (auto kept = pool_->take_unused(*kept_)) {
    reused_ = true;
    return use(std::move(kept));
  }
  if (kept_->origin->open(endpoint_->connections_max)) resolve();
}

}  // namespace penstock::net
