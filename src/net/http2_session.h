// One HTTP/2 connection with gRPC calls on it. nghttp2 knows frames, headers and flow control; this
// gives it bytes, and the calls that come out of it to the edge.
#pragma once

#include <chrono>
#include <deque>
#include <unordered_map>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "net/edge.h"
#include "net/rpc_edge.h"
#include "net/workers.h"

struct nghttp2_session;

namespace penstock::net {

// Lives on the thread of its loop. As with HTTP/1, the loop asks it now and then whether anything
// is late.
class Http2Session : public std::enable_shared_from_this<Http2Session> {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  Http2Session(Edge& edge, const RpcEdge& rpcs, Workers& workers, asio::ip::tcp::socket socket);
  ~Http2Session();
  // Until the connection is closed.
  asio::awaitable<void> run();

  void stop_if_late(Instant now);
  // Tells the caller to open no more, answers what is under way, then closes.
  void drain();
  // Ends it at once.
  void abort();

 private:
  friend struct Http2Events;  // what nghttp2 calls back: http2_events.cc

  // The messages of a call that has many. Each is a job; the answers go out in the jobs' order.
  struct Flow {
    std::string bytes;                         // that came
    std::size_t taken = 0;                     // of them
    std::deque<std::shared_ptr<RpcJob>> jobs;  // whose answers are not yet sent
    bool is_all = false;                       // the caller has said all
    bool is_framed = false;                    // a frame of the first answer is on its way
    RpcStatus status;                          // how the call ends, behind the answers
    Timestamp limit = Timestamp::max();        // when a message that has begun must be whole
  };

  struct Stream {
    std::int32_t id = 0;
    std::shared_ptr<RpcJob> job = std::make_shared<RpcJob>();
    std::string method, content_type;
    std::size_t head_size = 0;
    bool has_head = false;
    RpcInbox inbox;
    std::size_t held = 0;      // bytes of its messages that are counted
    bool is_admitted = false;  // may send all of its message
    bool is_answered = false;  // or refused
    bool has_answer = false;
    std::size_t sent = 0;            // of the answer
    Instant limit = Instant::max();  // when its caller must have taken more of the answer
    std::unique_ptr<Flow> flow;      // of a call with many messages
  };

  // http2_session.cc: the connection.
  bool read();
  void write();
  bool fill();
  void close();
  void fail();
  void strike();
  void look_at_streams(Instant now);

  // http2_calls.cc: its calls.
  void open(std::int32_t id);
  void take_field(Stream& stream, std::string_view name, std::string_view value);
  void take_head(Stream& stream);
  void take_data(Stream& stream, std::string_view bytes);
  void take_end(Stream& stream);
  void begin_ready();
  void begin(Stream& stream);
  void hand_over(const std::shared_ptr<RpcJob>& job, std::int32_t id);
  RpcStatus take_piece(Stream& stream, std::string_view bytes);
  void finished(const std::shared_ptr<RpcJob>& job, std::int32_t id);
  void answer(Stream& stream);
  void refuse(Stream& stream, RpcStatus status);
  void refuse_http(Stream& stream, const char* status);
  void admit(Stream& stream);
  void admit_waiting();
  void forget(Stream& stream);
  void forget_job(RpcJob& job);
  void post_after(std::function<void()>& after);
  Stream* find(std::int32_t id);

  // http2_flows.cc: calls with many messages.
  void open_flow(Stream& stream);
  void go_on();
  void go_on(Stream& stream);
  bool take_message(Stream& stream);
  bool has_room(const Flow& flow) const;
  void begin_message(Stream& stream);
  void give_window(Stream& stream);
  void done(Stream& stream, RpcJob& job);
  void sent_answer(Stream& stream);
  void end(Stream& stream, RpcStatus status);
  void cut(Stream& stream, RpcStatus status);
  void look_at_flow(Stream& stream, Timestamp time);
  void answer_late(Stream& stream, std::shared_ptr<RpcJob>& job);

  Edge& edge_;
  const RpcEdge& rpcs_;
  Workers& workers_;
  asio::ip::tcp::socket socket_;
  nghttp2_session* h2_ = nullptr;
  std::unordered_map<std::int32_t, Stream> streams_;
  std::vector<std::int32_t> ready_;   // whose request is whole
  std::vector<std::int32_t> flows_;   // whose call has many messages
  std::deque<std::int32_t> waiting_;  // for room for their messages
  std::size_t held_ = 0;              // bytes of messages of all streams
  std::size_t working_ = 0;           // calls on workers, also those that nobody waits for
  std::string out_;                   // frames that are not yet sent
  std::size_t sent_ = 0;              // of them
  std::vector<std::function<void()>> after_;
  bool is_writing_ = false;  // the socket takes no more just now
  bool is_closing_ = false, has_settings_ = false, is_pinged_ = false, is_told_ = false;
  int strikes_ = 0;
  Instant limit_ = Instant::max(), write_limit_ = Instant::max(), heard_,
          drain_at_ = Instant::max();
};

}  // namespace penstock::net
