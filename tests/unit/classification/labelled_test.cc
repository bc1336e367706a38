// The table in docs/classification.md is a promise.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/labelled_columns.h"

namespace penstock::test {
namespace {

// What docs/classification.md publishes of a part: tag, precision and recall.
std::map<std::string, std::pair<double, double>> published(const std::string& part) {
  std::ifstream file("docs/classification.md");
  std::map<std::string, std::pair<double, double>> rows;
  for (std::string line; std::getline(file, line);) {
    std::string bar, tag;
    std::istringstream cells(line);
    double numbers[4] = {};
    if (!(cells >> bar >> tag) || bar != "|") continue;
    for (double& number : numbers) cells >> bar >> number;
    if (!cells) continue;
    const std::size_t first = part == "tuning" ? 0 : 2;
    rows[tag] = {numbers[first], numbers[first + 1]};
  }
  return rows;
}

class LabelledTest : public testing::TestWithParam<std::string> {};

TEST_P(LabelledTest, ReachesWhatIsPublished) {
  const auto promised = published(GetParam());
  const auto found = tally(labelled_columns(GetParam()));
  ASSERT_GT(promised.size(), 25u);
  for (const auto& [tag, tally] : found) {
    ASSERT_TRUE(promised.contains(tag)) << tag << " is not in docs/classification.md";
    EXPECT_GE(tally.precision(), promised.at(tag).first - 0.0005) << tag;
    EXPECT_GE(tally.recall(), promised.at(tag).second - 0.0005) << tag;
  }
}

TEST_P(LabelledTest, HasTrapsAndTheRealThing) {
  int tagged = 0, traps = 0;
  for (const LabelledColumn& column : labelled_columns(GetParam()))
    ++(column.tags.empty() ? traps : tagged);
  EXPECT_GE(tagged, 130);
  EXPECT_GE(traps, 90);
}

INSTANTIATE_TEST_SUITE_P(Parts, LabelledTest, testing::Values("tuning", "held_out"),
                         [](const auto& part) { return part.param; });

// The measure itself must be able to fail.
TEST(TallyTest, CountsWhatIsWrongAndWhatIsMissed) {
  LabelledColumn email{.table = "t", .columns = {"email"}, .tags = {"pii.phone"}};
  email.sample = {.name = "email", .values = {"a@example.org", "b@example.org"}, .rows = 2};
  const auto found = tally({email});
  EXPECT_EQ(found.at("all").wrong, 1);
  EXPECT_EQ(found.at("all").missed, 1);
  EXPECT_EQ(found.at("pii.email").precision(), 0);
  EXPECT_EQ(found.at("pii.phone").recall(), 0);
}

}  // namespace
}  // namespace penstock::test
