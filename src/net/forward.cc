// The caller's side of a call that another server answers.
#include <charconv>

#include "api/forward.h"
#include "net/session.h"
#include "net/wire.h"

namespace penstock::net {
namespace {

void append_chunk_size(std::string& out, std::size_t size) {
  std::array<char, 18> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + 16, size, 16).ptr;
  out.append(digits.data(), end);
  out += "\r\n";
}

}  // namespace

int Session::watched() const {
  return drive_ && phase_ == Phase::work ? const_cast<Session*>(this)->socket_.native_handle() : -1;
}

void Session::hang_up() {
  if (drive_) drive_->end(api::Ending::hung_up);
}

void Session::end_answered(api::Ending ending) {
  for (const auto& drive : std::exchange(answered_, {})) drive->end(ending);
}

// Decodes the body; large ones on a worker. False where `refused` is the answer.
asio::awaitable<bool> Session::unpack(api::Request& request, api::Response& refused) {
  if (!workers_.enter()) {
    refused = edge_.busy(request.path);
    co_return false;
  }
  auto work = [this, &request] {
    workers_.leave();
    return decode_body(request, edge_.options.body_max);
  };
  auto hop = run_on(workers_, std::move(work));
  auto answer = co_await std::move(hop);
  if (!answer) co_return true;
  refused = std::move(*answer);
  co_return false;
}

asio::awaitable<bool> Session::forward(Admission& admission, api::Request& request,
                                       Instant started) {
  phase_ = Phase::work;
  limit_ = Instant::max();
  api::Response response;
  bool plain = true;
  if (request.header("content-encoding")) plain = co_await unpack(request, response);
  std::shared_ptr<api::Forward> call;
  if (plain) call = edge_.open_forward(admission, request, response);
  if (call) {
    bool gone = false;
    // The answers before this one must not wait for it.
    if (!out_.empty()) {
      const bool sent = co_await flush();
      gone = !sent;  // its Forward has to hear of its end all the same
      phase_ = Phase::work;
      limit_ = Instant::max();
    }
    drive_ = std::make_shared<Drive>(forwards_, std::move(call), std::string(request.path),
                                     admission.call.request_id);
    if (cut_ || gone)
      drive_->end(cut_ ? api::Ending::cut : api::Ending::hung_up);
    else
      drive_->begin();
    while (!drive_->is_answered() && !drive_->is_streaming() && !drive_->is_over())
      co_await drive_->changed();
    if (!drive_->is_over() && drive_->is_streaming()) {
      const bool relayed = co_await relay(admission, request);
      drive_.reset();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
      edge_.count(admission, request, {.status = relayed_status_}, took.count());
      co_return relayed;
    }
    if (drive_->is_over()) {
      drive_.reset();
      co_return false;
    }
    response = std::move(drive_->response());
    answered_.push_back(std::exchange(drive_, nullptr));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  edge_.finish(admission, request, response, took.count());
  const bool put_out = co_await put(admission, response, request.method == "HEAD");
  co_return put_out;
}

// Puts a piece of a stream behind what goes out.
void Session::frame(std::string bytes, bool chunked) {
  if (bytes.empty()) return;
  if (chunked) {
    append_chunk_size(out_, bytes.size());
    bytes += "\r\n";
  }
  tail_ = std::move(bytes);
}

// The caller's side of a stream: what has come goes out at once, and while the caller is slow
// nothing more than a little is read. False ends the connection.
asio::awaitable<bool> Session::relay(Admission& admission, const api::Request& request) {
  api::Response& response = drive_->response();
  edge_.sign(admission, response);
  relayed_status_ = response.status;
  const bool bare = request.method == "HEAD" || response.status == 204 || response.status == 304;
  const bool chunked = !bare && !http_1_0_;
  if (edge_.draining || (http_1_0_ && !bare)) keep_alive_ = false;
  const HeadOptions head{.http_1_0 = http_1_0_,
                         .keep_alive = keep_alive_,
                         .date = edge_.clock.now(),
                         .chunked = chunked,
                         .open_ended = !chunked};
  append_head(out_, response, head);
  while (true) {
    std::string bytes = drive_->take();
    const bool all = drive_->is_streamed();
    if (!bare) frame(std::move(bytes), chunked);
    if (all && chunked && !drive_->is_cut_short()) (tail_.empty() ? out_ : tail_) += "0\r\n\r\n";
    if (!out_.empty() || !tail_.empty()) {
      const bool sent = co_await flush();
      phase_ = Phase::work;
      limit_ = Instant::max();
      if (!sent) drive_->end(cut_ ? api::Ending::cut : api::Ending::hung_up);
    }
    if (drive_->is_over()) co_return false;
    if (all) break;
    co_await drive_->changed();
  }
  // Without its last chunk nobody takes a broken stream for a whole one.
  const bool whole = !drive_->is_cut_short();
  drive_->end(api::Ending::answered);
  co_return whole;
}

}  // namespace penstock::net
