// Reads an HTTP/1.x answer out of the bytes of a connection, however they were cut on their way.
#pragma once

#include <string>
#include <string_view>

#include "ports/http.h"

namespace penstock::net {

class AnswerReader {
 public:
  enum class Step { more, head, body, done, broken, too_large };
  struct Limits {
    std::size_t head_max = 64 << 10;  // of a head, of trailers
    std::size_t body_max = 64 << 20;
  };

  // For the next answer; `bodiless`: to HEAD.
  void begin(bool bodiless, const Limits& limits);
  // Reads on, and cuts what it has read off `bytes`. `head`: status() and headers() are there;
  // `body`: piece() is more of it, a view into `bytes`; `more`: all bytes are read. After `done`
  // nothing more is read: what is left in `bytes` is not of this answer.
  Step next(std::string_view& bytes);
  // The connection is at its end: `done` where the answer is as well.
  Step end();

  int status() const { return status_; }
  http::Fields& headers() { return headers_; }
  std::string_view piece() const { return piece_; }
  // Whether the connection may carry another request.
  bool keep_alive() const { return keep_alive_ && state_ == State::done; }
  // The length that the head promised; 0 where it did not.
  std::size_t promised() const { return state_ == State::counted ? left_ : 0; }
  // Why it is broken or too large.
  std::string_view problem() const { return problem_; }

 private:
  enum class State { head, counted, open, size, data, data_end, trailer, done, broken, too_large };

  Step fail(std::string_view problem);
  Step outgrown(std::string_view problem);
  Step take_head(std::string_view& bytes);
  Step read_head(std::string_view head);
  bool read_status(std::string_view line);
  bool read_field(std::string_view line);
  Step read_framing();
  Step take_body(std::string_view& bytes);
  Step take_size(std::string_view& bytes);
  Step take_trailer(std::string_view& bytes);
  bool take_line(std::string_view& bytes, std::size_t most);
  bool has_token(std::string_view field, std::string_view token) const;

  Limits limits_;
  State state_ = State::head;
  bool bodiless_ = false, keep_alive_ = false, http_1_0_ = false;
  int status_ = 0, interim_ = 0;
  std::size_t left_ = 0, body_ = 0, trailer_ = 0;
  std::string begun_;  // of a head that has not wholly come
  std::string line_;
  http::Fields headers_;
  std::string_view piece_, problem_;
};

}  // namespace penstock::net
