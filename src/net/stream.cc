// Bodies and answers that are longer than memory: a megabyte at a time goes between the connection,
// on its loop, and a worker that may block. No thread waits for a slow caller.
#include <boost/asio/as_tuple.hpp>

#include "api/files.h"
#include "base/log.h"
#include "net/session.h"
#include "net/wire.h"

namespace penstock::net {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;

constexpr auto token = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t chunk_size = 1 << 20, read_step = 256 << 10;

// Why a body is refused by its head alone.
std::optional<api::Response> refused(const api::Request& request, const Edge& edge,
                                     const boost::optional<std::uint64_t>& length) {
  const std::string* encoding = request.header("content-encoding");
  if (encoding && !encoding->empty() && *encoding != "identity")
    return error_response(
        request.path,
        {Code::invalid_argument, "Content-Encoding " + *encoding + " is not taken here; send none"},
        415);
  if (!length || *length <= static_cast<std::uint64_t>(edge.options.stream_max)) return {};
  return error_response(request.path,
                        {Code::resource_exhausted,
                         "the body is larger than " + std::to_string(edge.options.stream_max) +
                             " bytes; an operator can raise limits.artifact_bytes"},
                        413);
}

}  // namespace

// The way of a request whose route takes its body while it comes. False where nobody is left to
// answer.
asio::awaitable<bool> Session::receive(Admission& admission, api::Request& request,
                                       Instant started) {
  const bool flushed = co_await flush();  // the answers before this one must not wait for it
  if (!flushed) co_return false;
  const StreamPlace place(&edge_);
  api::Response response;
  std::unique_ptr<api::Intake> intake;
  if (auto refusal = refused(request, edge_, parser_->content_length())) {
    response = std::move(*refusal);
  } else if (!place || !workers_.enter()) {
    response = edge_.busy(request.path);
  } else {
    auto open = [this, &admission, &request] {
      workers_.leave();
      return edge_.open_intake(admission, request);
    };
    phase_ = Phase::work;
    limit_ = Instant::max();
    auto hop = run_on(workers_, std::move(open));
    auto opened = co_await std::move(hop);
    if (opened)
      intake = std::move(opened).take();
    else
      response = error_response(request.path, opened.error());
  }
  if (intake) {
    auto taking = take_in(admission, request, std::move(intake));
    response = co_await std::move(taking);
    if (response.status == 0) co_return false;
  } else {
    long_body_ = !parser_->is_done();
    const bool skipped = co_await skip_body();
    if (!skipped) co_return false;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  edge_.finish(admission, request, response, took.count());
  const bool sent = co_await put(admission, response, false);
  co_return sent;
}

// The answer once the body is taken, or why it was not; status 0 where the caller went away.
asio::awaitable<api::Response> Session::take_in(Admission& admission, api::Request& request,
                                                std::unique_ptr<api::Intake> intake) {
  // Letting go of half a file may take a while, so a worker does.
  const auto drop = [this](std::unique_ptr<api::Intake>& gone) {
    workers_.submit([kept = std::shared_ptr<api::Intake>(std::move(gone))] {});
  };
  if (!http_1_0_ && beast::iequals(parser_->get()[http::field::expect], "100-continue"))
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
  stream_.emplace(std::move(*parser_));
  stream_->eager(true);
  stream_->body_limit(static_cast<std::uint64_t>(edge_.options.stream_max));
  std::string chunk;
  api::Response response;
  while (true) {
    chunk.resize(chunk_size);
    const Got got = co_await read_chunk(chunk);
    if (got != Got::all) {
      drop(intake);
      give_up(got);
      response.status = 0;
      co_return response;
    }
    phase_ = Phase::work;
    limit_ = Instant::max();
    const bool last = stream_->is_done();
    auto work = [this, &admission, &request, &chunk, &intake, last]() -> Result<api::Response> {
      if (const auto taken = edge_.take(admission, *intake, chunk); !taken) return taken.error();
      if (last) return edge_.finish_intake(admission, *intake, request);
      return api::Response{};
    };
    auto hop = run_on(workers_, std::move(work));
    auto done = co_await std::move(hop);
    if (done && !last) continue;
    drop(intake);
    if (done) {
      response = std::move(done).take();
    } else {
      long_body_ = !last;
      keep_alive_ = keep_alive_ && last;
      response = error_response(request.path, done.error(), api::file_status(done.error()));
    }
    co_return response;
  }
}

// Fills `chunk`, or as much of it as the body has left.
asio::awaitable<Session::Got> Session::read_chunk(std::string& chunk) {
  enter(Phase::body, edge_.options.body_time);
  auto& body = stream_->get().body();
  body.data = chunk.data();
  body.size = chunk.size();
  body.more = true;
  while (!stream_->is_done() && body.size > 0) {
    fault_ = {};
    const std::size_t used = in_.size() == 0 ? 0 : stream_->put(in_.data(), fault_);
    in_.consume(used);
    if (fault_ == http::error::need_buffer) fault_ = {};
    if (fault_ && fault_ != http::error::need_more) co_return Got::broken;
    if (stream_->is_done() || body.size == 0) break;
    if (used > 0 && !fault_) continue;
    const Got got = co_await read_some(read_step);
    if (got != Got::all) co_return got;
  }
  chunk.resize(chunk.size() - body.size);
  co_return Got::all;
}

// Sends what is owed, then the source to its end. False ends the connection.
asio::awaitable<bool> Session::send(const Admission& admission, api::Source& source) {
  const bool headed = co_await flush();
  if (!headed) co_return false;
  std::string chunk(chunk_size, '\0');
  for (std::int64_t left = source.size(); left > 0;) {
    phase_ = Phase::work;
    limit_ = Instant::max();
    auto work = [this, &admission, &source, &chunk] {
      return edge_.read(admission, source, chunk.data(), chunk.size());
    };
    auto hop = run_on(workers_, std::move(work));
    const auto got = co_await std::move(hop);
    if (!got || *got == 0 || static_cast<std::int64_t>(*got) > left) {
      log::error("answer_cut_short",
                 {{"request_id", admission.call.request_id},
                  {"route", admission.route->path},
                  {"error", got ? "the source is not as long as it said" : got.error().message}});
      abort();
      co_return false;
    }
    const std::string_view bytes(chunk.data(), *got);
    const bool sent = co_await write_chunk(bytes);
    if (!sent) co_return false;
    left -= static_cast<std::int64_t>(*got);
  }
  co_return true;
}

asio::awaitable<bool> Session::write_chunk(std::string_view chunk) {
  enter(Phase::write, edge_.options.body_time);
  while (!chunk.empty()) {
    const auto rest = asio::buffer(chunk);
    auto [fault, size] = co_await socket_.async_write_some(rest, token);
    if (fault) co_return false;
    chunk.remove_prefix(size);
  }
  co_return true;
}

}  // namespace penstock::net
