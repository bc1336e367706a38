#include "base/urn.h"

#include <random>
#include <set>
#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(UrnNameTest, EveryNameIsWrittenInItsOwnWayAndReadBack) {
  std::mt19937 random(3);
  const std::string letters = "abv2-~%. ü/:@-v";
  std::set<std::string> names = {"m-v2", "m-v", "-v2", "a-v2-v3", "m~2Dv2",
                                 "~",    "~2",  "~7E", "a b"};
  for (int i = 0; i < 5'000; ++i) {
    std::string name;
    for (std::size_t n = 1 + random() % 8; n > 0; --n) name += letters[random() % letters.size()];
    names.insert(name);
  }
  std::set<std::string> written;
  for (const std::string& name : names) {
    const std::string urn = urn_name(name);
    EXPECT_EQ(plain_name(urn), name);
    EXPECT_TRUE(written.insert(urn).second) << name << " is written as another name is: " << urn;
    const auto parsed = Urn::parse("model:" + urn + "@v1");
    ASSERT_TRUE(parsed) << urn;
    EXPECT_EQ(parsed->name, urn);
    EXPECT_EQ(urn.find('/'), std::string::npos);
  }
}

TEST(UrnNameTest, PlainNamesStayAsTheyAre) {
  for (const char* name : {"ticket-escalation", "a.b_c-1", "m-version2", "v2"})
    EXPECT_EQ(urn_name(name), name);
  EXPECT_EQ(urn_name("my model"), "my~20model");
  EXPECT_EQ(urn_name("m-v2"), "m~2Dv2") << "or it would be version 2 of m";
}

}  // namespace
}  // namespace penstock
