#include "net/session.h"

#include <boost/asio/as_tuple.hpp>

#include "net/ticks.h"
#include "net/wire.h"

namespace penstock::net {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

constexpr auto token = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t head_step = 4 << 10, body_step = 64 << 10;
// Answers to pipelined requests leave together up to here.
constexpr std::size_t out_max = 64 << 10;
// A body beyond it is sent from where it is instead of being copied behind its head.
constexpr std::size_t copy_max = 16 << 10;
// How much is read and thrown away, so that a refused caller sees the answer and no reset.
constexpr std::size_t discard_max = 1 << 20;
constexpr Micros closing_time = std::chrono::seconds(1);
// Clients that stream a file look at the answer only once they have sent all of it.
constexpr std::size_t long_discard_max = 1 << 30;
constexpr Micros long_closing_time = std::chrono::seconds(10);

api::Fields fields_of(const http::fields& fields) {
  api::Fields out;
  out.reserve(8);
  for (const auto& field : fields) {
    std::string name(field.name_string());
    for (char& letter : name)
      if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    out.emplace_back(std::move(name), std::string(field.value()));
  }
  return out;
}

}  // namespace

Session::Session(Edge& edge, Workers& workers, Forwards& forwards, tcp::socket socket)
    : edge_(edge), workers_(workers), forwards_(forwards), socket_(std::move(socket)) {
  boost::system::error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
}

void Session::enter(Phase phase, Micros limit) {
  phase_ = phase;
  limit_ = about_now() + limit;
}

void Session::stop_if_late(Instant now) {
  if (now < limit_) return;
  late_ = true;
  limit_ = Instant::max();
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

void Session::drain() {
  if (phase_ == Phase::idle)
    limit_ = std::min(limit_, std::chrono::steady_clock::now() + edge_.options.linger_time);
}

void Session::abort() {
  cut_ = true;
  if (drive_) drive_->end(api::Ending::cut);
  boost::system::error_code ignored;
  socket_.close(ignored);
}

asio::awaitable<void> Session::run() {
  for (bool more = true; more;) more = co_await serve_one();
  const bool sent = co_await flush();
  if (sent) co_await close();
}

// Waits for bytes; first sends what is owed, or a caller that waits for it would never go on.
asio::awaitable<Session::Got> Session::read_some(std::size_t most) {
  if (!out_.empty()) {
    const Phase phase = phase_;
    const Instant limit = limit_;
    const bool sent = co_await flush();
    if (!sent) co_return Got::end;
    phase_ = phase;
    limit_ = limit;
    // The server may have begun to stop while the answer was on its way.
    if (edge_.draining) drain();
  }
  auto space = in_.prepare(most);
  auto [fault, size] = co_await socket_.async_read_some(space, token);
  in_.commit(size);
  if (!fault) co_return Got::all;
  co_return late_ ? Got::late : Got::end;
}

asio::awaitable<Session::Got> Session::read_head() {
  stream_.reset();
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(edge_.options.header_max));
  // Which of the two holds is known with the route.
  parser_->body_limit(std::max<std::uint64_t>(
      edge_.options.body_max, static_cast<std::uint64_t>(edge_.options.stream_max)));
  if (in_.size() == 0) {
    enter(Phase::idle, edge_.draining ? edge_.options.linger_time : edge_.options.idle_time);
    const Got got = co_await read_some(head_step);
    if (got != Got::all) co_return Got::end;
  }
  enter(Phase::header, edge_.options.header_time);
  while (true) {
    fault_ = {};
    const std::size_t used = in_.size() == 0 ? 0 : parser_->put(in_.data(), fault_);
    in_.consume(used);
    if (fault_ && fault_ != http::error::need_more) co_return Got::broken;
    if (parser_->is_header_done()) co_return Got::all;
    if (used > 0 && !fault_) continue;
    const Got got = co_await read_some(head_step);
    if (got != Got::all) co_return got;
  }
}

asio::awaitable<Session::Got> Session::read_body() {
  parser_->eager(true);
  enter(Phase::body, edge_.options.body_time);
  while (true) {
    fault_ = {};
    const std::size_t used = in_.size() == 0 ? 0 : parser_->put(in_.data(), fault_);
    in_.consume(used);
    if (fault_ && fault_ != http::error::need_more) co_return Got::broken;
    if (parser_->is_done()) co_return Got::all;
    if (used > 0 && !fault_) continue;
    const Got got = co_await read_some(body_step);
    if (got != Got::all) co_return got;
  }
}

// The one answer to what could not be read, before the connection is closed.
bool Session::give_up(Got got) {
  keep_alive_ = false;
  if (got == Got::end) return false;
  const http::request_header<>& message = stream_ ? stream_->get().base() : parser_->get().base();
  const std::string_view target = message.target();
  const std::string most = std::to_string(
      stream_ ? static_cast<std::size_t>(edge_.options.stream_max) : edge_.options.body_max);
  Error error{Code::invalid_argument, "the request is no valid HTTP: " + fault_.message()};
  int status = 400;
  if (got == Got::late) {
    error = {Code::deadline_exceeded, "the request took too long to arrive"};
    status = 408;
  } else if (fault_ == http::error::body_limit) {
    error = {Code::resource_exhausted, "the body is larger than " + most + " bytes"};
    status = 413;
    long_body_ = stream_.has_value();
  } else if (fault_ == http::error::header_limit) {
    error = {Code::resource_exhausted,
             "the headers are larger than " + std::to_string(edge_.options.header_max) + " bytes"};
    status = 431;
  }
  api::Response response = error_response(target, error, status);
  edge_.measures.count(nullptr, status, 0);
  HeadOptions head{.keep_alive = false, .date = edge_.clock.now()};
  append_head(out_, response, head);
  out_ += response.body;
  return false;
}

// Whether to read the body of a request that is refused already: a short one keeps the connection.
bool Session::worth_reading() const {
  const auto length = parser_->content_length();
  return length && *length <= discard_max &&
         parser_->get().find(http::field::expect) == parser_->get().end();
}

// Goes past the body of a request that is refused already, or says that the connection ends with
// the answer. False where there is nobody to answer any more.
asio::awaitable<bool> Session::skip_body() {
  if (parser_->is_done()) co_return true;
  if (!worth_reading()) {
    keep_alive_ = false;
    co_return true;
  }
  const Got body = co_await read_body();
  co_return body == Got::all || give_up(body);
}

// False where the connection is to be closed. What a pipelining caller sent behind its request
// stays in the buffer, so answers keep their order.
asio::awaitable<bool> Session::serve_one() {
  const Got head = co_await read_head();
  if (head != Got::all) co_return give_up(head);
  const Instant started = std::chrono::steady_clock::now();
  auto& message = parser_->get();
  http_1_0_ = message.version() < 11;
  long_body_ = false;
  const std::string_view target = message.target();
  keep_alive_ = message.keep_alive();
  api::Request request;
  request.method = message.method_string();
  request.headers = fields_of(message);
  Admission admission = edge_.admit(target, http_1_0_, request);
  if (admission.route && admission.route->receive && !admission.refused) {
    const bool answered = co_await receive(admission, request, started);
    co_return answered&& keep_alive_;
  }
  parser_->body_limit(edge_.options.body_max);
  if (!admission.refused && parser_->content_length().value_or(0) > edge_.options.body_max) {
    fault_ = http::error::body_limit;
    co_return give_up(Got::broken);
  }
  if (admission.refused) {
    const bool skipped = co_await skip_body();
    if (!skipped) co_return false;
  } else if (!parser_->is_done()) {
    if (!http_1_0_ && beast::iequals(message[http::field::expect], "100-continue"))
      out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    const Got body = co_await read_body();
    if (body != Got::all) co_return give_up(body);
  }
  request.body = std::move(message.body());
  if (admission.route && admission.route->forward && !admission.refused) {
    const bool forwarded = co_await forward(admission, request, started);
    co_return forwarded&& keep_alive_;
  }
  const bool answered = co_await answer(admission, request, started);
  co_return answered&& keep_alive_;
}

asio::awaitable<bool> Session::answer(Admission& admission, api::Request& request,
                                      Instant started) {
  phase_ = Phase::work;
  limit_ = Instant::max();
  api::Response response;
  if (admission.refused) {
    response = std::move(*admission.refused);
  } else if (edge_.is_short(admission, request)) {
    response = edge_.answer(admission, request);
  } else {
    // The answers before this one must not wait for it.
    const bool sent = co_await flush();
    if (!sent) co_return false;
    phase_ = Phase::work;
    limit_ = Instant::max();
    if (workers_.enter()) {
      auto work = [this, &admission, &request] {
        workers_.leave();
        return edge_.answer(admission, request);
      };
      auto hop = run_on(workers_, std::move(work));
      response = co_await std::move(hop);
    } else {
      response = edge_.busy(request.path);
    }
  }
  const StreamPlace place(response.source ? &edge_ : nullptr);
  if (response.source && !place) response = edge_.busy(request.path);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  edge_.finish(admission, request, response, took.count());
  const bool head_only = request.method == "HEAD";
  const bool put_out = co_await put(admission, response, head_only);
  co_return put_out;
}

// Appends an answer to what goes out. A long one goes at once.
asio::awaitable<bool> Session::put(const Admission& admission, api::Response& response,
                                   bool head_only) {
  if (edge_.draining) keep_alive_ = false;
  HeadOptions head{.http_1_0 = http_1_0_, .keep_alive = keep_alive_, .date = edge_.clock.now()};
  append_head(out_, response, head);
  if (response.after) after_.push_back(std::move(response.after));
  const bool has_body = !head_only && response.status != 204 && response.status != 304;
  if (has_body && response.source) {
    const bool sent = co_await send(admission, *response.source);
    co_return sent;
  }
  if (has_body && response.body.size() <= copy_max)
    out_ += response.body;
  else if (has_body)
    tail_ = std::move(response.body);
  if (tail_.empty() && out_.size() < out_max) co_return true;
  const bool sent = co_await flush();
  co_return sent;
}

// Sends what is owed, however slowly the caller takes it, as long as it takes some; then lets run
// what was to wait for that.
asio::awaitable<bool> Session::flush() {
  boost::system::error_code fault;
  for (std::size_t sent = 0; sent < out_.size() + tail_.size() && !fault;) {
    enter(Phase::write, edge_.options.body_time);
    const std::size_t of_tail = sent < out_.size() ? 0 : sent - out_.size();
    const std::array<asio::const_buffer, 2> rest = {asio::buffer(out_) + sent,
                                                    asio::buffer(tail_) + of_tail};
    // Mostly the socket takes it at once, and nobody has to wait.
    std::size_t size = socket_.write_some(rest, fault);
    if (fault == asio::error::would_block) {
      auto [late_fault, late_size] = co_await socket_.async_write_some(rest, token);
      fault = late_fault;
      size = late_size;
    }
    sent += size;
  }
  out_.clear();
  tail_ = {};
  for (auto& work : after_)
    if (!workers_.post(std::move(work))) edge_.measures.after_dropped();
  after_.clear();
  end_answered(!fault ? api::Ending::answered : cut_ ? api::Ending::cut : api::Ending::hung_up);
  co_return !fault;
}

// Says that no more comes and waits for the caller to have read it: closing over unread bytes would
// send a reset that takes the last answer with it.
asio::awaitable<void> Session::close() {
  boost::system::error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  enter(Phase::closing, long_body_ ? long_closing_time : closing_time);
  in_.clear();
  const std::size_t most = long_body_ ? long_discard_max : discard_max;
  for (std::size_t seen = 0; seen < most;) {
    auto space = in_.prepare(body_step);
    auto [fault, size] = co_await socket_.async_read_some(space, token);
    if (fault) co_return;
    seen += size;
  }
}

}  // namespace penstock::net
