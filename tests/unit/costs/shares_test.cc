// Parts add up to the whole, always.
#include <random>

#include "tests/unit/costs/costs_fixture.h"

namespace penstock::costs {
namespace {

using SharesTest = CostsTest;

Wide sum(const std::vector<Money>& parts) {
  Wide total = 0;
  for (const Money& part : parts) total += part.units;
  return total;
}

TEST(SplitTest, GivesTheRestToTheLargestRemainders) {
  const std::vector<Wide> thirds{1, 1, 1}, uneven{5, 3, 1};
  const auto of = [](std::int64_t units, const std::vector<Wide>& weights) {
    std::string text;
    const auto parts = split(Money{units}, weights);
    for (const Money& part : parts.value())
      text += std::to_string(static_cast<std::int64_t>(part.units)) + " ";
    return text;
  };
  EXPECT_EQ(of(100, thirds), "34 33 33 ");
  EXPECT_EQ(of(-100, thirds), "-34 -33 -33 ");
  EXPECT_EQ(of(10, uneven), "6 3 1 ");  // 5.56 3.33 1.11
  EXPECT_EQ(of(2, thirds), "1 1 0 ");
  EXPECT_EQ(of(0, thirds), "0 0 0 ");
  EXPECT_FALSE(split(Money{1}, std::vector<Wide>{}));
  EXPECT_FALSE(split(Money{1}, std::vector<Wide>{0, 0}));
  EXPECT_FALSE(split(Money{1}, std::vector<Wide>{2, -1}));
}

TEST(SplitTest, PartsAddUpAndAreNearTheirShares) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 5'000; ++round) {
    std::vector<Wide> weights(1 + random() % 40);
    const unsigned size = static_cast<unsigned>(random() % 90);
    Wide total = 0;
    for (Wide& weight : weights) {
      weight =
          random() % 5 ? (Wide{static_cast<std::int64_t>(random() >> 1)} >> (random() % 60)) : 0;
      if (size > 62 && random() % 3 == 0) weight <<= size - 62;
      total += weight;
    }
    if (total == 0) continue;
    const Money whole{Wide{static_cast<std::int64_t>(random() >> (random() % 60))} *
                      (random() % 2 ? 1 : 1'000'003)};
    const auto parts = split(whole, weights);
    ASSERT_TRUE(parts);
    ASSERT_TRUE(sum(*parts) == whole.units) << round;
    if (total < (Wide{1} << 62))
      for (std::size_t at = 0; at < weights.size(); ++at) {
        const long double exact = static_cast<long double>(whole.units) *
                                  static_cast<long double>(weights[at]) /
                                  static_cast<long double>(total);
        ASSERT_LE(std::abs(static_cast<long double>((*parts)[at].units) - exact),
                  1 + std::abs(exact) * 1e-17L);
      }
  }
}

TEST_F(SharesTest, SplitsABillByWhatWasUsed) {
  prices(R"({"meter": "requests", "price": "1", "from": "2026-01-01", "per": 1},
            {"meter": "gpu_microseconds", "price": "0", "from": "2026-01-01", "per": 1})");
  std::vector<Usage> usages;
  for (int i = 0; i < 6; ++i) {
    Usage one = usage("r" + std::to_string(i), Meter::requests, 1);
    one.tenant = i < 3 ? "a" : i < 5 ? "b" : "c";
    usages.push_back(one);
  }
  Usage gpu = usage("g", Meter::gpu_microseconds, 5);
  gpu.tenant = "c";
  usages.push_back(gpu);
  post(usages);
  ShareInput input{.id = "bill-7",
                   .description = "GPU node",
                   .amount = *money_from("100.000000000001"),
                   .from = *from_rfc3339("2026-11-01"),
                   .until = *from_rfc3339("2026-12-01")};
  const ShareOutput out = test::must(costs_.share(call_, input));
  std::string parts;
  for (const Share& part : out.shares) parts += part.tenant + " " + to_text(part.amount) + "; ";
  EXPECT_EQ(parts, "a 50; b 33.333333333334; c 16.666666666667; ");
  EXPECT_FALSE(out.repeated);
  const ShareOutput again = test::must(costs_.share(call_, input));
  EXPECT_TRUE(again.repeated);
  EXPECT_EQ(again.total, out.total);
  EXPECT_EQ(total(), "106.000000000001");
  EXPECT_EQ(report({.by = "tenant,meter"}).at("b|shared_cost"), "33.333333333334");
  expect_sums_are_lines();

  ShareInput other = input;
  other.by = Measure::gpu_time;
  EXPECT_EQ(costs_.share(call_, other).error().code, Code::already_exists);
  other.id = "bill-8";
  EXPECT_EQ(test::must(costs_.share(call_, other)).shares.size(), 1u);
  // Shares are no measure of the next share.
  other.id = "bill-9";
  other.by = Measure::cost;
  EXPECT_EQ(to_text(test::must(costs_.share(call_, other)).shares.at(0).amount), "50");
  // Taken back whole.
  EXPECT_EQ(
      test::must(costs_.correct(
                     call_, {.id = "x", .reason = "paid twice", .lines = {{"share:bill-7", ""}}}))
          .reversed,
      3);
  EXPECT_EQ(total(), to_text(*money_from("206.000000000002")));
  expect_sums_are_lines();
}

// Two bills, split by two measures, are shares of one kind: their quantities count shares.
TEST_F(SharesTest, AddsBillsOfDifferentMeasures) {
  prices(R"({"meter": "requests", "price": "1", "from": "2026-01-01", "per": 1},
            {"meter": "output_tokens", "price": "0", "from": "2026-01-01", "per": 1})");
  Usage call = usage("r", Meter::requests, 7), tokens = usage("r", Meter::output_tokens, 900);
  post({call, tokens});
  ShareInput input{.id = "seats",
                   .amount = Money::whole(10),
                   .from = *from_rfc3339("2026-11-01"),
                   .until = *from_rfc3339("2026-12-01")};
  EXPECT_EQ(test::must(costs_.share(call_, input)).shares.at(0).measured, "7");
  input.id = "tokens";
  input.by = Measure::tokens;
  EXPECT_EQ(test::must(costs_.share(call_, input)).shares.at(0).measured, "900");
  EXPECT_EQ(test::must(costs_.share(call_, input)).shares.at(0).measured, "900");  // repeated
  int seen = 0;
  const Showback showback = test::must(costs_.showback(call_, {}));
  for (const StatementRow& row : showback.tenants.at(0).rows)
    if (row.meter == Meter::shared_cost) {
      ++seen;
      EXPECT_EQ(row.quantity, 2);
      EXPECT_EQ(to_text(row.amount), "20");
    }
  EXPECT_EQ(seen, 1);
  expect_sums_are_lines();
}

TEST_F(SharesTest, RefusesWhatCannotBeSplit) {
  const ShareInput fine{.id = "b",
                        .amount = Money::whole(1),
                        .from = *from_rfc3339("2026-11-01"),
                        .until = *from_rfc3339("2026-12-01")};
  const auto code = [&](const std::function<void(ShareInput&)>& change) {
    ShareInput input = fine;
    change(input);
    const auto got = costs_.share(call_, input);
    return got ? std::string("split") : std::string(name_of(got.error().code));
  };
  EXPECT_EQ(code([](ShareInput&) {}), "failed_precondition");  // nothing was used
  EXPECT_EQ(code([](ShareInput& in) { in.over = "colour"; }), "invalid_argument");
  EXPECT_EQ(code([](ShareInput& in) { in.over = "tenant,tenant"; }), "invalid_argument");
  EXPECT_EQ(code([](ShareInput& in) { in.until = in.from; }), "invalid_argument");
  EXPECT_EQ(code([](ShareInput& in) { in.from += std::chrono::minutes(1); }), "invalid_argument");
  EXPECT_EQ(code([](ShareInput& in) { in.amount = Money::whole(2'000'000'000'000); }),
            "invalid_argument");
}

}  // namespace
}  // namespace penstock::costs
