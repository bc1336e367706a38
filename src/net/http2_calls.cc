#include <algorithm>

#include "net/http2_events.h"

namespace penstock::net {

Http2Session::Stream* Http2Session::find(std::int32_t id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : &found->second;
}

void Http2Session::open(std::int32_t id) {
  Stream& stream = streams_[id];
  stream.id = id;
  // Until its head has said another.
  stream.job->call.deadline = edge_.clock.now() + edge_.options.header_time;
  stream.job->head.headers.reserve(8);
}

void Http2Session::take_field(Stream& stream, std::string_view name, std::string_view value) {
  constexpr std::size_t overhead = 32;  // as SETTINGS_MAX_HEADER_LIST_SIZE counts
  stream.head_size += name.size() + value.size() + overhead;
  if (stream.head_size > edge_.options.header_max) return;
  RpcJob& job = *stream.job;
  if (name == ":path")
    job.path = value;
  else if (name == ":method")
    stream.method = value;
  else if (name == "content-type")
    stream.content_type = value;
  else if (name == "grpc-encoding")
    job.encoding = value;
  else if (!name.starts_with(':') && name != "te" && name != "grpc-accept-encoding")
    job.head.headers.emplace_back(name, value);
}

void Http2Session::take_head(Stream& stream) {
  stream.has_head = true;
  if (stream.head_size > edge_.options.header_max)
    return refuse(stream, {RpcCode::resource_exhausted,
                           "the metadata are larger than " +
                               std::to_string(edge_.options.header_max) + " bytes"});
  if (stream.method != "POST") return refuse_http(stream, "405");
  const std::string_view type = stream.content_type;
  const bool is_grpc = type == "application/grpc" || type.starts_with("application/grpc+") ||
                       type.starts_with("application/grpc;");
  if (!is_grpc) return refuse_http(stream, "415");
  RpcStatus status = rpcs_.admit(*stream.job);
  if (!status.ok()) return refuse(stream, std::move(status));
  if (rpcs_.is_stream(*stream.job)) open_flow(stream);
}

void Http2Session::take_data(Stream& stream, std::string_view bytes) {
  if (stream.is_answered) return;
  if (stream.flow) {
    stream.flow->bytes.append(bytes);
    return;
  }
  if (RpcStatus status = take_piece(stream, bytes); !status.ok()) refuse(stream, std::move(status));
}

RpcStatus Http2Session::take_piece(Stream& stream, std::string_view bytes) {
  RpcStatus status = stream.inbox.take(bytes, edge_.options.body_max);
  const std::string& encoding = stream.job->encoding;
  if (status.ok() && stream.inbox.is_begun() && stream.inbox.is_packed() && encoding != "gzip" &&
      encoding != "deflate")
    status = {RpcCode::unimplemented,
              "grpc-encoding " + (encoding.empty() ? "identity" : encoding) +
                  " is no compression that is known here; send gzip, deflate or none"};
  if (status.ok() && stream.inbox.is_begun() && !stream.is_admitted) admit(stream);
  return status;
}

void Http2Session::take_end(Stream& stream) {
  if (stream.is_answered) return;
  if (stream.flow) {
    stream.flow->is_all = true;
    return;
  }
  if (!stream.inbox.is_whole())
    return refuse(stream, {RpcCode::unimplemented,
                           "the call ended within its message; a unary call has one"});
  ready_.push_back(stream.id);
}

// Lets a caller send a long message where there is room for it; else it waits for those before it.
// Many that have begun and none that may end would wait for ever, so room is for whole messages.
void Http2Session::admit(Stream& stream) {
  const std::size_t length = stream.inbox.length();
  const bool is_long = length + RpcInbox::prefix_size > http2::stream_window;
  const std::size_t most = http2::held_messages * edge_.options.body_max;
  if (is_long && held_ > 0 && held_ + length > most) {
    if (std::find(waiting_.begin(), waiting_.end(), stream.id) == waiting_.end())
      waiting_.push_back(stream.id);
    return;
  }
  stream.is_admitted = true;
  stream.held = length;
  held_ += length;
  stream.inbox.reserve();
  if (is_long && !stream.flow)
    nghttp2_session_set_local_window_size(h2_, NGHTTP2_FLAG_NONE, stream.id,
                                          static_cast<std::int32_t>(length + http2::window_slack));
}

void Http2Session::admit_waiting() {
  while (!waiting_.empty()) {
    Stream* const stream = find(waiting_.front());
    if (stream && !stream->is_answered) {
      admit(*stream);
      if (!stream->is_admitted) return;
    }
    waiting_.pop_front();
  }
}

void Http2Session::begin_ready() {
  for (const std::int32_t id : ready_)
    if (Stream* const stream = find(id); stream && !stream->is_answered) begin(*stream);
  ready_.clear();
}

void Http2Session::begin(Stream& stream) {
  const std::shared_ptr<RpcJob>& job = stream.job;
  job->is_packed = stream.inbox.is_packed();
  job->message = stream.inbox.give();
  if (rpcs_.is_short(*job)) {
    rpcs_.answer(*job);
    return answer(stream);
  }
  // A caller that resets its calls may not have more of them worked on than one that waits.
  const std::size_t most = http2::held_messages * edge_.options.body_max +
                           http2::streams_max * std::size_t{http2::stream_window};
  const bool has_room = working_ < http2::streams_max && held_ <= most;
  if (!has_room || !workers_.enter())
    return refuse(stream, {RpcCode::resource_exhausted,
                           "too many requests wait already; try again in a second"});
  hand_over(job, stream.id);
}

// To a worker, in whose queue it has a place.
void Http2Session::hand_over(const std::shared_ptr<RpcJob>& job, std::int32_t id) {
  ++working_;
  auto work = [job, id, here = weak_from_this(), executor = socket_.get_executor(), &rpcs = rpcs_,
               &workers = workers_]() mutable {
    workers.leave();
    if (!job->is_gone) rpcs.answer(*job);
    auto back = [job = std::move(job), id, here = std::move(here), &workers] {
      if (const auto self = here.lock()) return self->finished(job, id);
      if (job->work->after) workers.post(std::move(job->work->after));
    };
    asio::post(executor, std::move(back));
  };
  workers_.submit(std::move(work));
}

// A worker is done with it.
void Http2Session::finished(const std::shared_ptr<RpcJob>& job, std::int32_t id) {
  --working_;
  Stream* const stream = find(id);
  const bool is_awaited = stream && !job->is_gone && (stream->flow || !stream->is_answered);
  if (!is_awaited && job->work->after) post_after(job->work->after);
  if (is_awaited && stream->flow) done(*stream, *job);
  if (is_awaited && !stream->flow) answer(*stream);
  if (is_awaited || !flows_.empty()) write();  // messages may wait for a place among those at work
}

void Http2Session::answer(Stream& stream) {
  if (!stream.job->status.ok()) return refuse(stream, std::move(stream.job->status));
  stream.is_answered = stream.has_answer = true;
  stream.limit = std::chrono::steady_clock::now() + edge_.options.body_time;
  // The request's bytes are gone by now.
  held_ += stream.job->answer_size - stream.held;
  stream.held = stream.job->answer_size;
  admit_waiting();
  strikes_ = std::max(0, strikes_ - 2);  // callers measure the way with a ping now and then
  submit_answer(h2_, stream.id);
}

void Http2Session::refuse(Stream& stream, RpcStatus status) {
  stream.is_answered = true;
  stream.job->is_gone = true;
  stream.limit = std::chrono::steady_clock::now() + edge_.options.body_time;
  submit_status(h2_, stream.id, status);
}

void Http2Session::refuse_http(Stream& stream, const char* status) {
  stream.is_answered = true;
  stream.limit = std::chrono::steady_clock::now() + edge_.options.body_time;
  submit_http_status(h2_, stream.id, status);
}

// The stream is closed: by its end, its caller or us.
void Http2Session::forget(Stream& stream) {
  stream.job->is_gone = true;
  held_ -= stream.held;
  if (stream.has_answer && stream.job->work->after)
    after_.push_back(std::move(stream.job->work->after));
  if (stream.flow) {
    for (auto& job : stream.flow->jobs) forget_job(*job);
    std::erase(flows_, stream.id);
  }
  streams_.erase(stream.id);
  admit_waiting();
}

// Of a flow: nobody waits for its answer.
void Http2Session::forget_job(RpcJob& job) {
  job.is_gone = true;
  held_ -= job.held;
  job.held = 0;
  if (job.is_done && job.work->after) after_.push_back(std::move(job.work->after));
}

void Http2Session::post_after(std::function<void()>& after) {
  if (!workers_.post(std::move(after))) edge_.measures.after_dropped();
}

}  // namespace penstock::net
