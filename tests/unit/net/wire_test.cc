#include "net/wire.h"

#include <gtest/gtest.h>

#include "net/gzip.h"
#include "tests/support/fixture.h"

namespace penstock::net {
namespace {

TEST(WireTest, SaysWhoTakesGzip) {
  const std::pair<const char*, bool> cases[] = {{"gzip", true},
                                                {"GZIP", true},
                                                {"br, gzip", true},
                                                {"br;q=1, gzip;q=0.5", true},
                                                {"gzip;q=0", false},
                                                {"gzip; q=0.0", false},
                                                {"*", true},
                                                {"identity", false},
                                                {"", false},
                                                {"xgzip", false},
                                                {",,", false},
                                                {"gzip;q=0.001", true},
                                                {"identity;q=0,*", true}};
  for (const auto& [header, takes] : cases) EXPECT_EQ(accepts_gzip(header), takes) << header;
}

TEST(WireTest, ReadsTargets) {
  struct Case {
    std::string target, path, query;
  };
  const Case cases[] = {{"/a?x=1&y=a%20b+c&z", "/a", "x=1;y=a b c;z=;"},
                        {"/a", "/a", ""},
                        {"/a?", "/a", ""},
                        {"/a?&&x=1&", "/a", "x=1;"},
                        {"/a?x=a=b", "/a", "x=a=b;"},
                        {"http://host:80/a?x=1", "/a", "x=1;"},
                        {"http://host", "/", ""},
                        {"http://host?x=1", "/", "x=1;"},
                        {"*", "*", ""},
                        {"", "/", ""}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.target);
    api::Request request;
    test::must(read_target(c.target, request));
    std::string query;
    for (const auto& [name, value] : request.query) query += name + "=" + value + ";";
    EXPECT_EQ(request.path, c.path);
    EXPECT_EQ(query, c.query);
  }
  for (const char* broken : {"/a?x=%", "/a?x=%4", "/a?%zz=1"}) {
    api::Request request;
    EXPECT_FALSE(read_target(broken, request)) << broken;
    EXPECT_EQ(request.path, "/a");
  }
}

TEST(WireTest, TakesTheCallersDeadlineWithinLimits) {
  ManualClock clock;
  const auto wait = [&](const char* header) -> std::optional<Micros> {
    api::Request request;
    if (header) request.headers = {{"x-request-timeout", header}};
    const auto at = deadline_of(request, clock, std::chrono::seconds(60), std::chrono::minutes(10));
    return at ? std::optional(*at - clock.now()) : std::nullopt;
  };
  EXPECT_EQ(wait(nullptr), std::chrono::seconds(60));
  EXPECT_EQ(wait("2s"), std::chrono::seconds(2));
  EXPECT_EQ(wait("5m"), std::chrono::minutes(5));
  EXPECT_EQ(wait("6h"), std::chrono::minutes(10));
  for (const char* bad : {"", "2", "soon", "-2s", "0s"}) EXPECT_FALSE(wait(bad)) << bad;
}

TEST(WireTest, WritesAHeadThatNoHeaderCanBreak) {
  std::string head;
  const Timestamp at = *from_rfc3339("2026-11-24T00:06:46Z");
  append_head(head,
              {.status = 503,
               .body = "12345",
               .content_type = "text/plain",
               .headers = {{"X-One", "a"}, {"X-Two", "a\r\nSet-Cookie: b"}, {"X\n", "c"}}},
              {.keep_alive = false, .date = at});
  EXPECT_EQ(head,
            "HTTP/1.1 503 Service Unavailable\r\nServer: penstock\r\n"
            "Date: Tue, 24 Nov 2026 00:06:46 GMT\r\nConnection: close\r\n"
            "Content-Type: text/plain\r\nX-One: a\r\nContent-Length: 5\r\n\r\n");
  std::string old;
  append_head(old, {.status = 204}, {.http_1_0 = true, .date = at + std::chrono::seconds(1)});
  EXPECT_EQ(old,
            "HTTP/1.0 204 No Content\r\nServer: penstock\r\nDate: Tue, 24 Nov 2026 00:06:47 GMT\r\n"
            "Connection: keep-alive\r\n\r\n");
}

TEST(WireTest, SpeaksTheErrorsOfEachProtocol) {
  const Error error{Code::not_found, "no \"x\""};
  const auto own = error_response("/api/v1/models", error);
  EXPECT_EQ(own.content_type, "application/problem+json");
  EXPECT_EQ(json::parse(own.body).at("detail"), "no \"x\"");
  const auto too_long = error_response("/v20", error, 413);
  EXPECT_EQ(too_long.status, 413);
  EXPECT_EQ(json::parse(too_long.body).at("status"), 413);
  const auto v2 = error_response("/v2/models/a", error);
  EXPECT_EQ(v2.status, 404);
  EXPECT_EQ(v2.body, R"({"error":"no \"x\""})");
}

TEST(GzipTest, PacksAndUnpacks) {
  for (const std::size_t size : {0u, 1u, 65'535u, 65'536u, 65'537u, 1'000'000u}) {
    std::string text;
    for (std::size_t i = 0; i < size; ++i) text += static_cast<char>('a' + i * i % 23);
    EXPECT_EQ(test::must(inflated(gzipped(text), size)), text) << size;
  }
  EXPECT_EQ(test::must(inflated(gzipped("one ") + gzipped("two"), 100)), "one two");
}

TEST(GzipTest, RefusesWhatGrowsTooLargeOrIsBroken) {
  const std::string packed = gzipped(std::string(1'000'000, '0'));
  EXPECT_LT(packed.size(), 10'000u);
  const auto bomb = inflated(packed, 999'999);
  ASSERT_FALSE(bomb);
  EXPECT_EQ(bomb.error().code, Code::resource_exhausted);
  EXPECT_TRUE(inflated(packed, 1'000'000));
  for (std::size_t size = 0; size < 100; ++size)
    EXPECT_FALSE(inflated(packed.substr(0, packed.size() * size / 100), 2'000'000)) << size;
  EXPECT_FALSE(inflated("no gzip at all", 100));
  std::string changed = packed;
  changed[changed.size() - 6] ^= 1;  // the checksum
  EXPECT_FALSE(inflated(changed, 2'000'000));
}

}  // namespace
}  // namespace penstock::net
