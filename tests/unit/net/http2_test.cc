// HTTP/2 connections that are slow, hostile or ended; and what gRPC puts into them.
#include <random>
#include <thread>

#include "net/rpc_wire.h"
#include "tests/unit/net/grpc_world.h"

namespace penstock::net {
namespace {

using test::Raw;

const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string frame(char type, char flags, int stream, const std::string& payload) {
  std::string out;
  for (int shift = 16; shift >= 0; shift -= 8)
    out += static_cast<char>(payload.size() >> shift & 0xFF);
  out += {type, flags};
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(stream >> shift & 0xFF);
  return out + payload;
}

const std::string settings = frame(4, 0, 0, "");
// POST /test/Echo; its message is to come.
const std::string head = frame(1, 4, 1,
                               "\x83\x86\x04\x0a/test/Echo\x01\x04test\x0f\x10\x10"
                               "application/grpc");

TEST_F(GrpcTest, ClosesWhatIsNoHttp2) {
  start_grpc();
  std::mt19937 random(7);
  std::string noise(4'096, '\0');
  for (char& letter : noise) letter = static_cast<char>(random());
  const std::string cases[] = {
      get("/things/a"),
      noise,
      preface + noise,
      preface + settings + noise,
      preface + frame(1, 5, 1, "\x82"),  // no SETTINGS first
      preface + settings + frame(0, 1, 1, "data of no stream"),
      preface + settings + frame(1, 5, 2, "\x82"),  // an even stream
      preface + settings + frame(1, 5, 1, "\xff\xff\xff\xff\xff\xff"),
      preface + settings + frame(6, 0, 0, "short"),               // PING
      preface + settings + frame(8, 0, 0, std::string(4, '\0')),  // a window of nothing
      preface + settings + frame(9, 4, 1, ""),                    // CONTINUATION of nothing
      preface + settings + std::string("\xff\xff\xff\0\0\0\0\0\1", 9),
  };
  for (const std::string& bytes : cases) {
    Raw raw(server_->grpc_address());
    raw.send(bytes);
    raw.rest();  // throws where the connection is kept
  }
  expect_grpc_alive();
}

TEST_F(GrpcTest, SurvivesBytesThatAreNearlyRight) {
  start_grpc();
  const std::string right = preface + settings + head + frame(0, 1, 1, Client::framed("message"));
  std::mt19937 random(11);
  for (int i = 0; i < 500; ++i) {
    std::string bytes = right;
    for (int change = 0; change < 1 + i % 4; ++change)
      bytes[preface.size() + random() % (bytes.size() - preface.size())] =
          static_cast<char>(random());
    Raw raw(server_->grpc_address());
    raw.send(bytes);
    raw.end();
    raw.rest();
  }
  Raw raw(server_->grpc_address());
  raw.send(right);
  std::string answer;  // of what is right
  while (answer.find("message") == std::string::npos) answer += raw.some();
  expect_grpc_alive();
}

TEST_F(GrpcTest, ClosesOnContinuationsWithoutEnd) {
  start_grpc();
  Raw raw(server_->grpc_address());
  raw.send(preface + settings + frame(1, 0, 1, ""));
  for (int i = 0; i < 100'000 && raw.send(frame(9, 0, 1, "")); ++i) {
  }
  raw.rest();
  expect_grpc_alive();
}

TEST_F(GrpcTest, ClosesOnFloodsOfFramesThatBringNothing) {
  start_grpc();
  const std::string floods[] = {frame(6, 0, 0, "pingpong"), settings, frame(0, 0, 1, ""),
                                frame(2, 0, 3, std::string("\0\0\0\0\1", 5))};
  for (const std::string& one : floods) {
    SCOPED_TRACE("type " + std::to_string(one[3]));
    Raw raw(server_->grpc_address());
    std::string many;
    for (int i = 0; i < 500; ++i) many += one;
    // A call without an end, which empty DATA belong to.
    raw.send(preface + settings + head);
    for (int i = 0; i < 1'000 && raw.send(many); ++i) {
    }
    raw.rest();
  }
  expect_grpc_alive();
}

TEST_F(GrpcTest, ClosesOnCallsThatAreResetAtOnce) {
  start_grpc({.workers = 1});
  Client client(server_->grpc_address());
  const int first = client.ask("/test/Wait", "first");
  gate_.entered.get_future().wait();
  for (int i = 0; i < 5'000; ++i) {
    try {
      client.reset(client.ask("/test/Count", "x"));
    } catch (const std::runtime_error&) {
      break;  // it may begin none once the other side has said so
    }
  }
  EXPECT_EQ(client.answer(first).code, -1);
  EXPECT_TRUE(client.goaway());
  gate_.opened.set_value();
  expect_grpc_alive();
  EXPECT_EQ(counted_, 0);
}

TEST_F(GrpcTest, ClosesCallersThatSayNothing) {
  start_grpc(
      {.header_time = std::chrono::milliseconds(300), .idle_time = std::chrono::milliseconds(300)});
  Raw silent(server_->grpc_address());
  EXPECT_NE(silent.rest(), "") << "its SETTINGS";
  Raw half(server_->grpc_address());
  half.send(preface.substr(0, 10));
  half.rest();
  Raw dead(server_->grpc_address());  // answers no PING
  dead.send(preface + settings);
  EXPECT_NE(dead.rest().find(std::string("\0\0\x08\x06\0", 5)), std::string::npos);
}

TEST_F(GrpcTest, ResetsACallWhoseAnswerIsNotTaken) {
  start_grpc({.body_time = std::chrono::milliseconds(300)});
  Client client(server_->grpc_address(), 65'535);
  const auto answer = client.call("/test/Zeros", "10000000");
  EXPECT_EQ(answer.reset, unsigned{NGHTTP2_CANCEL});
  EXPECT_LE(answer.message.size(), 65'535u);
}

TEST_F(GrpcTest, ClosesAConnectionWhoseBytesAreNotTaken) {
  start_grpc({.body_time = std::chrono::milliseconds(200)});
  // More than any socket's buffer holds, and nobody reads.
  Client client(server_->grpc_address(), 100 << 20);
  const int call = client.ask("/test/Zeros", "60000000");
  int pings = 0;
  while (client.ping() && ++pings < 3'000)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_LT(pings, 3'000);
  EXPECT_NE(client.answer(call).message.size(), 60'000'000u);
}

TEST_F(GrpcTest, AnswersWhatIsUnderWayWhenItStops) {
  start_grpc();
  Client client(server_->grpc_address());
  EXPECT_EQ(client.call("/test/Echo", "x").code, 0);
  const int call = client.ask("/test/Wait", "under way");
  gate_.entered.get_future().wait();
  const std::string address = server_->grpc_address();
  std::jthread stop([&] { server_->stop(); });
  while (!client.goaway()) client.take();
  gate_.opened.set_value();
  const auto answer = client.answer(call);
  EXPECT_EQ(answer.code, 0);
  EXPECT_EQ(answer.message, "under way");
  client.wait_for_end();
  stop.join();
  EXPECT_THROW(Raw{address}, std::runtime_error);
}

TEST_F(GrpcTest, CutsOffWhatTakesTooLongWhenItStops) {
  start_grpc({.drain_time = std::chrono::milliseconds(100)});
  Client client(server_->grpc_address());
  const int call = client.ask("/test/Wait", "late");
  gate_.entered.get_future().wait();
  std::jthread stop([&] { server_->stop(); });
  EXPECT_EQ(client.answer(call).code, -1);
  gate_.opened.set_value();
}

TEST_F(GrpcTest, SaysWhereItsPortIsTaken) {
  start_grpc();
  Server second({.address = "127.0.0.1:0", .grpc = server_->grpc_address(), .io_threads = 2},
                routes(), authorize, metrics_, clock_);
  const auto started = second.start();
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message.find(server_->grpc_address()), std::string::npos);
  EXPECT_NE(started.error().message.find("--grpc"), std::string::npos) << started.error().message;
}

TEST(RpcWire, ReadsTimeouts) {
  struct Case {
    std::string text;
    std::optional<Micros> wanted;
  };
  const Case cases[] = {{"1H", std::chrono::hours(1)},
                        {"2M", std::chrono::minutes(2)},
                        {"3S", std::chrono::seconds(3)},
                        {"250m", std::chrono::milliseconds(250)},
                        {"7u", Micros(7)},
                        {"1n", Micros(1)},
                        {"0n", Micros(0)},
                        {"99999999H", std::chrono::hours(99'999'999)},
                        {"100000000S", {}},
                        {"", {}},
                        {"S", {}},
                        {"5", {}},
                        {"-5S", {}},
                        {"+5S", {}},
                        {"5s", {}},
                        {"5 S", {}},
                        {"1.5S", {}}};
  for (const Case& c : cases) EXPECT_EQ(rpc_timeout(c.text), c.wanted) << c.text;
}

TEST(RpcWire, WritesMessagesAsHeadersCanCarryThem) {
  EXPECT_EQ(rpc_message("plain text: ~"), "plain text: ~");
  EXPECT_EQ(rpc_message("100% of\n\x7f\xc3\xa4"), "100%25 of%0A%7F%C3%A4");
  const std::string cut = rpc_message(std::string(3'999, 'x') + "\xc3\xa4");
  EXPECT_EQ(cut, std::string(3'999, 'x')) << "not within a letter";
}

TEST(RpcWire, AMessageMayComeInAnyPieces) {
  const std::string bytes = test::GrpcClient::framed("a message");
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    RpcInbox inbox;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      EXPECT_FALSE(inbox.is_whole());
      EXPECT_TRUE(inbox.take(std::string_view(bytes).substr(at, step), 9).ok());
    }
    ASSERT_TRUE(inbox.is_whole());
    EXPECT_EQ(inbox.give(), "a message");
  }
  RpcInbox inbox;
  EXPECT_EQ(inbox.take(bytes, 8).code, RpcCode::resource_exhausted);
}

}  // namespace
}  // namespace penstock::net
