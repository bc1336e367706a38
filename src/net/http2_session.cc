#include "net/http2_session.h"

#include <array>

#include <boost/asio/as_tuple.hpp>

#include "net/http2_events.h"

namespace penstock::net {
namespace {

using tcp = asio::ip::tcp;

constexpr auto token = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t read_step = 256 << 10;
// Reads of one connection before the others of its loop have their turn.
constexpr int reads_max = 4;
// Kept between answers; a longer one is given back.
constexpr std::size_t out_kept = 16 << 10;
constexpr Micros closing_time = std::chrono::seconds(1);
// How long an idle caller may take to say that it is still there.
constexpr Micros ping_time = std::chrono::seconds(20);

// Of the thread, so that an idle connection has none.
char* read_buffer() {
  thread_local const auto buffer = std::make_unique_for_overwrite<char[]>(read_step);
  return buffer.get();
}

}  // namespace

Http2Session::Http2Session(Edge& edge, const RpcEdge& rpcs, Workers& workers, tcp::socket socket)
    : edge_(edge),
      rpcs_(rpcs),
      workers_(workers),
      socket_(std::move(socket)),
      h2_(open_http2(*this)),
      heard_(std::chrono::steady_clock::now()) {
  boost::system::error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  limit_ = heard_ + edge_.options.header_time;
}

Http2Session::~Http2Session() { nghttp2_session_del(h2_); }

asio::awaitable<void> Http2Session::run() {
  if (!h2_) co_return;
  const std::array<nghttp2_settings_entry, 4> settings = {
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, http2::streams_max},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, http2::stream_window},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
        static_cast<std::uint32_t>(edge_.options.header_max)},
       {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}}};
  nghttp2_submit_settings(h2_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(h2_, NGHTTP2_FLAG_NONE, 0, http2::connection_window);
  write();
  if (edge_.draining) drain();
  while (socket_.is_open()) {
    auto [fault] = co_await socket_.async_wait(tcp::socket::wait_read, token);
    if (fault || !read()) break;
  }
  fail();
  for (auto& [id, stream] : streams_) {
    stream.job->is_gone = true;
    if (stream.flow)
      for (auto& job : stream.flow->jobs) job->is_gone = true;
  }
  for (auto& after : after_) post_after(after);
}

// Takes what is there. False where the connection is over.
bool Http2Session::read() {
  for (int turn = 0; turn < reads_max; ++turn) {
    boost::system::error_code fault;
    const std::size_t size = socket_.read_some(asio::buffer(read_buffer(), read_step), fault);
    if (fault == asio::error::would_block) return true;
    if (fault) return false;
    if (is_closing_) continue;
    heard_ = std::chrono::steady_clock::now();
    is_pinged_ = false;
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(read_buffer());
    if (nghttp2_session_mem_recv(h2_, bytes, size) < 0) return false;
    if (has_settings_ && limit_ != Instant::max()) limit_ = Instant::max();
    begin_ready();
    write();
    if (size < read_step) return socket_.is_open();
  }
  return socket_.is_open();
}

// Frames for the socket, as many as leave together. False where nothing is left to send.
bool Http2Session::fill() {
  sent_ = 0;
  out_.clear();
  go_on();
  if (nghttp2_session_send(h2_) != 0) fail();
  return !out_.empty();
}

void Http2Session::write() {
  if (is_writing_ || is_closing_) return;
  while (socket_.is_open()) {
    if (sent_ == out_.size() && !fill()) break;
    boost::system::error_code fault;
    sent_ += socket_.write_some(asio::buffer(out_) + sent_, fault);
    if (fault == asio::error::would_block) {
      is_writing_ = true;
      write_limit_ = std::chrono::steady_clock::now() + edge_.options.body_time;
      auto go_on = [self = shared_from_this()](boost::system::error_code ended) {
        self->is_writing_ = false;
        self->write_limit_ = Instant::max();
        if (!ended) self->write();
      };
      socket_.async_wait(tcp::socket::wait_write, std::move(go_on));
      return;
    }
    if (fault) return fail();
  }
  if (out_.capacity() > out_kept) out_ = {};
  for (auto& after : after_) post_after(after);
  after_.clear();
  if (nghttp2_session_want_read(h2_) == 0 && nghttp2_session_want_write(h2_) == 0) close();
}

// Says that no more comes and waits for the caller to have read it.
void Http2Session::close() {
  if (is_closing_) return;
  is_closing_ = true;
  limit_ = std::chrono::steady_clock::now() + closing_time;
  boost::system::error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
}

void Http2Session::fail() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void Http2Session::abort() { fail(); }

void Http2Session::drain() {
  if (drain_at_ != Instant::max() || is_closing_) return;
  drain_at_ = std::chrono::steady_clock::now() + edge_.options.linger_time;
  // What is on its way is still taken; from `drain_at_` on nothing is.
  nghttp2_submit_shutdown_notice(h2_);
  write();
}

// A frame that brought nothing.
void Http2Session::strike() {
  if (++strikes_ == http2::strikes_max)
    nghttp2_session_terminate_session(h2_, NGHTTP2_ENHANCE_YOUR_CALM);
}

void Http2Session::stop_if_late(Instant now) {
  if (now >= limit_ || now >= write_limit_) return fail();
  if (is_closing_) return;
  strikes_ = std::max(0, strikes_ - http2::strikes_forgiven);
  if (now >= drain_at_ && !is_told_) {
    is_told_ = true;
    nghttp2_submit_goaway(h2_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h2_),
                          NGHTTP2_NO_ERROR, nullptr, 0);
  }
  if (now >= heard_ + edge_.options.idle_time) {
    const Micros patience = edge_.options.idle_time + std::min(ping_time, edge_.options.idle_time);
    if (is_pinged_ && now >= heard_ + patience) return fail();
    if (!is_pinged_) nghttp2_submit_ping(h2_, NGHTTP2_FLAG_NONE, nullptr);
    is_pinged_ = true;
  }
  look_at_streams(now);
  write();
}

void Http2Session::look_at_streams(Instant now) {
  if (streams_.empty()) return;
  const Timestamp time = edge_.clock.now();
  for (auto& [id, stream] : streams_) {
    if (stream.flow) look_at_flow(stream, time);
    if (!stream.flow && !stream.is_answered && time > stream.job->call.deadline)
      refuse(stream, {RpcCode::deadline_exceeded, "the deadline passed before the call was done"});
    else if (now >= stream.limit)
      nghttp2_submit_rst_stream(h2_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  }
}

}  // namespace penstock::net
