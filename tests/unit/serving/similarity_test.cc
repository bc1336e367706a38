#include "serving/similarity.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace penstock::serving {
namespace {

TEST(SimilarityTest, CountsWhatTwoTextsShare) {
  EXPECT_EQ(similarity("", ""), 1);
  EXPECT_EQ(similarity("", "a"), 0);
  EXPECT_EQ(similarity("The plane is late.", "the  PLANE\nis late. "), 1);
  EXPECT_EQ(similarity("abc", "xyz"), 0);
  // ..n .ni nig igh ght ht. t.. and ..n .na nac ach cht ht. t..: three of seven each.
  EXPECT_DOUBLE_EQ(similarity("night", "nacht"), 3.0 / 7);
  // A text twice has twice its trigrams: a multiset, not a set.
  EXPECT_LT(similarity("aaaa", "aaaaaaaa"), 1);
  const std::string answer = "Your flight UA1 leaves at noon from gate B7.";
  const double near = similarity(answer, "Your flight UA1 leaves at noon from gate B9.");
  const double far = similarity(answer, "I cannot help with that.");
  EXPECT_GT(near, 0.9);
  EXPECT_LT(far, 0.3);
}

TEST(SimilarityTest, IsSymmetricBoundedAndNearerForFewerChanges) {
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    std::string one, other;
    for (auto n = random() % 400; n > 0; --n) one += static_cast<char>(random());
    for (auto n = random() % 400; n > 0; --n) other += static_cast<char>(random());
    const double is = similarity(one, other);
    EXPECT_EQ(is, similarity(other, one));
    EXPECT_GE(is, 0);
    EXPECT_LE(is, 1);
    EXPECT_EQ(similarity(one, one), 1);
  }
  const std::string text(1'000, 'x');
  std::string changed = text;
  double last = 1;
  for (std::size_t i = 0; i < 10; ++i) {
    changed[i * 90 + 5] = 'y';
    const double is = similarity(text, changed);
    EXPECT_LT(is, last);
    last = is;
  }
}

TEST(SimilarityTest, ReadsNoMoreThanItsBound) {
  const std::string text(compared_text_max, 'a');
  EXPECT_EQ(similarity(text + std::string(5 << 20, 'b'), text + "c"), 1);
}

}  // namespace
}  // namespace penstock::serving
