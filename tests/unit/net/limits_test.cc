// What a server does with what is too much, too slow or no HTTP.
#include <chrono>
#include <random>

#include "net/gzip.h"
#include "tests/unit/net/world.h"

namespace penstock::net {
namespace {

using std::chrono::milliseconds;
using test::Raw;
using test::RawAnswer;

TEST_F(ServerTest, EndsRequestsThatComeTooSlowly) {
  start({.header_time = milliseconds(300), .body_time = milliseconds(300)});
  struct Case {
    std::string sent, path;
  };
  const Case cases[] = {
      {"GET /things/a HTTP/1.1\r\nHost", ""},
      {"G", ""},
      {"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n12345", ""},
      {"POST /v2/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "/v2"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.sent);
    Raw raw(server_->address());
    raw.send(c.sent);
    RawAnswer answer = raw.answer();
    EXPECT_EQ(answer.status, 408);
    EXPECT_EQ(answer.headers["connection"], "close");
    EXPECT_EQ(json::parse(answer.body).as_object().contains("error"), c.path == "/v2");
    EXPECT_EQ(raw.rest(), "");
  }
  expect_alive();
}

TEST_F(ServerTest, EndsIdleConnectionsWithoutAWord) {
  start({.idle_time = milliseconds(500)});
  Raw fresh(server_->address()), used(server_->address());
  used.send(get("/things/a"));
  EXPECT_EQ(used.answer().status, 200);
  EXPECT_EQ(fresh.rest(), "");
  EXPECT_EQ(used.rest(), "");
}

TEST_F(ServerTest, DoesNotWaitForACallerWhoTakesNoAnswer) {
  start({.body_time = milliseconds(300)});
  Raw greedy(server_->address());
  greedy.send(get("/zeros?size=60000000"));                // more than the sockets' buffers
  EXPECT_TRUE(greedy.some().starts_with("HTTP/1.1 200"));  // and nobody reads further
  while (metrics_.expose().find("penstock_http_connections 0") == std::string::npos)
    std::this_thread::sleep_for(milliseconds(5));
  expect_alive();
}

TEST_F(ServerTest, RefusesBodiesThatAreTooLarge) {
  start({.body_max = 100'000});
  const std::string fits(100'000, 'x'), large(100'001, 'x');
  EXPECT_EQ(ask(post("/echo", fits)).body, fits);
  const std::string chunked_head =
      "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(ask(chunked_head + "186A0\r\n" + fits + "\r\n0\r\n\r\n").body, fits);
  struct Case {
    std::string what, request;
  };
  const Case cases[] = {
      {"by its length", post("/echo", large)},
      {"said only", "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\n\r\n"},
      {"in one chunk", chunked_head + "186A1\r\n" + large + "\r\n0\r\n\r\n"},
      {"in two chunks", chunked_head + "186A0\r\n" + fits + "\r\n1\r\nx\r\n0\r\n\r\n"},
      {"when unpacked", post("/echo", gzipped(large), "Content-Encoding: gzip\r\n")},
      {"on the loop", post("/echo/loop", gzipped(large), "Content-Encoding: gzip\r\n")},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const RawAnswer answer = ask(c.request);
    EXPECT_EQ(answer.status, 413);
    EXPECT_EQ(json::parse(answer.body).at("status"), 413);
  }
  EXPECT_TRUE(json::parse(ask(post("/v2/echo", large)).body).as_object().contains("error"));
  expect_alive();
}

TEST_F(ServerTest, RefusesHeadersThatAreTooLarge) {
  start({.header_max = 4'096});
  const RawAnswer large = ask(get("/things/a", "X-Large: " + std::string(5'000, 'x') + "\r\n"));
  EXPECT_EQ(large.status, 431);
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  EXPECT_EQ(ask(get("/things/a", many)).status, 431);
  EXPECT_EQ(ask(get("/things/" + std::string(10'000, 'x'))).status, 431);
  EXPECT_EQ(ask(get("/things/a", "X-Fits: " + std::string(3'000, 'x') + "\r\n")).status, 200);
}

TEST_F(ServerTest, RefusesWhatIsNoHttp) {
  start();
  const std::string host = "Host: t\r\n";
  const std::string chunked =
      "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string cases[] = {
      "hello\r\n\r\n",
      "GET /things/a\r\n\r\n",
      "GET /things/a HTTP/9.9\r\n" + host + "\r\n",
      "GET  /things/a HTTP/1.1\r\n" + host + "\r\n",
      "GET /things/\x01 HTTP/1.1\r\n" + host + "\r\n",
      "GET /things/a HTTP/1.1\r\n\r\n",
      "GET /things/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
      "GET /things/a HTTP/1.1\r\n" + host + "No colon\r\n\r\n",
      "GET /things/a HTTP/1.1\r\n" + host + "Bad name: x\r\n\r\n",
      "GET /things/a HTTP/1.1\r\n" + host + "X: a\x01\r\n\r\n",
      "GET /things/a?x=%zz HTTP/1.1\r\n" + host + "\r\n",
      "POST /echo HTTP/1.1\r\n" + host + "Content-Length: ten\r\n\r\n",
      "POST /echo HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n",
      "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      // Two lengths: what one reader takes for the body is a second request to another.
      "POST /echo HTTP/1.1\r\n" + host +
          "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      chunked + "zz\r\nab\r\n0\r\n\r\n",
      chunked + "2\r\nabc\r\n0\r\n\r\n",
      chunked + "FFFFFFFFFFFFFFFFF\r\n",
      "\x16\x03\x01\x02\x01\x01\xfc\x03\x03 a TLS greeting\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  };
  for (const std::string& bytes : cases) {
    SCOPED_TRACE(bytes);
    Raw raw(server_->address());
    raw.send(bytes);
    const RawAnswer answer = raw.answer();
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(json::parse(answer.body).at("title"), "invalid_argument");
  }
  expect_alive();
}

TEST_F(ServerTest, SaysGoOnBeforeABodyThatWaitsForIt) {
  start();
  Raw raw(server_->address());
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n";
  raw.send(head + "\r\n");
  EXPECT_EQ(raw.answer().head, "HTTP/1.1 100 Continue");
  raw.send("body");
  EXPECT_EQ(raw.answer().body, "body");
  Raw refused(server_->address());
  refused.send(head + "X-Actor: nobody\r\n\r\n");
  EXPECT_EQ(refused.answer().status, 401) << "and the body is not asked for";
  EXPECT_EQ(refused.rest(), "");
}

TEST_F(ServerTest, RefusesBeforeItReadsALongBody) {
  start();
  Raw raw(server_->address());
  raw.send("POST /echo HTTP/1.1\r\nHost: t\r\nX-Actor: nobody\r\nContent-Length: 50000000\r\n\r\n");
  EXPECT_EQ(raw.answer().status, 401);
  Raw small(server_->address());
  small.send(post("/echo", "small", "X-Actor: nobody\r\n") + get("/things/a"));
  EXPECT_EQ(small.answer().status, 401);
  EXPECT_EQ(small.answer().status, 200) << "a small body is skipped and the connection kept";
}

TEST_F(ServerTest, TakesNoMoreConnectionsThanItMay) {
  start({.connections_max = 2});
  Raw first(server_->address()), second(server_->address());
  for (Raw* raw : {&first, &second}) {
    raw->send(get("/things/a"));
    EXPECT_EQ(raw->answer().status, 200);
  }
  Raw third(server_->address());
  third.send(get("/things/a"));
  EXPECT_EQ(third.answer().status, 0);
  first.send(get("/things/a"));
  EXPECT_EQ(first.answer().status, 200);
}

// Changes valid requests at random for two seconds; whatever comes back must be HTTP, and the
// server must live.
TEST_F(ServerTest, SurvivesRandomBytes) {
  start({.io_threads = 2, .header_max = 8'192, .body_max = 10'000});
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  const std::string valid[] = {
      get("/things/a?x=%20&y=1", "Accept-Encoding: gzip\r\n"),
      post("/echo", "some body", "X-Request-Timeout: 2s\r\n"),
      post("/echo/loop", gzipped("some body"), "Content-Encoding: gzip\r\n"),
      "POST /v2/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n"
      "0\r\nX-Trailer: 1\r\n\r\n",
      "HEAD /zeros?size=2000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      get("/breaks/loop") + get("/nothing") + post("/things/a", ""),
  };
  const std::string tokens[] = {"\r\n",
                                "\r\n\r\n",
                                "\0",
                                "Content-Length: 5\r\n",
                                "%",
                                "\xff",
                                "Transfer-Encoding: chunked\r\n",
                                "HTTP/1.1",
                                ":",
                                "99999999999"};
  std::size_t sent = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::chrono::steady_clock::now() < end && !HasFailure()) {
    std::string bytes = valid[below(std::size(valid))] + valid[below(std::size(valid))];
    for (std::size_t changes = below(6); changes-- > 0 && !bytes.empty();) {
      const std::size_t place = below(bytes.size());
      switch (below(4)) {
        case 0: bytes[place] = static_cast<char>(random()); break;
        case 1: bytes.erase(place, below(20)); break;
        case 2: bytes.insert(place, tokens[below(std::size(tokens))]); break;
        default: bytes.insert(place, bytes.substr(below(bytes.size()), below(40))); break;
      }
    }
    Raw raw(server_->address());
    raw.send(bytes);
    raw.end();
    const std::string answers = raw.rest();
    EXPECT_TRUE(answers.empty() || answers.starts_with("HTTP/1.")) << answers;
    ++sent;
  }
  EXPECT_GT(sent, 0u);
  RecordProperty("requests", static_cast<int>(sent));
  expect_alive();
}

}  // namespace
}  // namespace penstock::net
