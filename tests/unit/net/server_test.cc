#include <latch>
#include <set>

#include "net/gzip.h"
#include "tests/unit/net/world.h"

namespace penstock::net {
namespace {

using test::Raw;
using test::RawAnswer;

TEST_F(ServerTest, AnswersManyRequestsOnOneConnection) {
  start();
  Raw raw(server_->address());
  for (int i = 0; i < 100; ++i) {
    raw.send(get("/things/" + std::to_string(i) + (i % 2 ? "/loop" : "")));
    const RawAnswer answer = raw.answer();
    ASSERT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, std::to_string(i) + " of user:ana");
    EXPECT_EQ(answer.headers.count("connection"), 0u);
  }
}

TEST_F(ServerTest, AnswersFiftyPipelinedRequestsInOrder) {
  for (const int io_threads : {1, 2}) {
    start({.io_threads = io_threads});
    std::string all;
    for (int i = 0; i < 50; ++i)
      all += i % 5 == 4 ? post("/echo", std::to_string(i))
                        : get("/things/" + std::to_string(i) + (i % 3 ? "/loop" : ""));
    Raw raw(server_->address());
    raw.send(all);
    for (int i = 0; i < 50; ++i) {
      const RawAnswer answer = raw.answer();
      ASSERT_EQ(answer.status, 200) << i;
      EXPECT_EQ(answer.body, std::to_string(i) + (i % 5 == 4 ? "" : " of user:ana"));
    }
    raw.end();
    EXPECT_EQ(raw.rest(), "");
  }
}

TEST_F(ServerTest, AnswersARequestThatComesByteByByte) {
  start();
  Raw raw(server_->address());
  const std::string bytes = post("/echo", "body") + get("/things/a");
  for (const char byte : bytes) ASSERT_TRUE(raw.send({byte}));
  EXPECT_EQ(raw.answer().body, "body");
  EXPECT_EQ(raw.answer().body, "a of user:ana");
}

TEST_F(ServerTest, KeepsOrEndsTheConnectionAsAsked) {
  start();
  struct Case {
    std::string request, connection;
    bool ends;
  };
  const Case cases[] = {
      {get("/things/a"), "", false},
      {get("/things/a", "Connection: close\r\n"), "close", true},
      {"GET /things/a HTTP/1.0\r\n\r\n", "close", true},
      {"GET /things/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive", false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.request);
    Raw raw(server_->address());
    raw.send(c.request);
    RawAnswer answer = raw.answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers["connection"], c.connection);
    if (c.ends) {
      EXPECT_EQ(raw.rest(), "");
    } else {
      raw.send(get("/things/b"));
      EXPECT_EQ(raw.answer().body, "b of user:ana");
    }
  }
}

TEST_F(ServerTest, AnswersHeadWithTheLengthAndNoBody) {
  start();
  Raw raw(server_->address());
  raw.send("HEAD /zeros?size=100000 HTTP/1.1\r\nHost: t\r\n\r\n" + get("/things/a"));
  RawAnswer answer = raw.answer(true);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers["content-length"], "100000");
  EXPECT_EQ(raw.answer().body, "a of user:ana") << "what follows is the next answer";
}

TEST_F(ServerTest, SendsLongAnswersWhole) {
  start();
  Raw raw(server_->address());
  for (const std::size_t size : {1u, 16'384u, 16'385u, 65'536u, 10'000'000u})
    for (const char* path : {"/zeros", "/zeros/loop"}) {
      raw.send(get(path + ("?size=" + std::to_string(size))));
      const RawAnswer answer = raw.answer();
      EXPECT_EQ(answer.status, 200);
      EXPECT_TRUE(answer.body == std::string(size, '0')) << size;
    }
}

TEST_F(ServerTest, SaysWhatIsNotThereAndWhatIsNotAllowed) {
  start();
  const RawAnswer missing = ask(get("/nothing"));
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(json::parse(missing.body).at("title"), "not_found");
  RawAnswer refused = ask(post("/things/a", ""));
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.headers["allow"], "GET, HEAD");
  EXPECT_EQ(refused.headers["content-type"], "application/problem+json");
  EXPECT_EQ(json::parse(refused.body).at("status"), 405);
  EXPECT_EQ(ask(get("/v2/echo")).body,
            R"({"error":"GET is not allowed at /v2/echo; allowed are POST"})");
  RawAnswer unknown = ask(get("/things/a", "X-Actor: nobody\r\n"));
  EXPECT_EQ(unknown.status, 401);
  EXPECT_EQ(unknown.headers["www-authenticate"], "Bearer realm=\"penstock\"");
  EXPECT_EQ(ask(post("/v2/echo", "{}", "X-Actor: nobody\r\n")).body, R"({"error":"who are you?"})");
}

TEST_F(ServerTest, GivesEveryAnswerAnId) {
  start();
  RawAnswer own = ask(get("/call", "X-Request-Id: mine-1\r\ntraceparent: 00-ab-cd-01\r\n"));
  EXPECT_EQ(own.body, "mine-1 00-ab-cd-01");
  EXPECT_EQ(own.headers["x-request-id"], "mine-1");
  std::set<std::string> made;
  for (const std::string& request :
       {get("/call"), get("/nothing"), get("/breaks"), get("/call", "X-Request-Id: a b\r\n"),
        get("/call", "X-Request-Id: " + std::string(201, 'a') + "\r\n"),
        get("/call", "X-Actor: nobody\r\n")})
    made.insert(ask(request).headers["x-request-id"]);
  EXPECT_EQ(made.size(), 6u);
  for (const std::string& id : made) EXPECT_EQ(id.size(), 26u) << id;
}

TEST_F(ServerTest, GoesOnWhenAHandlerThrows) {
  start();
  Raw raw(server_->address());
  for (const char* path : {"/breaks", "/breaks/loop"}) {
    raw.send(get(path, "X-Request-Id: r7\r\n"));
    const RawAnswer answer = raw.answer();
    EXPECT_EQ(answer.status, 500);
    EXPECT_EQ(answer.body.find("as planned"), std::string::npos) << "that is for the log";
    EXPECT_NE(answer.body.find("r7"), std::string::npos);
  }
  raw.send(get("/v2/breaks") + get("/things/a"));
  EXPECT_TRUE(json::parse(raw.answer().body).as_object().contains("error"));
  EXPECT_EQ(raw.answer().status, 200);
}

TEST_F(ServerTest, ReadsAndWritesGzip) {
  start();
  const std::string text(100'000, 'x');
  for (const char* path : {"/echo", "/echo/loop"}) {
    SCOPED_TRACE(path);
    EXPECT_EQ(ask(post(path, gzipped(text), "Content-Encoding: gzip\r\n")).body, text);
    RawAnswer broken = ask(post(path, "no gzip", "Content-Encoding: gzip\r\n"));
    EXPECT_EQ(broken.status, 400);
    EXPECT_EQ(ask(post(path, text, "Content-Encoding: br\r\n")).status, 415);
  }
  RawAnswer packed = ask(post("/echo", text, "Accept-Encoding: br, gzip\r\n"));
  EXPECT_EQ(packed.headers["content-encoding"], "gzip");
  EXPECT_EQ(packed.headers["vary"], "Accept-Encoding");
  EXPECT_LT(packed.body.size(), 2'000u);
  EXPECT_EQ(test::must(inflated(packed.body, text.size())), text);
  RawAnswer small = ask(post("/echo", text.substr(0, 1'000), "Accept-Encoding: gzip\r\n"));
  EXPECT_EQ(small.headers.count("content-encoding"), 0u);
  EXPECT_EQ(small.body.size(), 1'000u);
  RawAnswer unwanted = ask(post("/echo", text, "Accept-Encoding: gzip;q=0\r\n"));
  EXPECT_EQ(unwanted.body, text);
}

TEST_F(ServerTest, RunsHandlersWhereTheirRouteSays) {
  start();
  Raw one(server_->address()), other(server_->address());
  const auto thread = [](Raw& raw, const char* path) {
    raw.send(get(path));
    return raw.answer().body;
  };
  const std::string loop = thread(one, "/thread/loop");
  EXPECT_EQ(thread(other, "/thread/loop"), loop);
  EXPECT_NE(thread(one, "/thread"), loop);
}

TEST_F(ServerTest, AnswersOthersWhileAHandlerWaits) {
  auto gate = std::make_shared<Gate>();
  start({}, {route_of("GET", "/waits", [gate](const Call&, const api::Request&) {
          gate->wait();
          return api::Response{.body = "waited"};
        })});
  Raw slow(server_->address());
  slow.send(get("/waits"));
  gate->entered.get_future().wait();
  EXPECT_EQ(ask(get("/things/a/loop")).status, 200);
  EXPECT_EQ(ask(get("/things/a")).status, 200);
  gate->opened.set_value();
  EXPECT_EQ(slow.answer().body, "waited");
}

TEST_F(ServerTest, SendsTheAnswersBeforeASlowOne) {
  auto gate = std::make_shared<Gate>();
  start({}, {route_of("GET", "/waits", [gate](const Call&, const api::Request&) {
          gate->wait();
          return api::Response{.body = "waited"};
        })});
  Raw raw(server_->address());
  raw.send(get("/things/a/loop") + get("/waits"));
  EXPECT_EQ(raw.answer().body, "a of user:ana");
  gate->opened.set_value();
  EXPECT_EQ(raw.answer().body, "waited");
}

TEST_F(ServerTest, RefusesWhatNoWorkerHasPlaceFor) {
  auto gate = std::make_shared<Gate>();
  start({.workers = 1, .queue_max = 1},
        {route_of("GET", "/waits", [gate](const Call&, const api::Request&) {
          gate->wait();
          return api::Response{.body = "waited"};
        })});
  Raw busy(server_->address());
  busy.send(get("/waits"));
  gate->entered.get_future().wait();
  // One of these takes the place in the queue, the others are told at once.
  std::latch refused(3);
  std::atomic<int> answered = 0;
  std::vector<std::jthread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      RawAnswer answer = ask(get("/things/a"));
      if (answer.status == 200) ++answered;
      if (answer.status == 503 && answer.headers["retry-after"] == "1") refused.count_down();
    });
  refused.wait();
  EXPECT_EQ(ask(get("/things/a/loop")).status, 200) << "the loop has no queue";
  gate->opened.set_value();
  EXPECT_EQ(busy.answer().body, "waited");
  callers.clear();
  EXPECT_EQ(answered, 1);
}

TEST_F(ServerTest, DoesNotBeginWhatNobodyWaitsForAnyMore) {
  auto gate = std::make_shared<Gate>();
  auto seen = std::make_shared<std::atomic<bool>>(false);
  start({.workers = 1}, {route_of("GET", "/waits",
                                  [gate](const Call&, const api::Request&) {
                                    gate->wait();
                                    return api::Response{};
                                  }),
                         route_of("GET", "/late", [seen](const Call&, const api::Request&) {
                           *seen = true;
                           return api::Response{};
                         })});
  Raw busy(server_->address()), late(server_->address());
  busy.send(get("/waits"));
  gate->entered.get_future().wait();
  late.send(get("/things/a/loop") + get("/late", "X-Request-Timeout: 2s\r\n"));
  late.answer();  // the loop has read both; the next answer of it shows that it took up the second
  EXPECT_EQ(ask(get("/things/a/loop")).status, 200);
  clock_.advance(std::chrono::seconds(3));
  gate->opened.set_value();
  EXPECT_EQ(late.answer().status, 504);
  EXPECT_FALSE(*seen);
  EXPECT_EQ(ask(get("/things/a", "X-Request-Timeout: soon\r\n")).status, 400);
}

TEST_F(ServerTest, RunsWhatComesAfterAnAnswerOnceItIsOut) {
  auto read = std::make_shared<Gate>();
  auto done = std::make_shared<std::promise<std::thread::id>>();
  const auto handle = [read, done](const Call&, const api::Request& request) {
    return api::Response{.body = std::string(std::stoul(*request.query_value("size")), 'a'),
                         .after = [read, done] {
                           read->open.wait();  // would hang the test if the answer waited for it
                           done->set_value(std::this_thread::get_id());
                         }};
  };
  for (const bool on_loop : {false, true})
    for (const char* size : {"1", "1000000"}) {
      SCOPED_TRACE(size);
      *read = Gate();
      *done = std::promise<std::thread::id>();
      start({.workers = 1}, {route_of("GET", "/after", handle, on_loop)});
      Raw raw(server_->address());
      raw.send(get(std::string("/after?size=") + size));
      EXPECT_EQ(raw.answer().body.size(), std::stoul(size));
      raw.send(get("/things/a/loop"));
      EXPECT_EQ(raw.answer().status, 200);
      read->opened.set_value();
      const auto where = done->get_future().get();
      EXPECT_NE(where, std::this_thread::get_id());
      server_->stop();
    }
}

TEST_F(ServerTest, CountsByRouteAndNotByWhatCallersWrite) {
  start();
  for (const char* name : {"a", "b", "c"}) ask(get(std::string("/things/") + name));
  ask(get("/nothing/1"));
  ask(get("/nothing/2"));
  ask("BREW /things/a HTTP/1.1\r\nHost: t\r\n\r\n");
  const std::string page = metrics_.expose();
  const auto has = [&](const std::string& line) {
    EXPECT_NE(page.find(line), std::string::npos) << line << "\n" << page;
  };
  has(R"(penstock_http_requests_total{method="GET",route="/things/{name}",status="2xx"} 3)");
  has(R"(penstock_http_requests_total{method="any",route="none",status="4xx"} 3)");
  has(R"(penstock_http_request_seconds_count{method="GET",route="/things/{name}"} 3)");
  has("penstock_http_connections ");
  EXPECT_EQ(page.find("nothing"), std::string::npos);
  EXPECT_EQ(page.find("BREW"), std::string::npos);
  EXPECT_EQ(page.find("/echo"), std::string::npos) << "nobody called it";
}

}  // namespace
}  // namespace penstock::net
