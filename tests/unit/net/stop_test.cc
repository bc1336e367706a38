// How a server begins and ends.
#include "tests/unit/net/world.h"

#include "net/client.h"

namespace penstock::net {
namespace {

using test::Raw;
using test::RawAnswer;

TEST_F(ServerTest, NamesTheAddressThatIsTaken) {
  start();
  for (const int io_threads : {1, 2})
    for (const int theirs : {1, 2}) {
      Server first({.address = "127.0.0.1:0", .io_threads = theirs}, {}, authorize, metrics_,
                   clock_);
      test::must(first.start());
      Server second({.address = first.address(), .io_threads = io_threads}, {}, authorize, metrics_,
                    clock_);
      const auto started = second.start();
      ASSERT_FALSE(started);
      EXPECT_EQ(started.error().code, Code::unavailable);
      EXPECT_NE(started.error().message.find(first.address()), std::string::npos);
      EXPECT_NE(started.error().message.find("--http"), std::string::npos);
    }
  for (const char* bad : {"", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "host:80",
                          "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:1x"}) {
    Server server({.address = bad}, {}, authorize, metrics_, clock_);
    const auto started = server.start();
    ASSERT_FALSE(started) << bad;
    EXPECT_EQ(started.error().code, Code::invalid_argument);
  }
}

TEST_F(ServerTest, ListensWhereItIsTold) {
  for (const std::string host : {"localhost", "127.0.0.1", "[::1]"}) {
    Server server({.address = host + ":0"}, routes(), authorize, metrics_, clock_);
    const auto started = server.start();
    if (!started && host == "[::1]") continue;  // a machine without IPv6
    ASSERT_TRUE(started) << host;
    EXPECT_TRUE(server.address().starts_with(host == "localhost" ? "127.0.0.1:" : host + ":"));
    Client client({.url = "http://" + server.address()});
    EXPECT_EQ(test::must(client.send("GET", "/things/a")).status, 200);
  }
}

TEST_F(ServerTest, FinishesWhatIsUnderWayWhenItStops) {
  auto gate = std::make_shared<Gate>();
  start({}, {route_of("GET", "/waits", [gate](const Call&, const api::Request&) {
          gate->wait();
          return api::Response{.body = "waited"};
        })});
  Raw busy(server_->address()), half(server_->address()), idle(server_->address());
  busy.send(get("/waits"));
  gate->entered.get_future().wait();
  half.send("GET /things/a HTTP/1.1\r\nHo");
  idle.send(get("/things/a"));
  EXPECT_EQ(idle.answer().status, 200);
  const std::string address = server_->address();
  std::jthread stopping([&] { server_->stop(); });
  // Once an idle connection is ended the server no longer listens, and what began still goes on.
  EXPECT_EQ(idle.rest(), "");
  EXPECT_THROW(Raw{address}, std::runtime_error);
  half.send("st: t\r\n\r\n");
  RawAnswer answer = half.answer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers["connection"], "close");
  gate->opened.set_value();
  answer = busy.answer();
  EXPECT_EQ(answer.body, "waited");
  EXPECT_EQ(answer.headers["connection"], "close");
}

TEST_F(ServerTest, CutsOffWhatDoesNotEndInTime) {
  start({.drain_time = std::chrono::milliseconds(50)});
  Raw half(server_->address());
  half.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n123");
  half.send("4");
  ask(get("/things/a"));  // the loop has seen the half request by now
  server_->stop();
  EXPECT_EQ(half.answer().status, 0);
}

TEST_F(ServerTest, LosesNoRequestWhenItStopsUnderLoad) {
  for (int round = 0; round < 5; ++round) {
    auto handled = std::make_shared<std::atomic<int>>(0);
    const auto handle = [handled](const Call&, const api::Request&) {
      ++*handled;
      return api::Response{.body = "done"};
    };
    start({.io_threads = 1 + round % 2},
          {route_of("GET", "/worker", handle), route_of("GET", "/loop", handle, true)});
    const std::string address = server_->address();
    std::atomic<int> answered = 0, lost = 0;
    std::vector<std::jthread> callers;
    for (int i = 0; i < 8; ++i)
      callers.emplace_back([&, path = i % 2 ? "/loop" : "/worker"] {
        try {
          while (true) {
            Raw raw(address);
            for (bool open = true; open;) {
              raw.send(get(path));
              RawAnswer answer = raw.answer();
              answer.status == 200 ? ++answered : ++lost;
              open = answer.headers["connection"] != "close" && answer.status == 200;
            }
          }
        } catch (const std::runtime_error&) {
          // Nobody listens any more.
        }
      });
    while (answered < 500 && lost == 0) std::this_thread::yield();
    server_->stop();
    callers.clear();
    EXPECT_EQ(lost, 0);
    EXPECT_EQ(handled->load(), answered.load());
  }
}

TEST_F(ServerTest, RunsWhatComesAfterAnAnswerBeforeItHasStopped) {
  auto ran = std::make_shared<std::atomic<int>>(0);
  start({}, {route_of("GET", "/after", [ran](const Call&, const api::Request&) {
          return api::Response{.body = "a", .after = [ran] { ++*ran; }};
        })});
  for (int i = 0; i < 10; ++i) ask(get("/after"));
  server_->stop();
  EXPECT_EQ(*ran, 10);
}

TEST_F(ServerTest, ClientOpensAClosedConnectionAnew) {
  start({.idle_time = std::chrono::milliseconds(300)});
  Client client({.url = "http://" + server_->address() + "/ignored"});
  for (int i = 0; i < 3; ++i) {
    // POST is never sent twice, so this shows that the end was seen before.
    EXPECT_EQ(test::must(client.send("POST", "/echo", "body")).body, "body");
    while (metrics_.expose().find("penstock_http_connections 0") == std::string::npos)
      std::this_thread::yield();
  }
}

TEST_F(ServerTest, ClientSaysWhyThereIsNoAnswer) {
  start();
  const std::string url = "http://" + server_->address();
  Client client({.url = url});
  EXPECT_EQ(test::must(client.send("HEAD", "/zeros?size=100")).body, "");
  EXPECT_EQ(test::must(client.send("GET", "/things/a")).body, "a of user:ana");
  const auto refused = client.call("GET", "/nothing");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::not_found);
  const auto secure = Client({.url = "https://" + server_->address()}).send("GET", "/things/a");
  ASSERT_FALSE(secure);
  EXPECT_EQ(secure.error().code, Code::unavailable);
  EXPECT_NE(secure.error().message.find("must speak TLS"), std::string::npos)
      << secure.error().message;
  server_->stop();
  const auto gone = client.send("GET", "/things/a");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::unavailable);
  EXPECT_NE(gone.error().message.find(url), std::string::npos);
}

TEST_F(ServerTest, ClientGivesUpInTime) {
  auto gate = std::make_shared<Gate>();
  start({}, {route_of("GET", "/waits", [gate](const Call& call, const api::Request&) {
          gate->wait();
          return api::Response{.body = call.request_id};
        })});
  Client client(
      {.url = "http://" + server_->address(), .time_limit = std::chrono::milliseconds(50)});
  const auto late = client.send("GET", "/waits");
  gate->opened.set_value();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::unavailable);
}

}  // namespace
}  // namespace penstock::net
