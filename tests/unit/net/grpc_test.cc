// gRPC calls as their callers see them.
#include "net/gzip.h"
#include "tests/unit/net/grpc_world.h"

namespace penstock::net {
namespace {

using Fields = test::GrpcClient::Fields;

constexpr int invalid_argument = 3, deadline_exceeded = 4, not_found = 5, resource_exhausted = 8,
              unimplemented = 12, internal = 13, unauthenticated = 16;

TEST_F(GrpcTest, AnswersManyCallsOnOneConnection) {
  start_grpc();
  Client client(server_->grpc_address());
  for (const char* path : {"/test/Echo", "/test/EchoLoop", "/test/EchoBrief"})
    for (int i = 0; i < 100; ++i) {
      const auto answer = client.call(path, "call " + std::to_string(i));
      ASSERT_EQ(answer.code, 0) << path << answer.text;
      EXPECT_EQ(answer.message, "call " + std::to_string(i));
      EXPECT_EQ(answer.headers.at("content-type"), "application/grpc");
      EXPECT_FALSE(answer.reset);
    }
  EXPECT_EQ(client.call("/test/Echo", "").code, 0) << "an empty message is a message";
}

TEST_F(GrpcTest, AnswersManyCallsAtOnce) {
  for (const int io_threads : {1, 2}) {
    start_grpc({.io_threads = io_threads});
    Client client(server_->grpc_address());
    std::vector<int> calls;
    for (int i = 0; i < 500; ++i)
      calls.push_back(client.ask(i % 3 ? "/test/Echo" : "/test/EchoLoop", std::to_string(i)));
    for (int i = 0; i < 500; ++i) {
      const auto answer = client.answer(calls[static_cast<std::size_t>(i)]);
      ASSERT_EQ(answer.code, 0) << answer.text;
      EXPECT_EQ(answer.message, std::to_string(i));
    }
  }
}

TEST_F(GrpcTest, CarriesLongMessagesBothWays) {
  start_grpc();
  Client client(server_->grpc_address());
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{16'384}, std::size_t{262'139}, std::size_t{262'140},
        std::size_t{1} << 20, std::size_t{64} << 20}) {
    std::string message(size, 'm');
    message.back() = '!';
    for (const char* path : {"/test/Echo", "/test/EchoBrief", "/test/EchoLoop"}) {
      const auto answer = client.call(path, message);
      ASSERT_EQ(answer.code, 0) << answer.text;
      ASSERT_TRUE(answer.message == message) << path << " " << size;
    }
  }
}

// Room is for four of the longest; the others wait for it, and each is answered.
TEST_F(GrpcTest, LongMessagesWaitForRoom) {
  start_grpc({.body_max = 1 << 20});
  Client client(server_->grpc_address());
  std::vector<int> calls;
  for (int i = 0; i < 20; ++i)
    calls.push_back(client.ask("/test/Echo", std::string(1 << 20, static_cast<char>('a' + i))));
  for (int i = 0; i < 20; ++i) {
    const auto answer = client.answer(calls[static_cast<std::size_t>(i)]);
    ASSERT_EQ(answer.code, 0) << answer.text;
    EXPECT_TRUE(answer.message == std::string(1 << 20, static_cast<char>('a' + i)));
  }
}

TEST_F(GrpcTest, SaysWhatIsWrongWithACall) {
  start_grpc({.header_max = 2'000, .body_max = 1'000});
  const std::string whole = Client::framed("x");
  struct Case {
    std::string what, path, bytes;
    Fields fields;
    int code;
    std::string text;
  };
  const Case cases[] = {
      {"unknown method", "/test/Nope", whole, {}, unimplemented, "no method /test/Nope"},
      {"who", "/test/Echo", whole, {{"x-actor", "nobody"}}, unauthenticated, "who are you?"},
      {"timeout", "/test/Echo", whole, {{"grpc-timeout", "5 s"}}, invalid_argument, "not 5 s"},
      {"no message", "/test/Echo", "", {}, unimplemented, "unary call has one"},
      {"half a prefix", "/test/Echo", {"\0\0\0", 3}, {}, unimplemented, "unary call has one"},
      {"half a message", "/test/Echo", whole.substr(0, 5), {}, unimplemented, "unary call has one"},
      {"two messages", "/test/Echo", whole + whole, {}, unimplemented, "more than one message"},
      {"form", "/test/Echo", Client::framed("x", 7), {}, internal, "first byte"},
      {"packed by nobody knows",
       "/test/Echo",
       Client::framed("x", 1),
       {},
       unimplemented,
       "grpc-encoding identity"},
      {"packed by what is not known",
       "/test/Echo",
       Client::framed("x", 1),
       {{"grpc-encoding", "zstd"}},
       unimplemented,
       "grpc-encoding zstd"},
      {"no gzip",
       "/test/Echo",
       Client::framed("x", 1),
       {{"grpc-encoding", "gzip"}},
       invalid_argument,
       "no whole gzip data"},
      {"long when unpacked",
       "/test/Echo",
       Client::framed(gzipped(std::string(1'001, 'x')), 1),
       {{"grpc-encoding", "gzip"}},
       resource_exhausted,
       "larger than 1000 bytes when unpacked"},
      {"long",
       "/test/Echo",
       Client::framed(std::string(1'001, 'x')),
       {},
       resource_exhausted,
       "is 1001 bytes; at most 1000 are taken"},
      {"long answer",
       "/test/Zeros",
       Client::framed("1001"),
       {},
       resource_exhausted,
       "the answer is 1001 bytes; at most 1000"},
      {"metadata",
       "/test/Echo",
       whole,
       {{"x-long", std::string(3'000, 'x')}},
       resource_exhausted,
       "larger than 2000 bytes"},
      {"unreadable",
       "/test/Echo",
       Client::framed("unreadable"),
       {},
       invalid_argument,
       "no message"},
      {"refused", "/test/Refuses", whole, {}, not_found, "no gr%C3%B6%C3%9Fe: 100%25"},
      {"throws", "/test/Breaks", whole, {}, internal, "the log has it under request"},
  };
  Client client(server_->grpc_address());
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto answer = client.answer(client.ask_raw(c.path, c.bytes, c.fields));
    EXPECT_EQ(answer.code, c.code);
    EXPECT_NE(answer.text.find(c.text), std::string::npos) << answer.text;
    EXPECT_EQ(answer.message, "");
    EXPECT_EQ(answer.headers.count("grpc-accept-encoding"), c.code == unimplemented ? 1u : 0u);
  }
  EXPECT_EQ(client.call("/test/Echo", "still here").message, "still here");
}

TEST_F(GrpcTest, TellsHttpCallersThatThisIsGrpc) {
  start_grpc();
  Client client(server_->grpc_address());
  EXPECT_EQ(client.call("/test/Echo", "x", {{":method", "GET"}}).headers.at(":status"), "405");
  for (const char* type : {"application/json", "application/grpcish", ""})
    EXPECT_EQ(client.call("/test/Echo", "x", {{"content-type", type}}).headers.at(":status"),
              "415");
  EXPECT_EQ(client.call("/test/Echo", "x", {{"content-type", "application/grpc+proto"}}).code, 0);
}

TEST_F(GrpcTest, ReadsCompressedMessages) {
  start_grpc();
  Client client(server_->grpc_address());
  const std::string text(100'000, 'x');
  for (const char* encoding : {"gzip", "deflate"}) {
    const int call = client.ask_raw("/test/Echo", Client::framed(gzipped(text), 1),
                                    {{"grpc-encoding", encoding}});
    const auto answer = client.answer(call);
    ASSERT_EQ(answer.code, 0) << answer.text;
    EXPECT_TRUE(answer.message == text);
  }
}

TEST_F(GrpcTest, HandlersSeeMetadata) {
  start_grpc();
  Client client(server_->grpc_address());
  EXPECT_EQ(
      client
          .call("/test/Who", "", {{"x-actor", "bo"}, {"x-color", "blue"}, {"x-request-id", "mine"}})
          .message,
      "bo blue mine");
  const std::string other = client.call("/test/Who", "", {{"x-request-id", "no id"}}).message;
  EXPECT_TRUE(other.starts_with("user:ana  ") && other.size() == 36) << other;
}

TEST_F(GrpcTest, ADeadlineEndsACallThatIsWorkedOn) {
  start_grpc();
  Client client(server_->grpc_address());
  const int call = client.ask("/test/Wait", "late", {{"grpc-timeout", "2S"}});
  gate_.entered.get_future().wait();
  clock_.advance(std::chrono::seconds(3));
  const auto answer = client.answer(call);
  EXPECT_EQ(answer.code, deadline_exceeded);
  EXPECT_NE(answer.text.find("deadline"), std::string::npos);
  gate_.opened.set_value();
  EXPECT_EQ(client.call("/test/Echo", "next").message, "next");
}

TEST_F(GrpcTest, ADeadlineEndsACallWhoseMessageDoesNotCome) {
  start_grpc();
  Client client(server_->grpc_address());
  const int call = client.ask_raw("/test/Echo", {"\0\0", 2}, {{"grpc-timeout", "500m"}}, false);
  EXPECT_EQ(client.call("/test/Echo", "beside").message, "beside");
  clock_.advance(std::chrono::seconds(1));
  EXPECT_EQ(client.answer(call).code, deadline_exceeded);
}

TEST_F(GrpcTest, WhatWasCancelledInTheQueueIsNotRun) {
  start_grpc({.workers = 1});
  Client client(server_->grpc_address());
  const int first = client.ask("/test/Wait", "first");
  gate_.entered.get_future().wait();
  const int second = client.ask("/test/Count", "second");
  // One more goes the same way: when it is answered, the reset has come.
  client.reset(second);
  EXPECT_EQ(client.call("/test/EchoLoop", "x").code, 0);
  gate_.opened.set_value();
  EXPECT_EQ(client.answer(first).message, "first");
  EXPECT_EQ(client.call("/test/Echo", "third").message, "third");
  EXPECT_EQ(counted_, 0);
}

TEST_F(GrpcTest, WorkAfterTheAnswerRunsAlsoWhereTheCallerIsGone) {
  start_grpc();
  Client client(server_->grpc_address());
  EXPECT_EQ(client.call("/test/Count", "x").message, "x");
  after_.get_future().wait();
  EXPECT_EQ(counted_, 1);
}

TEST_F(GrpcTest, RefusesWhereTooManyWait) {
  start_grpc({.workers = 1, .queue_max = 1});
  Client client(server_->grpc_address());
  const int first = client.ask("/test/Wait", "first");
  gate_.entered.get_future().wait();
  const int second = client.ask("/test/Echo", "second");
  const auto third = client.call("/test/Echo", "third");
  EXPECT_EQ(third.code, resource_exhausted);
  EXPECT_NE(third.text.find("too many requests wait"), std::string::npos) << third.text;
  gate_.opened.set_value();
  EXPECT_EQ(client.answer(first).message, "first");
  EXPECT_EQ(client.answer(second).message, "second");
}

}  // namespace
}  // namespace penstock::net
