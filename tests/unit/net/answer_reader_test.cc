// Reading answers: however the bytes were cut, the same comes out.
#include "net/answer_reader.h"

#include <gtest/gtest.h>

#include <random>

namespace penstock::net {
namespace {

struct Read {
  AnswerReader::Step end = AnswerReader::Step::more;
  int heads = 0, status = 0;
  http::Fields headers;
  std::string body, left;
  bool keep_alive = false;
  bool operator==(const Read&) const = default;
};

// Reads `text` in parts that end at `cuts`, then the end of the connection where there is more.
Read read(const std::string& text, const std::vector<std::size_t>& cuts, bool bodiless = false,
          AnswerReader::Limits limits = {}) {
  AnswerReader reader;
  reader.begin(bodiless, limits);
  Read out;
  std::size_t from = 0;
  for (std::size_t part = 0; part <= cuts.size(); ++part) {
    const std::size_t to = part < cuts.size() ? cuts[part] : text.size();
    const std::string copy = text.substr(from, to - from);  // so that no view outlives its part
    from = to;
    std::string_view bytes = copy;
    if (out.end != AnswerReader::Step::more) {
      out.left += bytes;
      continue;
    }
    for (bool goes_on = true; goes_on;) {
      const auto step = reader.next(bytes);
      goes_on = step == AnswerReader::Step::head || step == AnswerReader::Step::body;
      if (step == AnswerReader::Step::head) {
        ++out.heads;
        out.status = reader.status();
        out.headers = reader.headers();
      }
      if (step == AnswerReader::Step::body) out.body += reader.piece();
      out.end = step;
    }
    if (out.end == AnswerReader::Step::done) out.left = bytes;
    EXPECT_TRUE(bytes.empty() || out.end != AnswerReader::Step::more);
  }
  if (out.end == AnswerReader::Step::more) out.end = reader.end();
  if (out.end != AnswerReader::Step::done) {
    EXPECT_FALSE(reader.problem().empty()) << text;
    return {.end = out.end};  // how much came before is a matter of the cuts
  }
  out.keep_alive = reader.keep_alive();
  return out;
}

// Every cut in two, every byte alone, and many at random.
void expect_same_however_cut(const std::string& text, bool bodiless = false,
                             AnswerReader::Limits limits = {}) {
  const Read whole = read(text, {}, bodiless, limits);
  for (std::size_t at = 0; at <= text.size(); ++at)
    ASSERT_EQ(read(text, {at}, bodiless, limits), whole) << text << " cut at " << at;
  std::vector<std::size_t> all(text.size());
  for (std::size_t at = 0; at < all.size(); ++at) all[at] = at;
  ASSERT_EQ(read(text, all, bodiless, limits), whole) << text;
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::size_t> cuts;
    for (std::size_t at = 0; at < text.size(); at += 1 + random() % 40) cuts.push_back(at);
    ASSERT_EQ(read(text, cuts, bodiless, limits), whole) << text;
  }
}

const std::string head = "HTTP/1.1 200 OK\r\n";

TEST(AnswerReaderTest, ReadsEveryFramingHoweverItIsCut) {
  struct Case {
    std::string text, body;
    bool keep_alive = true, bodiless = false;
    int status = 200;
    std::string left;
  };
  const Case cases[] = {
      {head + "Content-Length: 5\r\n\r\nhello", "hello"},
      {head + "Content-Length: 5\r\n\r\nhellomore", "hello", true, false, 200, "more"},
      {head + "content-LENGTH:5\r\nContent-Length:  5 \r\n\r\nhello", "hello"},
      {head + "Content-Length: 0\r\n\r\n", ""},
      {head + "Content-Length: 5\r\nConnection: Close\r\n\r\nhello", "hello", false},
      {head + "Connection: x, close\r\nContent-Length: 2\r\n\r\nok", "ok", false},
      {head + "\r\nuntil the end", "until the end", false},
      {head + "\r\n", "", false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false},
      {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "ok"},
      {head + "Content-Length: 99\r\n\r\n", "", true, true},
      {"HTTP/1.1 204 No Content\r\n\r\n", "", true, false, 204},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "", true, false, 304},
      {"HTTP/1.1 404\r\nContent-Length: 1\r\n\r\nx", "x", true, false, 404},
      {"HTTP/1.1 599 \r\nContent-Length: 1\r\n\r\nx", "x", true, false, 599},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n" + head +
           "Content-Length: 2\r\n\r\nok",
       "ok"},
      {head + "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
       "hello world"},
      {head + "Transfer-Encoding: chunked\r\n\r\n005;name=\"v\"\r\nhello\r\n0;x\r\nTrailer: "
              "1\r\n\r\nnext",
       "hello", true, false, 200, "next"},
      {head + "Transfer-Encoding: chunked\r\n\r\n1a \r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
       "abcdefghijklmnopqrstuvwxyz"},
      {head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
  };
  for (const Case& c : cases) {
    const Read got = read(c.text, {}, c.bodiless);
    EXPECT_EQ(got.end, AnswerReader::Step::done) << c.text;
    EXPECT_EQ(got.status, c.status) << c.text;
    EXPECT_EQ(got.body, c.body) << c.text;
    EXPECT_EQ(got.left, c.left) << c.text;
    EXPECT_EQ(got.keep_alive, c.keep_alive) << c.text;
    EXPECT_EQ(got.heads, 1) << c.text;
    expect_same_however_cut(c.text, c.bodiless);
  }
}

TEST(AnswerReaderTest, RefusesWhatIsNoAnswerHoweverItIsCut) {
  const std::string chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
  std::string interim;
  for (int i = 0; i < 17; ++i) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  const std::string cases[] = {
      "",
      "SSH-2.0-OpenSSH_9.2\r\n",
      "HTTP/2 200 OK\r\n\r\n",
      "HTTP/1.2 200 OK\r\n\r\n",
      "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\n\r\n",
      "HTTP/1.1 700 OK\r\n\r\n",
      "HTTP/1.1 -20 OK\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\n\r\n",
      interim + head + "Content-Length: 0\r\n\r\n",
      head + "no colon\r\n\r\n",
      head + ": no name\r\n\r\n",
      head + "a b: x\r\n\r\n",
      head + "a : x\r\n\r\n",
      head + "a: x\r\n folded\r\n\r\n",
      head + "a: x\ny\r\n\r\n",
      head + "a: x\ry\r\n\r\n",
      head + std::string("a: x\0y\r\n\r\n", 10),
      "HTTP/1.1 200 OK\n\n",
      head + "Content-Length: five\r\n\r\nhello",
      head + "Content-Length: -5\r\n\r\nhello",
      head + "Content-Length: +5\r\n\r\nhello",
      head + "Content-Length: 0x5\r\n\r\nhello",
      head + "Content-Length:\r\n\r\nhello",
      head + "Content-Length: 99999999999999999999999999\r\n\r\nhello",
      head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
      head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      head + "Transfer-Encoding: identity\r\n\r\nhello",
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      head + "Content-Length: 6\r\n\r\nhello",
      chunked + "5\r\nhel",
      chunked + "5\r\nhello\r\n",
      chunked + "5\r\nhello!\r\n0\r\n\r\n",
      chunked + "5\r\nhello\n0\r\n\r\n",
      chunked + "5\nhello\r\n0\r\n\r\n",
      chunked + "\r\nhello",
      chunked + "g\r\n",
      chunked + "-1\r\n",
      chunked + "fffffffffffffffff\r\n",
      chunked + "ffffffffffffffff\r\nhello",
      chunked + "1;" + std::string(5'000, 'x') + "\r\na\r\n0\r\n\r\n",
      chunked + "0\r\nTrailer: never ends",
      chunked + "0\r\nx\n\r\n",
  };
  for (const std::string& text : cases) {
    EXPECT_NE(read(text, {}).end, AnswerReader::Step::done) << text;
    if (text.size() < 1'000) expect_same_however_cut(text);
  }
}

TEST(AnswerReaderTest, HoldsItsLimits) {
  constexpr auto done = AnswerReader::Step::done, broken = AnswerReader::Step::broken,
                 too_large = AnswerReader::Step::too_large;
  const AnswerReader::Limits limits{.head_max = 100, .body_max = 10};
  const auto end_of = [&](const std::string& text) {
    expect_same_however_cut(text, false, limits);
    return read(text, {}, false, limits).end;
  };
  const auto padded = [](std::size_t size) {
    std::string text = head + "Content-Length: 0\r\na: ";
    return text + std::string(size - text.size() - 4, 'x') + "\r\n\r\n";
  };
  EXPECT_EQ(end_of(padded(100)), done);
  EXPECT_EQ(end_of(padded(101)), too_large);
  EXPECT_EQ(end_of(head + std::string(200, 'x')), too_large);
  EXPECT_EQ(end_of(head + "Content-Length: 10\r\n\r\n0123456789"), done);
  EXPECT_EQ(end_of(head + "Content-Length: 11\r\n\r\n01234567890"), too_large);
  EXPECT_EQ(end_of(head + "\r\n0123456789"), done);
  EXPECT_EQ(end_of(head + "\r\n01234567890"), too_large);
  const std::string chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(end_of(chunked + "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"), done);
  EXPECT_EQ(end_of(chunked + "5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n"), too_large);
  std::string trailers = chunked + "0\r\n";
  for (int i = 0; i < 30; ++i) trailers += "a: b\r\n";
  EXPECT_EQ(end_of(trailers + "\r\n"), broken);
  std::string fields = head;
  for (int i = 0; i < 600; ++i) fields += "a: b\r\n";
  EXPECT_EQ(read(fields + "\r\n", {}).end, too_large);
}

// Whatever comes, it ends, and it ends the same way however it was cut.
TEST(AnswerReaderTest, SurvivesMutatedAnswers) {
  const std::string seeds[] = {
      head + "Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
      head + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: 1\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nrest"};
  std::mt19937 random(42);
  const std::string letters("\r\n\0 :;,09afz\x80\xff", 15);
  for (int round = 0; round < 3'000; ++round) {
    std::string text = seeds[random() % 3];
    for (unsigned changes = 1 + random() % 4; changes > 0; --changes) {
      const std::size_t at = random() % text.size();
      const char letter = letters[random() % letters.size()];
      if (random() % 3 == 0)
        text.erase(at, 1 + random() % 5);
      else if (random() % 2 == 0)
        text.insert(at, 1, letter);
      else
        text[at] = letter;
      if (text.empty()) text = "H";
    }
    const Read whole = read(text, {});
    std::vector<std::size_t> cuts;
    for (std::size_t at = 0; at < text.size(); at += 1 + random() % 9) cuts.push_back(at);
    ASSERT_EQ(read(text, cuts), whole) << text;
  }
}

}  // namespace
}  // namespace penstock::net
