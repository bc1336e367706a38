#include <gtest/gtest.h>

#include "adapters/redis/redis.h"
#include "tests/support/fixture.h"

namespace penstock::redis {
namespace {

std::string said(const std::string& url) {
  const auto options = read_url(url);
  if (!options) return options.error().message;
  std::string out;
  for (const Server& server : options->servers) out += server.text() + " ";
  return out + options->user + "/" + options->password + " " + std::to_string(options->database) +
         (options->cluster ? " cluster" : "") + (options->tls ? " tls " + options->ca_file : "") +
         " " + options->prefix + " " + std::to_string(options->read_time.count() / 1000) + " " +
         std::to_string(options->write_time.count() / 1000);
}

TEST(RedisUrlTest, SaysWhereRedisIs) {
  struct Case {
    std::string url, expected;
  };
  const Case cases[] = {
      {"redis://h", "h:6379 / 0 penstock 1000 5000"},
      {"redis://h:1/", "h:1 / 0 penstock 1000 5000"},
      {"redis://h:1/15?prefix=a.b_c-1&read_time=250ms&write_time=2s", "h:1 / 15 a.b_c-1 250 2000"},
      {"redis://:p%40ss@h:1", "h:1 /p@ss 0 penstock 1000 5000"},
      {"redis://u:${ENV:A%40}@h:1/2", "h:1 u/${ENV:A%40} 2 penstock 1000 5000"},
      {"redis://u:file:/run/secrets/a@b@[::1]:7",
       "[::1]:7 u/file:/run/secrets/a@b 0 penstock 1000 5000"},
      {"redis+cluster://a:1,b,[fe80::1]",
       "a:1 b:6379 [fe80::1]:6379 / 0 cluster penstock 1000 5000"},
      {"rediss+cluster://a:1?ca_file=/etc/ca%20file",
       "a:1 / 0 cluster tls /etc/ca file penstock 1000 5000"},
  };
  for (const Case& c : cases) EXPECT_EQ(said(c.url), c.expected) << c.url;
}

TEST(RedisUrlTest, RefusesWhatIsNoneWithoutSayingItsPassword) {
  struct Case {
    std::string url, fault;
  };
  const Case cases[] = {
      {"", "must begin with redis://"},
      {"http://h", "must begin with redis://"},
      {"redis:h", "must begin with redis://"},
      {"redis+sentinel://h", "must begin with redis://"},
      {"redis://", "names no host"},
      {"redis://u:secret@", "names no host"},
      {"redis://u:secret@h:0", "the port of h must be a number"},
      {"redis://u:secret@h:70000", "the port of h must be a number"},
      {"redis://u:secret@h:x", "the port of h must be a number"},
      {"redis://[::1", "must stand in [ ]"},
      {"redis://[::1]7", "after ] there may only be :PORT"},
      {"redis://::1", "names no host"},
      {"redis://u:secret@h/x", "the database after / must be a number"},
      {"redis://u:secret@h/-1", "the database after / must be a number"},
      {"redis://a,b", "several hosts are for redis+cluster://"},
      {"redis+cluster://a/1", "a cluster has only database 0"},
      {"redis://u:secret%4@h", "two hexadecimal digits"},
      {"redis://u@h", "a user needs a password"},
      {"redis://u:secret@h?color=red", "there is no setting color"},
      {"redis://u:secret@h?prefix=", "prefix must be"},
      {"redis://u:secret@h?prefix={a}", "prefix must be"},
      {"redis://u:secret@h?read_time=1", "read_time must be a time"},
      {"redis://u:secret@h?write_time=6m", "write_time must be a time"},
      {"redis://u:secret@h?connections=0", "connections must be a number"},
      {"redis://u:secret@h?ca_file=/x", "ca_file is for rediss://"},
  };
  for (const Case& c : cases) {
    const auto options = read_url(c.url);
    ASSERT_FALSE(options) << c.url;
    EXPECT_EQ(options.error().code, Code::invalid_argument);
    EXPECT_NE(options.error().message.find(c.fault), std::string::npos) << options.error().message;
    EXPECT_EQ(options.error().message.find("secret"), std::string::npos) << options.error().message;
  }
}

}  // namespace
}  // namespace penstock::redis
