// What this server posts to the outside, and where to it will not.
#include "net/post.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include "tests/unit/net/world.h"

namespace penstock::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using test::must;

TEST(PostTest, KnowsWhichAddressesAreTheInternets) {
  for (const char* address :
       {"93.184.216.34", "8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1",
        "100.128.0.1", "192.167.0.1", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8",
        "64:ff9b::808:808", "2002:808:808::1", "2001:4860:4860::8888"})
    EXPECT_TRUE(is_public_address(address)) << address;
  for (const char* address : {"127.0.0.1",
                              "127.8.9.1",
                              "10.0.0.1",
                              "172.16.0.1",
                              "172.31.255.255",
                              "192.168.1.1",
                              "169.254.169.254",
                              "0.0.0.0",
                              "100.64.0.1",
                              "192.0.0.8",
                              "192.0.2.1",
                              "198.18.0.1",
                              "198.19.255.255",
                              "198.51.100.7",
                              "203.0.113.9",
                              "224.0.0.1",
                              "255.255.255.255",
                              "240.0.0.1",
                              "::",
                              "::1",
                              "fe80::1",
                              "fc00::1",
                              "fd12::1",
                              "ff02::1",
                              "::ffff:127.0.0.1",
                              "::ffff:10.0.0.1",
                              "64:ff9b::7f00:1",
                              "2002:7f00:1::",
                              "2001:db8::1",
                              "2001::1",
                              "3fff::1",
                              "no address",
                              ""})
    EXPECT_FALSE(is_public_address(address)) << address;
}

TEST(PostTest, RefusesAddressesThatItMayNotOrCannotPostTo) {
  const PostLimits open{.allow_http = true, .allow_private = true};
  for (const char* url :
       {"", "a.example", "ftp://a.example/", "https://", "https:///x", "https://a b/",
        "https://a.example:0/", "https://a.example:65536/", "https://a.example:x/",
        "https://ana:pass@a.example/", "https://a.example/\r\nX: y", "https://ä.example/"}) {
    const auto refused = check_post_url(url, open);
    ASSERT_FALSE(refused) << url;
    EXPECT_EQ(refused.error().code, Code::invalid_argument) << url;
    EXPECT_FALSE(post(url, {}, "", open)) << url;
  }
  for (const char* url : {"http://127.0.0.1/", "https://localhost", "https://[::1]:8/x?y#z"})
    must(check_post_url(url, open));
  EXPECT_FALSE(check_post_url("https://a.example/" + std::string(2'000, 'x'), open));
  for (const char* url : {"https://127.0.0.1/", "https://localhost:8080/x", "https://[::1]/",
                          "https://10.1.2.3/", "https://169.254.169.254/latest", "https://127.1/",
                          "https://2130706433/", "https://[::ffff:127.0.0.1]/"}) {
    const auto refused = check_post_url(url, {});
    ASSERT_FALSE(refused) << url;
    EXPECT_NE(refused.error().message.find("not a public address"), std::string::npos)
        << refused.error().message;
    EXPECT_FALSE(post(url, {}, "", {})) << url;
  }
  const auto plain = check_post_url("http://8.8.8.8/", {});
  ASSERT_FALSE(plain);
  EXPECT_NE(plain.error().message.find("only https://"), std::string::npos);
  must(check_post_url("http://8.8.8.8/", {.allow_http = true}));
}

// Answers one request with these bytes, and hangs up.
class OneAnswer {
 public:
  explicit OneAnswer(std::string bytes) : bytes_(std::move(bytes)) {
    thread_ = std::jthread([this] {
      tcp::socket socket(loop_);
      boost::system::error_code fault;
      acceptor_.accept(socket, fault);
      char request[1'000];
      socket.read_some(asio::buffer(request), fault);
      asio::write(socket, asio::buffer(bytes_), fault);
    });
  }
  std::string url() const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()) + "/";
  }

 private:
  std::string bytes_;
  asio::io_context loop_;
  tcp::acceptor acceptor_{loop_, {asio::ip::address_v4::loopback(), 0}};
  std::jthread thread_;
};

TEST(PostTest, AnAnswerIsOneByItsStatus) {
  const PostLimits open{.answer_max = 10, .allow_http = true, .allow_private = true};
  const std::pair<std::string, std::optional<int>> cases[] = {
      {"HTTP/1.1 204 No Content\r\n\r\n", 204},
      {"HTTP/1.0 200 OK\r\n\r\nall", 200},
      {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall", 200},
      {"HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nall", 500},
      {"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", 302},
      {"HTTP/1.1 200 OK\r\nContent-Le", {}},
      {"SSH-2.0-OpenSSH_9.2\r\n", {}},
      {"", {}},
  };
  for (const auto& [bytes, status] : cases) {
    OneAnswer there(bytes);
    const auto answer = post(there.url(), {}, "{}", open);
    EXPECT_EQ(answer ? std::optional(answer->status) : std::nullopt, status) << bytes;
  }
}

class PostServerTest : public ServerTest {
 protected:
  std::string url(const std::string& path) { return "http://" + server_->address() + path; }
  const PostLimits limits_{.answer_max = 1'000, .allow_http = true, .allow_private = true};
};

TEST_F(PostServerTest, BringsTheAnswerBack) {
  start({}, {route_of("POST", "/headers", [](const Call&, const api::Request& request) {
          return api::Response{.status = 202,
                               .body = *request.header("x-mine") + " " + request.body};
        })});
  const auto answer = must(net::post(url("/headers"), {{"X-Mine", "yes"}}, "body", limits_));
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(answer.body, "yes body");
  EXPECT_EQ(must(net::post(url("/nowhere"), {}, "", limits_)).status, 404);
  const auto large = must(net::post(url("/echo"), {}, std::string(5'000, 'x'), limits_));
  EXPECT_EQ(large.status, 200);
  EXPECT_LE(large.body.size(), 1'000U);
}

TEST_F(PostServerTest, DoesNotWaitLongerThanItMay) {
  Gate gate;
  start({}, {route_of("POST", "/waits", [&](const Call&, const api::Request&) {
          gate.wait();
          return api::Response{};
        })});
  PostLimits hasty = limits_;
  hasty.time = std::chrono::milliseconds(200);
  const auto late = net::post(url("/waits"), {}, "", hasty);
  gate.opened.set_value();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::unavailable);
  server_->stop();
  EXPECT_EQ(net::post(url("/waits"), {}, "", hasty).error().code, Code::unavailable);
}

TEST_F(PostServerTest, SpeaksTlsOnlyWithWhomItCanTrust) {
  start();
  const std::string there = "https://" + server_->address() + "/echo";
  EXPECT_EQ(net::post(there, {}, "", limits_).error().code, Code::unavailable);
  PostLimits lost = limits_;
  lost.ca_file = "/nowhere/ca.pem";
  const auto refused = net::post(there, {}, "", lost);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("/nowhere/ca.pem"), std::string::npos);
}

}  // namespace
}  // namespace penstock::net
