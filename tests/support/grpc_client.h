// A caller of gRPC on one connection that can also do what no well-behaved client does.
#pragma once

#include <nghttp2/nghttp2.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/raw.h"

namespace penstock::test {

class GrpcClient {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  struct Answer {
    int code = -1;  // grpc-status; -1: none came
    std::string text;
    std::string message;  // without its prefix
    std::map<std::string, std::string> headers;
    std::optional<unsigned> reset;  // how the stream was closed, where it was not by its end
  };

  // `window`: so many bytes may ever come, of one call and of all; none: as many as the other side
  // likes.
  explicit GrpcClient(const std::string& address, std::optional<int> window = {});
  ~GrpcClient();
  GrpcClient(const GrpcClient&) = delete;

  // Begins a call; a field of `fields` takes the place of the usual one of its name.
  int ask(const std::string& path, const std::string& message, const Fields& fields = {});
  // The same with any bytes in the place of one whole message; `is_all`: and then nothing more.
  int ask_raw(const std::string& path, const std::string& bytes, const Fields& fields = {},
              bool is_all = true);
  // Sends more of a call that was begun with `is_all` false.
  void send(int stream, const std::string& bytes, bool is_all = false);
  // The messages that came of it, once there are so many or no more come; they stay where they are.
  std::vector<std::string> messages(int stream, std::size_t count);
  // How much of what it was given is not yet sent.
  std::size_t unsent(int stream) const;
  // What came of it. Where the connection ends first, `code` stays -1.
  Answer answer(int stream);
  Answer call(const std::string& path, const std::string& message, const Fields& fields = {}) {
    return answer(ask(path, message, fields));
  }
  void reset(int stream, unsigned fault = NGHTTP2_CANCEL);
  bool ping();  // false where the other side is gone
  // Reads what comes next; false where the other side has ended the connection.
  bool take();
  void wait_for_end() {
    while (take()) {
    }
  }
  std::optional<unsigned> goaway() const { return goaway_; }

  static std::string framed(const std::string& message, char packed = 0);

 private:
  struct Body {
    std::string bytes;
    std::size_t sent = 0;
    bool is_all = true;
  };
  struct Hooks;
  bool flush();

  Raw raw_;
  nghttp2_session* h2_ = nullptr;
  std::map<int, Body> bodies_;
  std::map<int, Answer> answers_;
  std::map<int, bool> closed_;
  std::optional<unsigned> goaway_;
};

}  // namespace penstock::test
