// Bodies and answers that are longer than what a server keeps in memory.
#include <atomic>

#include "tests/unit/net/world.h"

namespace penstock::net {
namespace {

using test::Raw;
using test::RawAnswer;

// What became of the bodies that a server took.
struct Taken {
  std::atomic<int> open{0}, finished{0}, dropped{0};
  std::atomic<std::size_t> bytes{0}, longest{0};
};

class CountingIntake final : public api::Intake {
 public:
  CountingIntake(Taken& taken, std::size_t fails_at) : taken_(taken), fails_at_(fails_at) {
    ++taken_.open;
  }
  ~CountingIntake() override {
    if (!finished_) ++taken_.dropped;
    --taken_.open;
  }
  Result<void> take(std::string_view bytes) override {
    size_ += bytes.size();
    sum_ += std::string(bytes).size();
    taken_.bytes += bytes.size();
    taken_.longest = std::max<std::size_t>(taken_.longest, bytes.size());
    for (const char byte : bytes) hash_ = hash_ * 31 + static_cast<unsigned char>(byte);
    if (size_ > fails_at_) return Error{Code::resource_exhausted, "there is no room"};
    return {};
  }
  api::Response finish(const Call& call) override {
    finished_ = true;
    ++taken_.finished;
    return {.body = std::to_string(size_) + " " + std::to_string(hash_) + " of " + call.actor};
  }

 private:
  Taken& taken_;
  const std::size_t fails_at_;
  std::size_t size_ = 0, sum_ = 0;
  std::uint64_t hash_ = 7;
  bool finished_ = false;
};

std::string letters(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t at = 0; at < size; ++at) out[at] = static_cast<char>(at * 131 + at / 977);
  return out;
}

class LettersSource final : public api::Source {
 public:
  LettersSource(std::size_t size, std::size_t breaks_at) : text_(letters(size)), end_(breaks_at) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(text_.size()); }
  Result<std::size_t> read(char* to, std::size_t most) override {
    if (at_ >= end_) return Error{Code::data_loss, "the bytes are not those that were sent"};
    const std::size_t step = std::min(most, text_.size() - at_);
    std::copy_n(text_.data() + at_, step, to);
    at_ += step;
    return step;
  }

 private:
  const std::string text_;
  const std::size_t end_;
  std::size_t at_ = 0;
};

class StreamTest : public ServerTest {
 protected:
  void serve(ServerOptions options = {}) {
    api::Route put{.method = "PUT", .path = "/files/{name}", .permission = api::Permission::write};
    put.receive = [this](const Call&,
                         const api::Request& request) -> Result<std::unique_ptr<api::Intake>> {
      const std::string& name = *request.path_value("name");
      if (name == "refused") return Error{Code::invalid_argument, "no file may be called so"};
      if (name == "throws") throw std::runtime_error("as planned");
      return std::make_unique<CountingIntake>(taken_, name == "full" ? 100'000 : SIZE_MAX);
    };
    const auto get = [](const Call&, const api::Request& request) {
      const std::string* size = request.query_value("size");
      const std::string* end = request.query_value("breaks_at");
      return api::Response{.content_type = "application/octet-stream",
                           .source = std::make_shared<LettersSource>(
                               std::stoul(*size), end ? std::stoul(*end) : SIZE_MAX)};
    };
    start(std::move(options), {put, route_of("GET", "/files", get)});
  }
  static std::string put(const std::string& name, const std::string& body,
                         const std::string& headers = "") {
    return "PUT /files/" + name +
           " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           headers + "\r\n" + body;
  }
  static std::string told(const std::string& body) {
    std::uint64_t hash = 7;
    for (const char byte : body) hash = hash * 31 + static_cast<unsigned char>(byte);
    return std::to_string(body.size()) + " " + std::to_string(hash) + " of user:ana";
  }
  // Waits for the server to have let go of every body.
  void expect_all_let_go() {
    for (int at = 0; at < 3000 && taken_.open > 0; ++at)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(taken_.open, 0);
  }
  void TearDown() override { server_.reset(); }

  Taken taken_;
};

TEST_F(StreamTest, TakesBodiesOfAnyLengthAMegabyteAtATime) {
  serve({.body_max = 1'000});
  Raw raw(server_->address());
  for (const std::size_t size : {0ul, 1ul, 65'537ul, 1ul << 20, (1ul << 20) + 1, 5'000'000ul}) {
    const std::string body = letters(size);
    raw.send(put("a", body));
    const RawAnswer answer = raw.answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, told(body)) << size;
  }
  EXPECT_LE(taken_.longest, 1ul << 20);
  expect_all_let_go();
}

TEST_F(StreamTest, TakesChunkedBodies) {
  serve();
  const std::string body = letters(300'000);
  std::string chunked = "PUT /files/a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < body.size(); at += 70'001) {
    const std::string part = body.substr(at, 70'001);
    std::ostringstream size;
    size << std::hex << part.size();
    chunked += size.str() + "\r\n" + part + "\r\n";
  }
  EXPECT_EQ(ask(chunked + "0\r\n\r\n").body, told(body));
  EXPECT_EQ(ask("PUT /files/a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")
                .status,
            400);
  expect_all_let_go();
  EXPECT_EQ(taken_.dropped, 1);
}

TEST_F(StreamTest, KeepsPipelinedRequestsBehindABodyInOrder) {
  serve();
  Raw raw(server_->address());
  const std::string body = letters(200'000);
  raw.send(get("/things/1") + put("a", body) + get("/things/2") + put("b", "x") +
           get("/files?size=100000") + get("/things/3"));
  EXPECT_EQ(raw.answer().body, "1 of user:ana");
  EXPECT_EQ(raw.answer().body, told(body));
  EXPECT_EQ(raw.answer().body, "2 of user:ana");
  EXPECT_EQ(raw.answer().body, told("x"));
  EXPECT_EQ(raw.answer().body, letters(100'000));
  EXPECT_EQ(raw.answer().body, "3 of user:ana");
}

TEST_F(StreamTest, AsksForTheBodyOnlyWhenItTakesIt) {
  serve();
  Raw raw(server_->address());
  const std::string body = letters(10'000);
  const std::string head =
      "PUT /files/a HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n"
      "Content-Length: 10000\r\n\r\n";
  raw.send(head);
  EXPECT_EQ(raw.answer(true).status, 100);
  raw.send(body);
  EXPECT_EQ(raw.answer().body, told(body));
  Raw refused(server_->address());
  refused.send(
      "PUT /files/refused HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n"
      "Content-Length: 10000\r\n\r\n");
  EXPECT_EQ(refused.answer().status, 400);
}

TEST_F(StreamTest, RefusesBodiesBeforeItReadsThem) {
  serve({.stream_max = 1'000'000});
  EXPECT_EQ(ask(put("refused", "x")).status, 400);
  EXPECT_EQ(ask(put("throws", "x")).status, 500);
  EXPECT_EQ(ask(put("a", "x", "Content-Encoding: gzip\r\n")).status, 415);
  EXPECT_EQ(ask(put("a", "x", "X-Actor: nobody\r\n")).status, 401);
  const RawAnswer large = ask(put("a", letters(1'000'001)));
  EXPECT_EQ(large.status, 413);
  EXPECT_NE(large.body.find("limits.artifact_bytes"), std::string::npos) << large.body;
  // One that does not say how long it is.
  std::string chunked = "PUT /files/a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int at = 0; at < 20; ++at) chunked += "10000\r\n" + letters(65'536) + "\r\n";
  EXPECT_EQ(ask(chunked).status, 413);
  expect_all_let_go();
  EXPECT_EQ(taken_.finished, 0);
  // A small body that is refused does not cost the connection.
  Raw raw(server_->address());
  raw.send(put("refused", "x") + put("a", "y"));
  EXPECT_EQ(raw.answer().status, 400);
  EXPECT_EQ(raw.answer().body, told("y"));
}

TEST_F(StreamTest, SaysSoWhenThereIsNoRoomAndReadsOnUntilItIsHeard) {
  serve();
  Raw raw(server_->address());
  ASSERT_TRUE(raw.send(put("full", letters(20'000'000))));
  const RawAnswer answer = raw.answer();
  EXPECT_EQ(answer.status, 507);
  EXPECT_NE(answer.body.find("there is no room"), std::string::npos);
  EXPECT_LT(taken_.bytes, 3'000'000u);
  expect_all_let_go();
  EXPECT_EQ(taken_.dropped, 1);
  expect_alive();
}

TEST_F(StreamTest, LetsGoOfABodyWhoseCallerGoesAway) {
  serve();
  const std::string all = put("a", letters(3'000'000));
  for (const std::size_t size : {70ul, 100'000ul, 2'500'000ul, all.size() - 1}) {
    Raw raw(server_->address());
    raw.send(all.substr(0, size));
    raw.end();
    EXPECT_EQ(raw.answer().status, 0);
  }
  expect_all_let_go();
  EXPECT_EQ(taken_.finished, 0);
  expect_alive();
}

TEST_F(StreamTest, EndsABodyThatComesTooSlowly) {
  serve({.body_time = std::chrono::milliseconds(200)});
  Raw raw(server_->address());
  raw.send(put("a", letters(100'000)).substr(0, 50'000));
  EXPECT_EQ(raw.answer().status, 408);
  expect_all_let_go();
  EXPECT_EQ(taken_.dropped, 1);
}

TEST_F(StreamTest, SendsAnswersOfAnyLength) {
  serve();
  Raw raw(server_->address());
  for (const std::size_t size : {0ul, 1ul, 1ul << 20, 7'654'321ul}) {
    raw.send(get("/files?size=" + std::to_string(size)));
    RawAnswer answer = raw.answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers["content-length"], std::to_string(size));
    EXPECT_TRUE(answer.body == letters(size)) << size;
  }
  raw.send("HEAD /files?size=5000000 HTTP/1.1\r\nHost: test\r\n\r\n" + get("/things/a"));
  EXPECT_EQ(raw.answer(true).headers["content-length"], "5000000");
  EXPECT_EQ(raw.answer().body, "a of user:ana");
}

TEST_F(StreamTest, BreaksOffAnAnswerThatCannotBeWhole) {
  serve();
  Raw raw(server_->address());
  raw.send(get("/files?size=5000000&breaks_at=3000000"));
  EXPECT_EQ(raw.answer().status, 0);
  expect_alive();
}

TEST_F(StreamTest, EndsAnAnswerThatNobodyTakes) {
  serve({.body_time = std::chrono::milliseconds(300)});
  Raw raw(server_->address());
  raw.send(get("/files?size=64000000"));
  EXPECT_TRUE(raw.some().starts_with("HTTP/1.1 200"));  // it begins, and nobody reads further
  bool ended = false;
  for (int at = 0; at < 3000 && !ended; ++at) {
    ended = metrics_.expose().find("penstock_http_connections 0") != std::string::npos;
    if (!ended) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(ended);
}

TEST_F(StreamTest, LimitsHowManyStreamsAreUnderWay) {
  serve({.streams_max = 2});
  const std::string half = put("a", letters(3'000'000)).substr(0, 2'000'000);
  Raw first(server_->address()), second(server_->address());
  first.send(half);
  second.send(half);
  while (taken_.open < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(ask(put("a", "x")).status, 503);
  EXPECT_EQ(ask(get("/files?size=5000000")).status, 503);
  EXPECT_EQ(ask(get("/things/a")).status, 200);
  first.end();
  second.end();
  expect_all_let_go();
  EXPECT_EQ(ask(put("a", "x")).body, told("x"));
}

TEST_F(StreamTest, StopsWithBodiesUnderWay) {
  serve({.drain_time = std::chrono::milliseconds(100)});
  Raw raw(server_->address());
  raw.send(put("a", letters(3'000'000)).substr(0, 2'000'000));
  while (taken_.open < 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  server_->stop();
  server_.reset();
  EXPECT_EQ(taken_.open, 0);
  EXPECT_EQ(taken_.finished, 0);
}

}  // namespace
}  // namespace penstock::net
