// gRPC calls with many messages both ways, as their callers see them.
#include <random>

#include "net/gzip.h"
#include "tests/unit/net/grpc_world.h"

namespace penstock::net {
namespace {

constexpr int invalid_argument = 3, deadline_exceeded = 4, resource_exhausted = 8,
              unimplemented = 12, internal = 13, unavailable = 14, unauthenticated = 16;

class RpcStreamTest : public GrpcTest {
 protected:
  static std::string framed(const std::vector<std::string>& messages) {
    std::string out;
    for (const std::string& one : messages) out += Client::framed(one);
    return out;
  }
  static std::vector<std::string> numbers(int from, int to) {
    std::vector<std::string> out;
    for (int i = from; i < to; ++i) out.push_back("message " + std::to_string(i));
    return out;
  }
};

TEST_F(RpcStreamTest, AnswersEachMessageInItsTurn) {
  for (const int io_threads : {1, 2}) {
    start_grpc({.io_threads = io_threads});
    Client client(server_->grpc_address());
    for (const char* path : {"/test/Stream", "/test/StreamBrief", "/test/StreamLoop"})
      for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{100'000}}) {
        const auto sent = numbers(0, 200);
        const std::string bytes = framed(sent);
        const int call = client.ask_raw(path, "", {}, false);
        for (std::size_t at = 0; at < bytes.size(); at += step)
          client.send(call, bytes.substr(at, step), at + step >= bytes.size());
        EXPECT_EQ(client.messages(call, 1'000), sent) << path << " by " << step;
        const auto end = client.answer(call);
        EXPECT_EQ(end.code, 0) << end.text;
        EXPECT_FALSE(end.reset);
      }
    EXPECT_EQ(client.call("/test/Echo", "beside").message, "beside");
  }
}

TEST_F(RpcStreamTest, AnswersWhileTheCallerStillThinksOfMore) {
  start_grpc();
  Client client(server_->grpc_address());
  const int call = client.ask_raw("/test/Stream", "", {}, false);
  std::vector<std::string> sent;
  for (int i = 0; i < 50; ++i) {
    sent.push_back("message " + std::to_string(i));
    client.send(call, Client::framed(sent.back()));
    ASSERT_EQ(client.messages(call, sent.size()), sent);
  }
  client.send(call, "", true);
  EXPECT_EQ(client.answer(call).code, 0);
  const int empty = client.ask_raw("/test/Stream", "");
  EXPECT_EQ(client.answer(empty).code, 0) << "a stream may have nothing to say";
}

TEST_F(RpcStreamTest, AnErrorIsTheAnswerOfItsMessage) {
  start_grpc({.body_max = 1'000});
  Client client(server_->grpc_address());
  for (const char* path : {"/test/Stream", "/test/StreamBrief"}) {
    const int call = client.ask_raw(
        path, framed({"one", "refuse", "unreadable", "break", "", "zeros 1001", "two"}));
    const auto got = client.messages(call, 7);
    ASSERT_EQ(got.size(), 7u);
    EXPECT_EQ(got[0], "one");
    EXPECT_EQ(got[1], "error: no größe: 100%");
    EXPECT_EQ(got[2], "error: the message is no message");
    EXPECT_TRUE(got[3].starts_with("error: something broke inside; the log has it")) << got[3];
    EXPECT_EQ(got[4], "");
    EXPECT_TRUE(got[5].starts_with("error: the answer is 1001 bytes; at most 1000")) << got[5];
    EXPECT_EQ(got[6], "two");
    EXPECT_EQ(client.answer(call).code, 0);
  }
}

TEST_F(RpcStreamTest, WhatIsReadyEarlierWaitsForItsTurn) {
  start_grpc({.workers = 4});
  Client client(server_->grpc_address());
  const int call = client.ask_raw("/test/Stream", framed({"wait", "count", "last"}));
  gate_.entered.get_future().wait();
  while (counted_ == 0) EXPECT_EQ(client.call("/test/EchoLoop", "x").code, 0);
  EXPECT_EQ(client.call("/test/Echo", "x").code, 0);
  gate_.opened.set_value();
  EXPECT_EQ(client.messages(call, 3), (std::vector<std::string>{"wait", "count", "last"}));
  EXPECT_EQ(client.answer(call).code, 0);
  after_.get_future().wait();
}

TEST_F(RpcStreamTest, SoManyAreUnderWayAtOnceAndTheOthersWaitWithTheCaller) {
  start_grpc({.workers = 4});
  Client client(server_->grpc_address());
  std::vector<std::string> sent(20'000, "count");
  sent.front() = "wait";
  sent.push_back(std::string(500'000, 'x'));
  const int call = client.ask_raw("/test/Stream", "", {}, false);
  client.send(call, framed(sent), true);
  gate_.entered.get_future().wait();
  // What has come is taken before what is asked after it.
  while (counted_ < 15) EXPECT_EQ(client.call("/test/EchoLoop", "x").code, 0);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.call("/test/Echo", "x").code, 0);
  EXPECT_EQ(counted_, 15);
  EXPECT_GT(client.unsent(call), 300'000u);
  gate_.opened.set_value();
  EXPECT_TRUE(client.messages(call, sent.size()) == sent);
  EXPECT_EQ(client.answer(call).code, 0);
}

TEST_F(RpcStreamTest, CarriesLongMessagesAmongShortOnes) {
  start_grpc({.body_max = 8 << 20});
  Client client(server_->grpc_address());
  std::vector<std::string> sent;
  for (int i = 0; i < 12; ++i) {
    sent.push_back(std::string(std::size_t{8 << 20} >> (i % 7), static_cast<char>('a' + i)));
    sent.push_back("short " + std::to_string(i));
  }
  std::vector<int> calls;
  for (const char* path : {"/test/Stream", "/test/StreamBrief", "/test/Stream"})
    calls.push_back(client.ask_raw(path, framed(sent)));
  for (const int call : calls) {
    EXPECT_TRUE(client.messages(call, sent.size()) == sent);
    EXPECT_EQ(client.answer(call).code, 0);
  }
}

TEST_F(RpcStreamTest, ReadsCompressedMessages) {
  start_grpc();
  Client client(server_->grpc_address());
  const std::string text(100'000, 'x');
  const int call = client.ask_raw("/test/StreamBrief",
                                  Client::framed(gzipped(text), 1) + Client::framed("plain") +
                                      Client::framed("no gzip", 1) + Client::framed("end"),
                                  {{"grpc-encoding", "gzip"}});
  const auto got = client.messages(call, 4);
  ASSERT_EQ(got.size(), 4u);
  EXPECT_TRUE(got[0] == text);
  EXPECT_EQ(got[1], "plain");
  EXPECT_TRUE(got[2].starts_with("error: ")) << got[2];
  EXPECT_EQ(got[3], "end");
}

TEST_F(RpcStreamTest, WhatNoMessageCanBeReadFromEndsTheCallBehindTheAnswers) {
  start_grpc({.body_max = 1'000});
  const std::string good = Client::framed("good");
  struct Case {
    std::string what, bytes;
    int code;
    std::string text;
  };
  const Case cases[] = {
      {"form", good + Client::framed("x", 7) + good, internal, "first byte"},
      {"long", good + Client::framed(std::string(1'001, 'x')) + good, resource_exhausted,
       "is 1001 bytes; at most 1000"},
      {"packed by nobody knows", good + Client::framed("x", 1), unimplemented, "grpc-encoding"},
      {"half a prefix", good + std::string("\0\0\0", 3), invalid_argument, "within a message"},
      {"half a message", good + good.substr(0, 7), invalid_argument, "within a message"},
  };
  Client client(server_->grpc_address());
  for (const char* path : {"/test/Stream", "/test/StreamLoop"})
    for (const Case& c : cases) {
      SCOPED_TRACE(c.what);
      const int call = client.ask_raw(path, c.bytes);
      EXPECT_EQ(client.messages(call, 2), (std::vector<std::string>{"good"}));
      const auto end = client.answer(call);
      EXPECT_EQ(end.code, c.code);
      EXPECT_NE(end.text.find(c.text), std::string::npos) << end.text;
    }
  const int refused = client.ask_raw("/test/Stream", good, {{"x-actor", "nobody"}});
  EXPECT_EQ(client.answer(refused).code, unauthenticated);
  EXPECT_EQ(client.call("/test/Echo", "still here").message, "still here");
}

TEST_F(RpcStreamTest, SurvivesBytesThatAreNearlyRight) {
  start_grpc({.body_max = 100'000});
  std::mt19937 random(13);
  Client client(server_->grpc_address());
  for (int i = 0; i < 300; ++i) {
    std::string bytes;
    while (random() % 8 != 0)
      bytes += Client::framed(std::string(random() % (random() % 4 == 0 ? 110'000 : 20), 'x'));
    for (int change = 0; change < i % 3 && !bytes.empty(); ++change)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    const char* const path = i % 2 ? "/test/StreamLoop" : "/test/Stream";
    const int call = client.ask_raw(path, "", {}, false);
    const std::size_t step = 1 + random() % 50'000;
    for (std::size_t at = 0; at < bytes.size(); at += step)
      client.send(call, bytes.substr(at, step));
    client.send(call, "", true);
    if (random() % 4 == 0) client.reset(call);
    const auto answer = client.answer(call);
    EXPECT_TRUE(answer.code >= 0 || answer.reset) << i;
  }
  expect_grpc_alive();
}

TEST_F(RpcStreamTest, WhoMayIsAskedAgainForEachMessage) {
  std::atomic<bool> is_revoked{false};
  const auto asks = [&](const api::Request&, api::Permission, Call& call) -> Result<void> {
    call.actor = "user:ana";
    if (is_revoked) return Error{Code::unauthenticated, "the token was revoked"};
    return {};
  };
  server_ = std::make_unique<Server>(ServerOptions{.address = "127.0.0.1:0", .grpc = "127.0.0.1:0"},
                                     routes(), asks, metrics_, clock_, nullptr, rpcs());
  test::must(server_->start());
  Client client(server_->grpc_address());
  const int call = client.ask_raw("/test/Stream", framed({"one"}), {}, false);
  EXPECT_EQ(client.messages(call, 1).size(), 1u);
  is_revoked = true;
  client.send(call, framed({"two"}));
  EXPECT_EQ(client.messages(call, 2).back(), "error: the token was revoked");
  server_.reset();  // which asks with what ends here
}

TEST_F(RpcStreamTest, AMessageHasADeadlineOfItsOwn) {
  start_grpc({.workers = 2});
  Client client(server_->grpc_address());
  const int call = client.ask_raw("/test/Stream", framed({"wait", "second"}), {}, false);
  gate_.entered.get_future().wait();
  EXPECT_EQ(client.call("/test/Echo", "x").code, 0);
  clock_.advance(std::chrono::seconds(61));
  const auto got = client.messages(call, 2);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(got[0].starts_with("error: the deadline passed")) << got[0];
  EXPECT_EQ(got[1], "second");
  client.send(call, framed({"third"}), true);
  EXPECT_EQ(client.messages(call, 3).back(), "third") << "an hour's silence would do no harm";
  EXPECT_EQ(client.answer(call).code, 0);
  gate_.opened.set_value();
}

TEST_F(RpcStreamTest, ADeadlineEndsTheCall) {
  start_grpc({.workers = 2});
  Client client(server_->grpc_address());
  const int call =
      client.ask_raw("/test/Stream", framed({"first"}), {{"grpc-timeout", "2S"}}, false);
  EXPECT_EQ(client.messages(call, 1).size(), 1u);
  client.send(call, framed({"wait"}));
  gate_.entered.get_future().wait();
  clock_.advance(std::chrono::seconds(3));
  EXPECT_EQ(client.messages(call, 2).size(), 1u);
  const auto end = client.answer(call);
  EXPECT_EQ(end.code, deadline_exceeded);
  EXPECT_NE(end.text.find("deadline"), std::string::npos);
  gate_.opened.set_value();
  EXPECT_EQ(client.call("/test/Echo", "next").message, "next");
}

TEST_F(RpcStreamTest, AMessageThatDoesNotComeWholeEndsTheCall) {
  start_grpc();
  Client client(server_->grpc_address());
  const int call =
      client.ask_raw("/test/Stream", framed({"one"}) + std::string("\0\0", 2), {}, false);
  EXPECT_EQ(client.messages(call, 1).size(), 1u);
  EXPECT_EQ(client.call("/test/Echo", "beside").message, "beside");
  clock_.advance(std::chrono::seconds(61));
  EXPECT_EQ(client.answer(call).code, deadline_exceeded);
}

TEST_F(RpcStreamTest, WhatWaitsOfACallerWhoHangsUpIsNotRun) {
  start_grpc({.workers = 1});
  Client client(server_->grpc_address());
  const int first = client.ask_raw("/test/Stream", framed({"wait", "count", "count"}), {}, false);
  gate_.entered.get_future().wait();
  client.reset(first);
  EXPECT_EQ(client.call("/test/EchoLoop", "x").code, 0);
  {
    Client other(server_->grpc_address());
    other.ask_raw("/test/Stream", framed({"count", "count"}), {}, false);
    EXPECT_EQ(other.call("/test/EchoLoop", "x").code, 0);
  }
  // The end of the other connection is seen at the latest with this one.
  Client third(server_->grpc_address());
  EXPECT_EQ(third.call("/test/EchoLoop", "x").code, 0);
  gate_.opened.set_value();
  EXPECT_EQ(client.call("/test/Echo", "next").message, "next");
  EXPECT_EQ(counted_, 0);
}

TEST_F(RpcStreamTest, AMessageIsRefusedWhereTooManyWait) {
  start_grpc({.workers = 1, .queue_max = 1});
  Client client(server_->grpc_address());
  const int call = client.ask_raw("/test/Stream", framed({"wait"}), {}, false);
  gate_.entered.get_future().wait();
  client.send(call, framed({"second", "third"}));
  EXPECT_EQ(client.call("/test/EchoLoop", "x").code, 0);
  gate_.opened.set_value();
  const auto got = client.messages(call, 3);
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[1], "second");
  EXPECT_TRUE(got[2].starts_with("error: too many requests wait")) << got[2];
}

TEST_F(RpcStreamTest, ResetsACallWhoseAnswersAreNotTaken) {
  start_grpc({.body_time = std::chrono::milliseconds(300)});
  Client client(server_->grpc_address(), 65'535);
  const int call = client.ask_raw("/test/Stream", framed({"zeros 1000000", "more"}), {}, false);
  const auto answer = client.answer(call);
  EXPECT_EQ(answer.reset, unsigned{NGHTTP2_CANCEL});
  EXPECT_LE(answer.message.size(), 65'535u);
}

TEST_F(RpcStreamTest, AnswersWhatIsUnderWayWhenItStopsAndSaysSo) {
  start_grpc();
  Client client(server_->grpc_address());
  const int idle = client.ask_raw("/test/Stream", framed({"one"}), {}, false);
  EXPECT_EQ(client.messages(idle, 1).size(), 1u);
  const int call = client.ask_raw("/test/Stream", framed({"wait", "behind"}), {}, false);
  gate_.entered.get_future().wait();
  std::jthread stop([&] { server_->stop(); });
  const auto end = client.answer(idle);
  EXPECT_EQ(end.code, unavailable);
  EXPECT_NE(end.text.find("the server stops"), std::string::npos) << end.text;
  gate_.opened.set_value();
  EXPECT_EQ(client.messages(call, 3), (std::vector<std::string>{"wait", "behind"}));
  EXPECT_EQ(client.answer(call).code, unavailable);
  client.wait_for_end();
  stop.join();
}

}  // namespace
}  // namespace penstock::net
