// What the answer cache gives back, and what it forgets.
#include "serving/cache.h"

#include <random>

#include <gtest/gtest.h>

namespace penstock::serving {
namespace {

Timestamp at(std::int64_t seconds) { return Timestamp(std::chrono::seconds(seconds)); }

CachedAnswer answer(const std::string& body) {
  return {.content_type = "application/json", .body = body, .prediction = "p"};
}

TEST(AnswerCacheTest, KeysDifferWhereAnyPartDoes) {
  const std::string key = AnswerCache::key_of("a", "d", "/v1", "{}");
  EXPECT_EQ(key, AnswerCache::key_of("a", "d", "/v1", "{}"));
  EXPECT_NE(key, AnswerCache::key_of("b", "d", "/v1", "{}"));
  EXPECT_NE(key, AnswerCache::key_of("a", "e", "/v1", "{}"));
  EXPECT_NE(key, AnswerCache::key_of("a", "d", "/v2", "{}"));
  EXPECT_NE(key, AnswerCache::key_of("a", "d", "/v1", "{ }"));
  EXPECT_NE(AnswerCache::key_of("ab", "c", "", ""), AnswerCache::key_of("a", "bc", "", ""));
}

TEST(AnswerCacheTest, ForgetsAtItsTimeAndNotBefore) {
  AnswerCache cache(1 << 20);
  cache.put("k", answer("one"), at(10));
  ASSERT_NE(cache.find("k", at(9)), nullptr);
  EXPECT_EQ(cache.find("k", at(9))->body, "one");
  EXPECT_EQ(cache.find("k", at(10)), nullptr);
  EXPECT_EQ(cache.entries(), 0U);
  EXPECT_EQ(cache.bytes(), 0);
}

TEST(AnswerCacheTest, KeepsWithinItsBytesAndDropsTheLeastRecentlyUsed) {
  AnswerCache cache(4'000);
  for (const char* key : {"a", "b", "c"}) cache.put(key, answer(std::string(500, 'x')), at(10));
  ASSERT_NE(cache.find("a", at(1)), nullptr);
  for (const char* key : {"d", "e"}) cache.put(key, answer(std::string(500, 'x')), at(10));
  EXPECT_NE(cache.find("a", at(1)), nullptr);
  EXPECT_EQ(cache.find("b", at(1)), nullptr);
  cache.put("huge", answer(std::string(1'000, 'x')), at(10));
  EXPECT_EQ(cache.find("huge", at(1)), nullptr);
  EXPECT_LE(cache.bytes(), 4'000);
}

TEST(AnswerCacheTest, AnswersAsAMapWouldWhereNothingIsForgotten) {
  std::mt19937 random(3);
  AnswerCache cache(64 << 20);
  std::map<std::string, std::string> oracle;
  for (int round = 0; round < 5'000; ++round) {
    const std::string key = std::to_string(random() % 200);
    if (random() % 2) {
      const std::string body = std::to_string(random());
      cache.put(key, answer(body), at(1'000));
      oracle[key] = body;
    }
    const auto found = cache.find(key, at(1));
    ASSERT_EQ(found != nullptr, oracle.contains(key));
    if (found) {
      ASSERT_EQ(found->body, oracle[key]);
    }
  }
  EXPECT_EQ(cache.entries(), oracle.size());
}

}  // namespace
}  // namespace penstock::serving
