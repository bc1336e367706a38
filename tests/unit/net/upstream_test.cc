// Connections to other servers: kept, replaced, counted, trusted; by the blocking way to them.
#include "net/upstream.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/unit/net/forward_world.h"

namespace penstock::net {
namespace {

using std::chrono::milliseconds;

class UpstreamTest : public ForwardTest {
 protected:
  void TearDown() override {
    if (server_) server_->stop();
    server_.reset();
    caller_.reset();
  }
  void begin(UpstreamOptions options = {}) {
    caller_ = std::make_shared<Upstreams>(metrics_, clock_, options);
  }
  Result<http::Answer> send(std::shared_ptr<const http::Endpoint> to = nullptr,
                            Micros time = std::chrono::seconds(20),
                            const std::string& method = "POST") {
    http::Request request;
    request.method = method;
    request.target = "/chat";
    request.body = "{}";
    return caller_->send(to ? to : endpoint_, request, clock_.now() + time);
  }
  void expect_fault(const Result<http::Answer>& got, Code code, const std::string& text) {
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, code) << got.error().message;
    EXPECT_NE(got.error().message.find(text), std::string::npos) << got.error().message;
    EXPECT_NE(got.error().message.find("upstream model"), std::string::npos);
    EXPECT_EQ(got.error().message.find("s3cret"), std::string::npos);
  }

  std::shared_ptr<Upstreams> caller_;
};

TEST_F(UpstreamTest, SendsOnOneConnectionAndTakesAnyStatus) {
  upstream([](Peer& peer, int) {
    for (int status = 500; !peer.request().empty(); ++status)
      peer.send("HTTP/1.1 " + std::to_string(status) +
                " X\r\nX-A: b\r\nContent-Length: 2\r\n\r\nno");
  });
  begin();
  for (int status = 500; status < 510; ++status) {
    const auto answer = test::must(send());
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(answer.body, "no");
    EXPECT_EQ(answer.headers.front(), (std::pair<std::string, std::string>("x-a", "b")));
  }
  EXPECT_EQ(upstream_->connections(), 1);
}

TEST_F(UpstreamTest, ReadsNoBodyAfterHead) {
  upstream([](Peer& peer, int) {
    while (!peer.request().empty()) peer.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
  });
  begin();
  EXPECT_EQ(test::must(send(nullptr, std::chrono::seconds(20), "HEAD")).body, "");
  EXPECT_EQ(test::must(send(nullptr, std::chrono::seconds(20), "HEAD")).status, 200);
  EXPECT_EQ(upstream_->connections(), 1);
}

TEST_F(UpstreamTest, SharesConnectionsByNameAndAddress) {
  upstream(always("ok"));
  begin();
  for (int i = 0; i < 3; ++i) test::must(send(endpoint([](auto&) {})));
  EXPECT_EQ(upstream_->connections(), 1);
  test::must(send(endpoint([](auto& e) { e.name = "model two"; })));
  EXPECT_EQ(upstream_->connections(), 2);
}

TEST_F(UpstreamTest, ReplacesAKeptConnectionOnceWhereNothingCameBack) {
  upstream([](Peer& peer, int number) {
    peer.request();
    if (number == 2) return;  // the replacement fails as well
    peer.answer("ok");
    peer.request();  // and closed without a word
  });
  begin();
  EXPECT_EQ(test::must(send()).body, "ok");
  EXPECT_EQ(test::must(send()).body, "ok");
  EXPECT_EQ(upstream_->connections(), 2);
  expect_fault(send(), Code::unavailable, "before a whole head");
  EXPECT_EQ(upstream_->connections(), 3);
}

TEST_F(UpstreamTest, RepeatsNothingOfWhichSomethingCameBack) {
  upstream([](Peer& peer, int) {
    peer.request();
    peer.answer("ok");
    peer.request();
    peer.send("HTTP/1.1 200");
  });
  begin();
  EXPECT_EQ(test::must(send()).body, "ok");
  expect_fault(send(), Code::unavailable, "ended");
  EXPECT_EQ(upstream_->connections(), 1);
}

TEST_F(UpstreamTest, SurvivesAServerThatClosesAfterEveryAnswer) {
  upstream([](Peer& peer, int) {
    peer.request();
    peer.answer("ok");
  });
  begin();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(test::must(send()).body, "ok");
}

TEST_F(UpstreamTest, ClosesAConnectionOnWhichTooMuchCame) {
  upstream([](Peer& peer, int) {
    peer.request();
    peer.send(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: "
        "4\r\n\r\nevil");
    peer.wait_for_end();
  });
  begin();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(test::must(send()).body, "ok");
  EXPECT_EQ(upstream_->connections(), 5);
  std::promise<void> answered;
  upstream([&](Peer& peer, int number) {
    peer.request();
    peer.answer("ok");
    if (number > 0) return peer.wait_for_end();
    answered.get_future().wait();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    peer.wait_for_end();
  });
  EXPECT_EQ(test::must(send()).body, "ok");
  answered.set_value();
  while (upstream_->open() > 0) std::this_thread::yield();
  EXPECT_EQ(test::must(send()).body, "ok");
}

TEST_F(UpstreamTest, EndsUnusedConnectionsAfterATime) {
  upstream(always("ok"));
  begin({.keep_time = milliseconds(20)});
  EXPECT_EQ(test::must(send()).body, "ok");
  for (int at = 0; at < 3'000 && upstream_->open() > 0; ++at)
    std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(upstream_->open(), 0);
  wait_for_metric("penstock_upstream_connections{", 0);
}

TEST_F(UpstreamTest, NeverOpensMoreThanItMay) {
  std::promise<void> go_on;
  std::atomic<int> arrived = 0;
  upstream([&, open = go_on.get_future().share()](Peer& peer, int) {
    while (!peer.request().empty()) {
      ++arrived;
      open.wait();
      peer.answer("ok");
    }
  });
  const auto two = endpoint([](auto& e) { e.connections_max = 2; });
  begin();
  auto first = std::async(std::launch::async, [&] { return send(two); });
  auto second = std::async(std::launch::async, [&] { return send(two); });
  while (arrived < 2) std::this_thread::yield();
  expect_fault(send(two), Code::resource_exhausted, "all its 2 connections are in use");
  go_on.set_value();
  EXPECT_EQ(test::must(first.get()).body, "ok");
  EXPECT_EQ(test::must(second.get()).body, "ok");
  EXPECT_EQ(test::must(send(two)).body, "ok");
  EXPECT_EQ(upstream_->connections(), 2);
}

TEST_F(UpstreamTest, TakesOverAPlaceThatAnotherLoopDoesNotUse) {
  upstream(always("ok"));
  endpoint_->connections_max = 1;
  begin();
  plan_ = once();
  api::Route route{.method = "POST", .path = "/forward", .permission = api::Permission::infer};
  route.forward = [this](const Call&, api::Request&) {
    return std::make_shared<Planned>(plan_, told_);
  };
  server_ = std::make_unique<Server>(ServerOptions{.address = "127.0.0.1:0"},
                                     std::vector<api::Route>{route}, authorize, metrics_, clock_,
                                     caller_);
  test::must(server_->start());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ask(call_text()).body, "ok");
    EXPECT_EQ(test::must(send()).body, "ok");
  }
  wait_for_metric("penstock_upstream_connections{", 1);
}

TEST_F(UpstreamTest, IsSafeFromManyThreads) {
  upstream([](Peer& peer, int) {
    for (std::string request = peer.request(); !request.empty(); request = peer.request())
      peer.answer(request.substr(request.find("\r\n\r\n") + 4));
  });
  begin();
  std::vector<std::jthread> threads;
  std::atomic<int> right = 0;
  for (int thread = 0; thread < 8; ++thread)
    threads.emplace_back([&, thread] {
      for (int at = 0; at < 50; ++at) {
        http::Request request;
        request.target = "/chat";
        request.body =
            std::string(static_cast<std::size_t>(at * 500), 'x') + std::to_string(thread);
        const auto got = caller_->send(endpoint_, request, clock_.now() + std::chrono::seconds(20));
        if (got && got->body == request.body) ++right;
      }
    });
  threads.clear();
  EXPECT_EQ(right, 400);
  EXPECT_LE(upstream_->connections(), 8);
}

TEST_F(UpstreamTest, SaysWhatWentWrong) {
  upstream([](Peer& peer, int) { peer.wait_for_end(); });
  begin();
  expect_fault(send(endpoint([](auto& e) { e.port = "1"; })), Code::unavailable, "refused");
  expect_fault(send(endpoint([](auto& e) { e.host = "no.such.host.invalid"; })), Code::unavailable,
               "its name is not known");
  expect_fault(send(nullptr, milliseconds(30)), Code::deadline_exceeded, "deadline");
  expect_fault(send(endpoint([](auto& e) { e.first_byte_time = milliseconds(30); })),
               Code::deadline_exceeded, "did not begin in time");
}

TEST_F(UpstreamTest, FindsHostsByName) {
  upstream(always("ok"));
  begin();
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(test::must(send(endpoint([](auto& e) { e.host = "localhost"; }))).body, "ok");
  EXPECT_EQ(upstream_->connections(), 1);
}

TEST_F(UpstreamTest, SendsLargeBodiesAndTakesAnAnswerBeforeTheyAreSent) {
  const std::string large(8 << 20, 'x');
  upstream([&](Peer& peer, int number) {
    if (number == 0) {
      const std::string request = peer.request();
      peer.answer(std::to_string(request.size() - request.find("\r\n\r\n") - 4));
      return peer.wait_for_end();
    }
    peer.send("HTTP/1.1 413 Too much\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    peer.wait_for_end();
  });
  begin();
  http::Request request;
  request.target = "/chat";
  request.body = large;
  const Timestamp by = clock_.now() + std::chrono::seconds(20);
  EXPECT_EQ(test::must(caller_->send(endpoint_, request, by)).body, std::to_string(large.size()));
  const auto other = endpoint([](auto& e) { e.name = "model two"; });
  EXPECT_EQ(test::must(caller_->send(other, request, by)).status, 413);
}

// TLS.

struct Certificate {
  std::string pem, key;
};

// Of this name or address, signed by itself.
Certificate certificate_of(const std::string& subject_name) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* made = X509_new();
  X509_set_version(made, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
  X509_gmtime_adj(X509_getm_notBefore(made), -60);
  X509_gmtime_adj(X509_getm_notAfter(made), 3'600);
  X509_set_pubkey(made, key);
  X509_NAME* name = X509_get_subject_name(made);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
  X509_set_issuer_name(made, name);
  X509_EXTENSION* extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, subject_name.c_str());
  X509_add_ext(made, extension, -1);
  X509_EXTENSION_free(extension);
  X509_sign(made, key, EVP_sha256());
  const auto text_of = [](auto write) {
    BIO* memory = BIO_new(BIO_s_mem());
    write(memory);
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(memory);
    return text;
  };
  Certificate out{text_of([&](BIO* to) { PEM_write_bio_X509(to, made); }), text_of([&](BIO* to) {
                    PEM_write_bio_PrivateKey(to, key, nullptr, nullptr, 0, nullptr, nullptr);
                  })};
  X509_free(made);
  EVP_PKEY_free(key);
  return out;
}

class TlsUpstreamTest : public UpstreamTest {
 protected:
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);
    folder_ = std::filesystem::temp_directory_path() / ("upstream_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    UpstreamTest::TearDown();
    upstream_.reset();
    std::filesystem::remove_all(folder_);
  }
  std::string keep(const std::string& name, const std::string& text) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path) << text;
    return path;
  }
  // Answers over TLS with the request's body, with this certificate; `rude`: ends without a word.
  void tls_upstream(const Certificate& certificate, bool rude = false) {
    const std::string pem = keep("server.pem", certificate.pem);
    const std::string key = keep("server.key", certificate.key);
    upstream([=](Peer& peer, int) {
      SSL_CTX* context = SSL_CTX_new(TLS_server_method());
      SSL_CTX_use_certificate_file(context, pem.c_str(), SSL_FILETYPE_PEM);
      SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM);
      SSL* ssl = SSL_new(context);
      SSL_set_fd(ssl, peer.socket());
      if (SSL_accept(ssl) == 1) talk(ssl, rude);
      SSL_free(ssl);
      SSL_CTX_free(context);
    });
    endpoint_->tls = true;
    endpoint_->ca_file = keep("ca" + upstream_->port() + ".pem", certificate.pem);
  }
  static void talk(SSL* ssl, bool rude) {
    std::string read;
    char bytes[4'096];
    for (int size = 0; (size = SSL_read(ssl, bytes, sizeof bytes)) > 0;) {
      read.append(bytes, static_cast<std::size_t>(size));
      const std::size_t end = read.find("\r\n\r\n");
      if (end == read.npos) continue;
      const std::size_t length = std::stoul(read.substr(read.find("content-length: ") + 16));
      if (read.size() < end + 4 + length) continue;
      const std::string answer =
          rude ? "HTTP/1.1 200 OK\r\n\r\ncut"
               : "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n" +
                     read.substr(end + 4);
      read.clear();
      SSL_write(ssl, answer.data(), static_cast<int>(answer.size()));
      if (rude) return;
    }
  }

  std::filesystem::path folder_;
};

TEST_F(TlsUpstreamTest, SpeaksTlsOnKeptConnections) {
  tls_upstream(certificate_of("IP:127.0.0.1,DNS:localhost"));
  begin();
  http::Request request;
  request.target = "/chat";
  const Timestamp by = clock_.now() + std::chrono::seconds(20);
  for (const std::size_t size : {2ul, 3ul, 70'000ul, 5'000'000ul, 1ul}) {
    request.body = std::string(size, 'x');
    EXPECT_EQ(test::must(caller_->send(endpoint_, request, by)).body, request.body);
  }
  EXPECT_EQ(upstream_->connections(), 1);
  EXPECT_EQ(test::must(send(endpoint([](auto& e) { e.host = "localhost"; }))).body, "{}");
}

TEST_F(TlsUpstreamTest, TrustsNobodyElse) {
  begin();
  tls_upstream(certificate_of("DNS:elsewhere.test"));
  expect_fault(send(), Code::unavailable, "IP address mismatch");
  expect_fault(send(endpoint([](auto& e) { e.host = "localhost"; })), Code::unavailable,
               "hostname mismatch");
  tls_upstream(certificate_of("IP:127.0.0.1"));
  const std::string other = keep("other.pem", certificate_of("IP:127.0.0.1").pem);
  expect_fault(send(endpoint([&](auto& e) { e.ca_file = other; })), Code::unavailable,
               "TLS handshake failed");
  expect_fault(send(endpoint([](auto& e) { e.ca_file.clear(); })), Code::unavailable,
               "TLS handshake failed");
  expect_fault(send(endpoint([](auto& e) { e.ca_file = "no_such_file.pem"; })), Code::unavailable,
               "cannot be read");
  EXPECT_EQ(test::must(send()).body, "{}");
  upstream([](Peer& peer, int) {
    peer.send("HTTP/1.1 200 OK\r\n\r\n");
    peer.wait_for_end();
  });
  expect_fault(send(endpoint([](auto& e) { e.tls = true; })), Code::unavailable,
               "TLS handshake failed");
}

TEST_F(TlsUpstreamTest, TakesNoEndThatAnybodyCouldHaveMade) {
  tls_upstream(certificate_of("IP:127.0.0.1"), true);
  begin();
  ASSERT_FALSE(send());
}

}  // namespace
}  // namespace penstock::net
