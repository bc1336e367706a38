#include "net/wire.h"
#include "api/openai/sse.h"
#include "net/answer_reader.h"
#include "net/gzip.h"
#include "net/names.h"
#include "tests/fuzz/fuzz.h"

namespace penstock::fuzz {
namespace {

using net::AnswerReader;

// What a reader makes of bytes that come `step` at a time.
std::string read_answer(std::string_view bytes, std::size_t step, bool& whole) {
  AnswerReader reader;
  reader.begin(false, {.head_max = 4 << 10, .body_max = 16 << 10});
  std::string out, held;
  whole = false;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    held.assign(bytes.substr(at, step));
    std::string_view rest = held;
    while (true) {
      const auto got = reader.next(rest);
      if (got == AnswerReader::Step::more) break;
      if (got == AnswerReader::Step::head) {
        out += std::to_string(reader.status()) + ";";
        continue;
      }
      if (got == AnswerReader::Step::body) {
        out += reader.piece();
        continue;
      }
      whole = got == AnswerReader::Step::done;
      return out + (whole ? "!" : "?");
    }
  }
  whole = reader.end() == AnswerReader::Step::done;
  return out + (whole ? "!" : "?");
}

bool eat_answer(std::string_view input) {
  bool whole = false, in_pieces = false;
  const std::string once = read_answer(input, input.size() + 1, whole);
  const std::string cut = read_answer(input, 1, in_pieces);
  hold(whole == in_pieces, "how bytes are cut changes whether an answer is whole");
  if (whole) hold(once == cut, "how bytes are cut changes an answer");
  return whole;
}

std::string read_events(std::string_view bytes, std::size_t step) {
  api::openai::EventReader reader(8 << 10);
  std::string out;
  const auto add = [&] {
    out += reader.event().has_data ? "D" : "-";
    out += reader.event().data + "|" + reader.event().others + ";";
  };
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    std::string_view rest = bytes.substr(at, step);
    while (true) {
      const auto got = reader.next(rest);
      if (got == api::openai::EventReader::Got::too_long) return out + "long";
      if (got == api::openai::EventReader::Got::more) break;
      add();
    }
  }
  if (reader.finish()) add();
  return out;
}

bool eat_events(std::string_view input) {
  const std::string once = read_events(input, input.size() + 1);
  hold(once == read_events(input, 1), "how bytes are cut changes an event");
  return once.find('D') != once.npos;
}

bool eat_target(std::string_view input) {
  const std::string target(input);
  api::Request request;
  return bool(net::read_target(target, request));
}

bool eat_gzip(std::string_view input) {
  constexpr std::size_t most = 100'000;
  const auto got = net::inflated(input, most);
  if (got) hold(got->size() <= most, "more came out than was allowed");
  return bool(got);
}

}  // namespace

std::vector<Target> wire_targets() {
  return {
      {"answer",
       {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5;a=b\r\n"
        "hello\r\n0\r\nX: y\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nto the end",
        "HTTP/1.1 204 No Content\r\n\r\n"},
       eat_answer},
      {"sse",
       {"data: {\"a\":1}\n\ndata: [DONE]\n\n",
        "\xef\xbb\xbf: hello\nevent: x\nid: 3\ndata: one\r\ndata: two\r\n\r\ndata: three\r\rdata: "
        "4"},
       eat_events},
      {"target",
       {"/api/v1/models?name=%41%20b&x=1+2", "http://example.com/v2/models/a/infer", "/"},
       eat_target},
      {"gzip",
       {net::gzipped("hello hello hello"), net::gzipped(std::string(50'000, 'a'))},
       eat_gzip},
  };
}

}  // namespace penstock::fuzz
