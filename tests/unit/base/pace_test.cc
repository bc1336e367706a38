#include "base/pace.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

void settle(Pace& pace, std::int64_t microseconds) {
  for (int i = 0; i < 300; ++i) {
    pace.is_brief();
    pace.took(microseconds);
  }
}

TEST(PaceTest, SendsToTheWorkersWhatItDoesNotKnow) { EXPECT_FALSE(Pace().is_brief()); }

TEST(PaceTest, KeepsWhatIsShort) {
  Pace pace;
  settle(pace, 100);
  EXPECT_TRUE(pace.is_brief());
}

TEST(PaceTest, SendsAwayWhatGrewLong) {
  Pace pace;
  settle(pace, 100);
  settle(pace, 1'000);
  EXPECT_FALSE(pace.is_brief());
  settle(pace, 100);
  EXPECT_TRUE(pace.is_brief());
}

TEST(PaceTest, ForgivesOneSlowAnswerAfterAWhile) {
  Pace pace;
  settle(pace, 100);
  pace.took(10 * Pace::slow);
  EXPECT_FALSE(pace.is_brief());
  for (int i = 0; i < Pace::sentence; ++i) {
    pace.is_brief();
    pace.took(100);
  }
  EXPECT_TRUE(pace.is_brief());
}

}  // namespace
}  // namespace penstock
