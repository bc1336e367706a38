// One connection: reads requests one after the other and answers them in that order.
#pragma once

#include <array>
#include <chrono>
#include <optional>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "net/drive.h"

namespace penstock::net {

// Lives on the thread of its loop. It has no timer of its own: the loop asks it now and then
// whether it is late, which costs a request nothing.
class Session {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  Session(Edge& edge, Workers& workers, Forwards& forwards, asio::ip::tcp::socket socket);
  // Until the connection is closed.
  asio::awaitable<void> run();

  void stop_if_late(Instant now);
  // Lets an idle connection bring the request that is on its way, then ends it.
  void drain();
  // Ends it at once.
  void abort();
  // Its caller's socket, while another server is waited for: nobody else sees the caller go.
  int watched() const;
  // The caller is gone.
  void hang_up();

 private:
  enum class Phase { idle, header, body, work, write, closing };
  enum class Got { all, end, late, broken };

  asio::awaitable<bool> serve_one();
  asio::awaitable<Got> read_head();
  asio::awaitable<Got> read_body();
  asio::awaitable<Got> read_some(std::size_t most);
  asio::awaitable<bool> flush();
  asio::awaitable<void> close();
  asio::awaitable<bool> answer(Admission& admission, api::Request& request, Instant started);
  asio::awaitable<bool> put(const Admission& admission, api::Response& response, bool head_only);
  // Bodies and answers that are longer than memory: stream.cc.
  asio::awaitable<bool> receive(Admission& admission, api::Request& request, Instant started);
  asio::awaitable<api::Response> take_in(Admission& admission, api::Request& request,
                                         std::unique_ptr<api::Intake> intake);
  asio::awaitable<Got> read_chunk(std::string& chunk);
  asio::awaitable<bool> send(const Admission& admission, api::Source& source);
  asio::awaitable<bool> write_chunk(std::string_view chunk);
  // Calls that another server answers: forward.cc.
  asio::awaitable<bool> forward(Admission& admission, api::Request& request, Instant started);
  asio::awaitable<bool> unpack(api::Request& request, api::Response& refused);
  asio::awaitable<bool> relay(Admission& admission, const api::Request& request);
  void frame(std::string bytes, bool chunked);
  void end_answered(api::Ending ending);
  asio::awaitable<bool> skip_body();
  bool give_up(Got got);
  bool worth_reading() const;
  void enter(Phase phase, Micros limit);

  Edge& edge_;
  Workers& workers_;
  Forwards& forwards_;
  asio::ip::tcp::socket socket_;
  boost::beast::flat_buffer in_;
  std::string out_;   // answers that are not yet sent
  std::string tail_;  // the long body of the last one
  std::vector<std::function<void()>> after_;
  std::shared_ptr<Drive> drive_;                  // while another server is asked
  std::vector<std::shared_ptr<Drive>> answered_;  // their answers are in out_
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  // Takes over from `parser_` where the body is a stream.
  std::optional<boost::beast::http::request_parser<boost::beast::http::buffer_body>> stream_;
  boost::system::error_code fault_;
  Phase phase_ = Phase::idle;
  Instant limit_ = Instant::max();
  bool late_ = false, keep_alive_ = true, http_1_0_ = false;
  int relayed_status_ = 0;  // of the last stream
  bool cut_ = false;        // by the server's stop
  bool long_body_ = false;  // refused, and the caller is still sending it
};

}  // namespace penstock::net
