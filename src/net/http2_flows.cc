#include <algorithm>

#include "net/http2_events.h"

namespace penstock::net {

void Http2Session::open_flow(Stream& stream) {
  stream.flow = std::make_unique<Flow>();
  flows_.push_back(stream.id);
  submit_flow(h2_, stream.id);
}

void Http2Session::go_on() {
  for (const std::int32_t id : flows_)
    if (Stream* const stream = find(id); stream && !stream->is_answered) go_on(*stream);
}

// Takes messages while there is room for them, and has them answered.
void Http2Session::go_on(Stream& stream) {
  Flow& flow = *stream.flow;
  bool is_whole = false;
  while ((is_whole = take_message(stream)) && has_room(flow)) begin_message(stream);
  if (flow.taken == flow.bytes.size() || flow.taken >= http2::window_slack) {
    flow.bytes.erase(0, flow.taken);
    flow.taken = 0;
  }
  if (stream.is_answered || is_whole) return;
  if (flow.is_all && stream.inbox.is_empty()) return end(stream, {});
  if (flow.is_all)
    return end(stream, {RpcCode::invalid_argument, "the call ended within a message"});
  if (!stream.inbox.is_empty() && flow.limit == Timestamp::max())
    flow.limit = edge_.clock.now() + edge_.options.request_time;
  give_window(stream);
}

// Whether the next message is whole. One that cannot be ends the call: where the one after it
// begins, nobody knows.
bool Http2Session::take_message(Stream& stream) {
  Flow& flow = *stream.flow;
  while (!stream.is_answered && !stream.inbox.is_whole()) {
    const auto piece =
        std::string_view(flow.bytes).substr(flow.taken).substr(0, stream.inbox.wants());
    if (piece.empty()) return false;
    flow.taken += piece.size();
    if (RpcStatus status = take_piece(stream, piece); !status.ok()) end(stream, std::move(status));
  }
  return !stream.is_answered;
}

bool Http2Session::has_room(const Flow& flow) const {
  const std::size_t most = http2::held_messages * edge_.options.body_max +
                           http2::streams_max * std::size_t{http2::stream_window};
  if (working_ >= http2::streams_max || held_ > most) return false;
  std::size_t held = 0;
  for (const auto& job : flow.jobs) held += job->held;
  return flow.jobs.size() < http2::flow_messages && held < http2::flow_bytes;
}

void Http2Session::begin_message(Stream& stream) {
  Flow& flow = *stream.flow;
  const auto job = std::make_shared<RpcJob>();
  job->is_packed = stream.inbox.is_packed();
  job->message = stream.inbox.give();
  job->encoding = stream.job->encoding;
  job->held = stream.held;
  stream.held = 0;
  stream.inbox = {};
  stream.is_admitted = false;
  std::erase(waiting_, stream.id);
  flow.limit = Timestamp::max();
  flow.jobs.push_back(job);
  job->status = rpcs_.admit_message(*stream.job, *job);
  const bool is_here = !job->status.ok() || rpcs_.is_short(*job);
  if (!is_here && workers_.enter()) return hand_over(job, stream.id);
  if (!is_here)
    job->status = {RpcCode::resource_exhausted,
                   "too many requests wait already; try again in a second"};
  rpcs_.answer(*job);
  done(stream, *job);
}

// Lets the caller send as much as is taken care of: a window's worth, or the rest of a long message
// that has room.
void Http2Session::give_window(Stream& stream) {
  // Before our settings are acknowledged the window is another, which they will widen.
  constexpr auto setting = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE;
  if (nghttp2_session_get_local_settings(h2_, setting) < std::uint32_t{http2::stream_window})
    return;
  const Flow& flow = *stream.flow;
  const std::size_t whole = RpcInbox::prefix_size + stream.inbox.length();
  std::size_t room = http2::stream_window;
  if (stream.is_admitted) room = std::max(room, whole + http2::window_slack);
  const std::int32_t may = nghttp2_session_get_stream_local_window_size(h2_, stream.id);
  const std::size_t used = flow.bytes.size() - flow.taken + stream.inbox.size() +
                           static_cast<std::size_t>(std::max(0, may));
  if (room >= used + http2::window_slack)
    nghttp2_submit_window_update(h2_, NGHTTP2_FLAG_NONE, stream.id,
                                 static_cast<std::int32_t>(room - used));
}

// The job's answer is there.
void Http2Session::done(Stream& stream, RpcJob& job) {
  if (!job.status.ok()) return cut(stream, std::move(job.status));  // not even its error could be
  job.is_done = true;
  held_ += job.answer_size - job.held;
  job.held = job.answer_size;
  admit_waiting();
  strikes_ = std::max(0, strikes_ - 2);
  if (stream.flow->jobs.front().get() != &job) return;
  stream.limit = std::chrono::steady_clock::now() + edge_.options.body_time;
  nghttp2_session_resume_data(h2_, stream.id);
}

// A frame of the first answer is out.
void Http2Session::sent_answer(Stream& stream) {
  Flow& flow = *stream.flow;
  flow.is_framed = false;
  if (stream.sent < flow.jobs.front()->answer_size) return;
  stream.sent = 0;
  forget_job(*flow.jobs.front());
  flow.jobs.pop_front();
  if (flow.jobs.empty() || !flow.jobs.front()->is_done) stream.limit = Instant::max();
  admit_waiting();
}

// Takes nothing more; the status goes out behind the answers.
void Http2Session::end(Stream& stream, RpcStatus status) {
  stream.is_answered = true;
  stream.flow->status = std::move(status);
  stream.flow->bytes = {};
  stream.flow->taken = 0;
  held_ -= stream.held;
  stream.held = 0;
  stream.inbox = {};
  nghttp2_session_resume_data(h2_, stream.id);
}

// The same, without answers but for one of which a part is out.
void Http2Session::cut(Stream& stream, RpcStatus status) {
  Flow& flow = *stream.flow;
  const std::size_t kept = flow.is_framed || stream.sent > 0 ? 1 : 0;
  while (flow.jobs.size() > kept) {
    forget_job(*flow.jobs.back());
    flow.jobs.pop_back();
  }
  end(stream, std::move(status));
}

void Http2Session::look_at_flow(Stream& stream, Timestamp time) {
  Flow& flow = *stream.flow;
  if (time > stream.job->call.deadline) {
    stream.job->call.deadline = Timestamp::max();
    return cut(stream,
               {RpcCode::deadline_exceeded, "the deadline passed before the call was done"});
  }
  for (auto& job : flow.jobs)
    if (!job->is_done && time > job->call.deadline) answer_late(stream, job);
  if (stream.is_answered) return;
  if (time > flow.limit)
    end(stream, {RpcCode::deadline_exceeded, "a message that had begun did not come whole"});
  else if (is_told_)
    end(stream, {RpcCode::unavailable, "the server stops; open the stream again"});
}

// A worker is still at it, and has its messages: another takes its turn.
void Http2Session::answer_late(Stream& stream, std::shared_ptr<RpcJob>& job) {
  const auto late = std::make_shared<RpcJob>();
  late->method = job->method;
  late->path = job->path;
  late->call = job->call;
  late->status = {RpcCode::deadline_exceeded, "the deadline passed before the call was done"};
  forget_job(*job);
  job = late;
  rpcs_.answer(*late);
  done(stream, *late);
}

}  // namespace penstock::net
