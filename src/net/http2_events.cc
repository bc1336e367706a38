#include "net/http2_events.h"

#include <array>

#include "base/log.h"

namespace penstock::net {
namespace {

// Names and values that stay as long as the program are not copied.
nghttp2_nv fixed(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

nghttp2_nv copied(std::string_view name, std::string_view value) {
  nghttp2_nv field = fixed(name, value);
  field.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
  return field;
}

std::string_view view(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Nothing may be thrown through a library that is written in C.
template <class Work>
int guarded(Work work) {
  try {
    return work();
  } catch (const std::exception& fault) {
    log::error("connection_broke", {{"error", fault.what()}});
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
}

}  // namespace

struct Http2Events {
  using Stream = Http2Session::Stream;

  static Http2Session& session_of(void* user) { return *static_cast<Http2Session*>(user); }

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    return guarded([&] {
      session_of(user).open(frame->hd.stream_id);
      return 0;
    });
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                       std::uint8_t, void* user) {
    return guarded([&] {
      Stream* const stream = session_of(user).find(frame->hd.stream_id);
      // What comes behind the message says nothing to us.
      if (stream && !stream->has_head)
        session_of(user).take_field(*stream, view(name, name_size), view(value, value_size));
      return 0;
    });
  }

  // nghttp2 passes over frames of priority, which mean nothing here, without a word; but they cost.
  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    return guarded([&] {
      if (head->type == NGHTTP2_PRIORITY) session_of(user).strike();
      return 0;
    });
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    return guarded([&] {
      Http2Session& session = session_of(user);
      const std::uint8_t type = frame->hd.type;
      const bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
      if (type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        session.has_settings_ = true;
        session.strike();
      } else if (type == NGHTTP2_PING || type == NGHTTP2_RST_STREAM ||
                 (type == NGHTTP2_DATA && frame->hd.length == 0 && !is_end)) {
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) session.strike();
      }
      if (type != NGHTTP2_HEADERS && type != NGHTTP2_DATA) return 0;
      Stream* const stream = session.find(frame->hd.stream_id);
      if (!stream) return 0;
      if (!stream->has_head) session.take_head(*stream);
      if (is_end) session.take_end(*stream);
      return 0;
    });
  }

  static int on_data(nghttp2_session* h2, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                     std::size_t size, void* user) {
    return guarded([&] {
      nghttp2_session_consume_connection(h2, size);
      if (Stream* const stream = session_of(user).find(id))
        session_of(user).take_data(*stream, view(data, size));
      return 0;
    });
  }

  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
    return guarded([&] {
      if (Stream* const stream = session_of(user).find(id)) session_of(user).forget(*stream);
      return 0;
    });
  }

  // A caller that was answered before it had said all need not go on.
  static int on_sent(nghttp2_session* h2, const nghttp2_frame* frame, void*) {
    if (frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        nghttp2_session_get_stream_remote_close(h2, frame->hd.stream_id) == 0)
      nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
  }

  static ssize_t send(nghttp2_session*, const std::uint8_t* data, std::size_t size, int,
                      void* user) {
    Http2Session& session = session_of(user);
    if (session.out_.size() >= out_max) return NGHTTP2_ERR_WOULDBLOCK;
    return guarded([&] {
      session.out_.append(view(data, size));
      return static_cast<int>(size);
    });
  }

  // How much of an answer the next frame has; its bytes go out by send_data, without a copy.
  static ssize_t read_answer(nghttp2_session* h2, std::int32_t id, std::uint8_t*, std::size_t most,
                             std::uint32_t* flags, nghttp2_data_source*, void* user) {
    const Stream* const stream = session_of(user).find(id);
    if (!stream) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    const std::size_t rest = stream->job->answer_size - stream->sent;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (rest > most) return static_cast<ssize_t>(most);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const nghttp2_nv trailer = fixed("grpc-status", "0");
    nghttp2_submit_trailer(h2, id, &trailer, 1);
    return static_cast<ssize_t>(rest);
  }

  // Of the first answer, once it is there; then of the next.
  static ssize_t read_flow(nghttp2_session* h2, std::int32_t id, std::uint8_t*, std::size_t most,
                           std::uint32_t* flags, nghttp2_data_source*, void* user) {
    Stream* const stream = session_of(user).find(id);
    if (!stream || !stream->flow) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    Http2Session::Flow& flow = *stream->flow;
    if (!flow.jobs.empty() && flow.jobs.front()->is_done) {
      *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
      flow.is_framed = true;
      return static_cast<ssize_t>(std::min(flow.jobs.front()->answer_size - stream->sent, most));
    }
    stream->limit = Http2Session::Instant::max();
    if (!flow.jobs.empty() || !stream->is_answered) return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return guarded([&] {
      const std::string code = std::to_string(static_cast<int>(flow.status.code));
      const std::string message = rpc_message(flow.status.message);
      const std::array trailer = {copied("grpc-status", code), copied("grpc-message", message)};
      nghttp2_submit_trailer(h2, id, trailer.data(), flow.status.ok() ? 1 : 2);
      return 0;
    });
  }

  static int send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head,
                       std::size_t size, nghttp2_data_source*, void* user) {
    constexpr std::size_t head_size = 9;
    Http2Session& session = session_of(user);
    if (session.out_.size() >= out_max) return NGHTTP2_ERR_WOULDBLOCK;
    return guarded([&] {
      Stream* const stream = session.find(frame->hd.stream_id);
      if (!stream) return static_cast<int>(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE);
      const RpcJob& job = stream->flow ? *stream->flow->jobs.front() : *stream->job;
      session.out_.append(view(head, head_size));
      session.out_.append(job.answer.get() + stream->sent, size);
      stream->sent += size;
      stream->limit = std::chrono::steady_clock::now() + session.edge_.options.body_time;
      if (stream->flow) session.sent_answer(*stream);
      return 0;
    });
  }

  // Frames that leave together.
  static constexpr std::size_t out_max = 128 << 10;
};

namespace {

struct Deleter {
  void operator()(nghttp2_session_callbacks* callbacks) const {
    nghttp2_session_callbacks_del(callbacks);
  }
  void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
};

const nghttp2_session_callbacks* callbacks() {
  static const auto all = [] {
    nghttp2_session_callbacks* made = nullptr;
    if (nghttp2_session_callbacks_new(&made) != 0) throw std::bad_alloc();
    nghttp2_session_callbacks_set_on_begin_headers_callback(made, Http2Events::on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(made, Http2Events::on_header);
    nghttp2_session_callbacks_set_on_begin_frame_callback(made, Http2Events::on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, Http2Events::on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, Http2Events::on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, Http2Events::on_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(made, Http2Events::on_sent);
    nghttp2_session_callbacks_set_send_callback(made, Http2Events::send);
    nghttp2_session_callbacks_set_send_data_callback(made, Http2Events::send_data);
    return std::unique_ptr<nghttp2_session_callbacks, Deleter>(made);
  }();
  return all.get();
}

const nghttp2_option* options() {
  static const auto all = [] {
    nghttp2_option* made = nullptr;
    if (nghttp2_option_new(&made) != 0) throw std::bad_alloc();
    nghttp2_option_set_no_auto_window_update(made, 1);
    nghttp2_option_set_no_closed_streams(made, 1);
    nghttp2_option_set_stream_reset_rate_limit(made, http2::resets_at_once, http2::resets_a_second);
    return std::unique_ptr<nghttp2_option, Deleter>(made);
  }();
  return all.get();
}

const nghttp2_nv type_field = fixed("content-type", "application/grpc");

}  // namespace

nghttp2_session* open_http2(Http2Session& session) {
  nghttp2_session* h2 = nullptr;
  if (nghttp2_session_server_new2(&h2, callbacks(), &session, options()) != 0) return nullptr;
  return h2;
}

void submit_answer(nghttp2_session* h2, std::int32_t stream) {
  const std::array fields = {fixed(":status", "200"), type_field};
  nghttp2_data_provider provider{};
  provider.read_callback = Http2Events::read_answer;
  nghttp2_submit_response(h2, stream, fields.data(), fields.size(), &provider);
}

void submit_flow(nghttp2_session* h2, std::int32_t stream) {
  const std::array fields = {fixed(":status", "200"), type_field,
                             fixed("grpc-accept-encoding", "identity,deflate,gzip")};
  nghttp2_data_provider provider{};
  provider.read_callback = Http2Events::read_flow;
  nghttp2_submit_response(h2, stream, fields.data(), fields.size(), &provider);
}

void submit_status(nghttp2_session* h2, std::int32_t stream, const RpcStatus& status) {
  const std::string code = std::to_string(static_cast<int>(status.code));
  const std::string message = rpc_message(status.message);
  const std::array fields = {fixed(":status", "200"), type_field, copied("grpc-status", code),
                             copied("grpc-message", message),
                             fixed("grpc-accept-encoding", "identity,deflate,gzip")};
  // The last one says how to mend it, where that is what was wrong.
  const bool is_encoding = status.code == RpcCode::unimplemented;
  nghttp2_submit_response(h2, stream, fields.data(), fields.size() - (is_encoding ? 0 : 1),
                          nullptr);
}

void submit_http_status(nghttp2_session* h2, std::int32_t stream, const char* status) {
  const nghttp2_nv field = copied(":status", status);
  nghttp2_submit_response(h2, stream, &field, 1, nullptr);
}

}  // namespace penstock::net
