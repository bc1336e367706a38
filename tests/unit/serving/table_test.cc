#include "serving/table.h"

#include <gtest/gtest.h>

#include <map>

namespace penstock::serving {
namespace {

constexpr int units = 50'000;

LiveRoute route(const std::map<std::int64_t, std::int64_t>& weights,
                const std::string& release = "r1") {
  LiveRoute out;
  for (const auto& [version, weight] : weights)
    out.targets.push_back(
        {.arm = version == 1 ? Arm::live : Arm::canary,
         .weight = weight,
         .seed = seed_of("p1/r", release, "m", version),
         .deployment = std::make_shared<const Deployment>(Deployment{"m", version})});
  return out;
}

std::int64_t version_of(const LiveRoute& route, int unit) {
  return choose(route, "unit-" + std::to_string(unit))->deployment->version;
}

TEST(Choose, HonoursWeights) {
  for (const std::int64_t canary : {0, 100, 1'000, 5'000, 9'000, 10'000}) {
    SCOPED_TRACE(canary);
    const LiveRoute split = route({{1, weight_total - canary}, {2, canary}});
    int on_canary = 0;
    for (int unit = 0; unit < units; ++unit) on_canary += version_of(split, unit) == 2;
    const double expected = units * static_cast<double>(canary) / weight_total;
    EXPECT_NEAR(on_canary, expected, 5 * std::sqrt(expected * (1 - expected / units)) + 0.5);
  }
}

TEST(Choose, MovesNoMoreUnitsThanAChangeOfWeightsMust) {
  const LiveRoute before = route({{1, 9'000}, {2, 1'000}});
  const LiveRoute after = route({{1, 7'500}, {2, 2'500}});
  int moved = 0;
  for (int unit = 0; unit < units; ++unit) {
    const auto from = version_of(before, unit), to = version_of(after, unit);
    EXPECT_FALSE(from == 2 && to == 1) << "a unit left a version that gained";
    moved += from != to;
  }
  EXPECT_NEAR(moved, units * 0.15, 5 * std::sqrt(units * 0.15 * 0.85));
}

TEST(Choose, MovesUnitsOnlyToAVersionThatJoined) {
  const LiveRoute before = route({{1, 5'000}, {2, 5'000}});
  const LiveRoute after = route({{1, 4'000}, {2, 4'000}, {3, 2'000}});
  for (int unit = 0; unit < units; ++unit)
    if (version_of(before, unit) != version_of(after, unit)) {
      EXPECT_EQ(version_of(after, unit), 3);
    }
}

TEST(Choose, DrawsAnotherCanaryForAnotherRelease) {
  const LiveRoute first = route({{1, 9'000}, {2, 1'000}}, "r1");
  const LiveRoute second = route({{1, 9'000}, {2, 1'000}}, "r2");
  int both = 0;
  for (int unit = 0; unit < units; ++unit)
    both += version_of(first, unit) == 2 && version_of(second, unit) == 2;
  EXPECT_NEAR(both, units * 0.01, 5 * std::sqrt(units * 0.01));
}

TEST(Choose, GivesNothingWhereNothingHasWeight) {
  LiveRoute none = route({{1, 0}});
  EXPECT_EQ(choose(none, "u"), nullptr);
  none.targets[0].arm = Arm::shadow;
  none.targets[0].weight = weight_total;
  EXPECT_EQ(choose(none, "u"), nullptr) << "a shadow is never chosen";
}

}  // namespace
}  // namespace penstock::serving
