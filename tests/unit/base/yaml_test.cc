#include "base/yaml.h"

#include <gtest/gtest.h>

namespace penstock::yaml {
namespace {

std::string problem_of(const std::string& text) {
  const auto read = parse(text);
  return read ? "" : read.error().message;
}

TEST(YamlTest, ReadsDocumentsAliasesAndTheirLines) {
  const auto read = parse("a: &x [1, {b: c}]\nd: *x\n---\n---\nkind: e\n");
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ(read->at(0).value.at("d"), read->at(0).value.at("a"));
  EXPECT_EQ(read->at(1).lines.at("kind"), 5);
}

TEST(YamlTest, RefusesWhatNeverEnds) {
  EXPECT_EQ(problem_of(", 2, {x: y}]\n---\nkind: model\n"),
            "line 1: what stands here belongs to nothing");
  EXPECT_NE(problem_of("]"), "");
  EXPECT_NE(problem_of("a: b\n}\n"), "");
}

TEST(YamlTest, RefusesAliasesThatStandForTooMuch) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1), name = "a" + std::to_string(i);
    text += name + ": &" + name + " [" + before;
    for (int j = 0; j < 8; ++j) text += ", " + before;
    text += "]\n";
  }
  EXPECT_NE(problem_of(text).find("more than 1,000,000 values"), std::string::npos)
      << problem_of(text);
  EXPECT_EQ(problem_of("a: &a [*a, *a]"), "line 1: an alias stands within what it stands for");
}

TEST(YamlTest, RefusesWhatIsTooDeepOrTooMany) {
  EXPECT_NE(problem_of(std::string(100'000, '[')), "");
  EXPECT_NE(problem_of(std::string(65, '[') + std::string(65, ']')), "");
  std::string many;
  for (int i = 0; i < 1'001; ++i) many += "--- a\n";
  EXPECT_EQ(problem_of(many), "line 1001: more than 1000 documents in one text");
}

}  // namespace
}  // namespace penstock::yaml
