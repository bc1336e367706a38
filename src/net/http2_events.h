// The way between nghttp2 and a session.
#pragma once

#include <nghttp2/nghttp2.h>

#include "net/http2_session.h"

namespace penstock::net {

// Limits of one connection.
namespace http2 {
constexpr std::uint32_t streams_max = 256;
// What a caller may send before its message is given room; most messages are shorter.
constexpr std::int32_t stream_window = 256 << 10;
constexpr std::int32_t connection_window = 16 << 20;
// Padding of frames counts against the window of a stream.
constexpr std::size_t window_slack = 64 << 10;
// Messages at once, in the longest that one may be.
constexpr std::size_t held_messages = 4;
// Of a call with many: so many under way at once, and so many bytes of them but for a single one.
constexpr std::size_t flow_messages = 16, flow_bytes = 1 << 20;
// Frames that cost work and bring nothing: so many at once, and so many every tick.
constexpr int strikes_max = 1'000, strikes_forgiven = 100;
constexpr std::uint64_t resets_at_once = 1'000, resets_a_second = 100;
}  // namespace http2

// A server's end of a connection; the events of it go to `session`. None where there is no memory.
nghttp2_session* open_http2(Http2Session& session);
// Queues the answer: a message with its status behind it, or a status alone.
void submit_answer(nghttp2_session* h2, std::int32_t stream);
void submit_status(nghttp2_session* h2, std::int32_t stream, const RpcStatus& status);
// The same for a flow: its head at once, its messages as they are there.
void submit_flow(nghttp2_session* h2, std::int32_t stream);
void submit_http_status(nghttp2_session* h2, std::int32_t stream, const char* status);

}  // namespace penstock::net
