// What is wrong is taken back and posted again; nothing is changed or lost.
#include <random>

#include "tests/unit/costs/costs_fixture.h"

namespace penstock::costs {
namespace {

class CorrectionsTest : public CostsTest {
 protected:
  CorrectionsTest() {
    prices(R"({"meter": "requests", "price": "0.1", "from": "2026-01-01", "per": 3},
              {"meter": "output_tokens", "price": "2", "from": "2026-01-01", "per": 1},
              {"meter": "output_tokens", "price": "9", "from": "2026-01-01", "per": 1,
               "model": "dear"})");
  }
  RepriceOutput reprice(RepriceInput input) {
    input.from = *from_rfc3339("2026-11-01");
    input.until = *from_rfc3339("2026-12-01");
    input.reason = "a price came later";
    return test::must(costs_.reprice(call_, input));
  }
};

TEST_F(CorrectionsTest, ReversesAndRepostsOnceAndKeepsTheHistory) {
  post({usage("a", Meter::output_tokens, 100)});
  const CorrectInput input{.id = "c1",
                           .reason = "the upstream counted twice",
                           .lines = {{.source = "inference",
                                      .id = "a",
                                      .meter = Meter::output_tokens,
                                      .replacement = Replacement{.quantity = 40}}}};
  clock_.advance(std::chrono::hours(1));
  const CorrectOutput made = test::must(costs_.correct(call_, input));
  EXPECT_EQ(to_text(made.difference), "-120");
  EXPECT_EQ(made.actor, "user:ana");
  clock_.advance(std::chrono::hours(1));
  EXPECT_FALSE(made.repeated);
  const CorrectOutput again = test::must(costs_.correct(call_, input));
  EXPECT_TRUE(again.repeated);
  EXPECT_EQ(again.at, made.at);
  const auto all = lines("a");
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(to_text(all[0].amount) + to_text(all[1].amount) + " " + to_text(all[2].amount),
            "200-200 80");
  EXPECT_EQ(all[0].correction, "");
  EXPECT_EQ(all[1].correction + all[2].correction, "c1c1");
  EXPECT_EQ(all[1].at, all[0].at);
  EXPECT_EQ(all[1].posted_at, made.at);
  EXPECT_EQ(total(), "80");
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'costs.corrected'"), 1);
  // The event itself is told again: it stays known.
  EXPECT_EQ(post({usage("a", Meter::output_tokens, 100)}).repeated, 1);
  expect_sums_are_lines();

  CorrectInput other = input;
  other.reason = "another one";
  EXPECT_EQ(costs_.correct(call_, other).error().code, Code::already_exists);
}

TEST_F(CorrectionsTest, TakesBackWithoutReplacementAndNotTwice) {
  post({usage("a", Meter::output_tokens, 1), usage("a", Meter::requests, 1)});
  const auto take_back = [&](const std::string& id) {
    return costs_.correct(call_, {.id = id, .reason = "a test", .lines = {{"inference", "a"}}});
  };
  EXPECT_EQ(test::must(take_back("c1")).reversed, 2);
  EXPECT_EQ(total(), "0");
  EXPECT_EQ(take_back("c2").error().code, Code::not_found);
  EXPECT_EQ(take_back("c2").error().message,
            "inference a was already taken back, by correction c1; nothing was changed");
  EXPECT_EQ(post({usage("a", Meter::output_tokens, 1)}).repeated, 1);
  EXPECT_EQ(costs_.correct(call_, {.id = "c3", .reason = "x", .lines = {{"inference", "b"}}})
                .error()
                .code,
            Code::not_found);
  expect_sums_are_lines();
}

TEST_F(CorrectionsTest, MovesALineToWhomItBelongs) {
  post({usage("a", Meter::output_tokens, 10)});
  test::must(costs_.correct(
      call_, {.id = "c1",
              .reason = "wrong key",
              .lines = {{"inference", "a", {}, Replacement{.tenant = "t2", .model = "dear"}}}}));
  const auto by_tenant = report({.by = "tenant,model"});
  EXPECT_EQ(by_tenant.at("t1|assistant"), "0");
  EXPECT_EQ(by_tenant.at("t2|dear"), "90");
  expect_sums_are_lines();
}

TEST_F(CorrectionsTest, RefusesTheSameLineTwiceAndKeepsNothingOfIt) {
  post({usage("a", Meter::output_tokens, 10)});
  const auto got = costs_.correct(
      call_, {.id = "c1", .reason = "x", .lines = {{"inference", "a"}, {"inference", "a"}}});
  EXPECT_EQ(got.error().code, Code::invalid_argument);
  EXPECT_EQ(lines("a").size(), 1u);
}

TEST_F(CorrectionsTest, APriceThatComesLaterPricesWhatWasUnpriced) {
  post({usage("a", Meter::reranker_calls, 4), usage("b", Meter::output_tokens, 1)});
  EXPECT_EQ(test::must(costs_.report(call_, {.by = "meter"})).unpriced,
            std::vector<std::string>{"reranker_calls"});
  EXPECT_EQ(reprice({}).unpriced, 1);
  clock_.advance(std::chrono::hours(1));
  apply(
      R"({"kind": "price_list", "name": "reranker", "owner": "finance", "currency": "USD", "prices": [
      {"meter": "reranker_calls", "price": "0.5", "from": "2026-01-01", "per": 1}]})");
  EXPECT_EQ(reprice({.dry_run = true}).repriced, 1);
  EXPECT_EQ(lines("a").size(), 1u);
  const RepriceOutput out = reprice({.only_unpriced = true});
  EXPECT_EQ(out.repriced, 1);
  EXPECT_EQ(to_text(out.difference), "2");
  EXPECT_TRUE(test::must(costs_.report(call_, {.by = "meter"})).unpriced.empty());
  EXPECT_EQ(lines("a").back().price_list, "price_list:reranker@1");
  EXPECT_EQ(reprice({}).repriced, 0);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'costs.repriced'"), 1);
  expect_sums_are_lines();
}

TEST_F(CorrectionsTest, RepricesByThePricesAsTheyWereKnown) {
  const Timestamp then = clock_.now();
  clock_.advance(std::chrono::hours(1));
  prices(R"({"meter": "output_tokens", "price": "3", "from": "2026-01-01", "per": 1})");
  post({usage("a", Meter::output_tokens, 1)});
  EXPECT_EQ(total(), "3");
  EXPECT_EQ(to_text(reprice({.known_at = then}).difference), "-1");
  EXPECT_EQ(total(), "2");
  EXPECT_EQ(to_text(reprice({}).difference), "1");
  EXPECT_EQ(lines("a").size(), 5u);
  expect_sums_are_lines();
}

TEST_F(CorrectionsTest, RepricesAMonthsTiersInTheOrderOfTime) {
  // Arrived last, but first in time.
  post({usage("b", Meter::output_tokens, 80, "2026-11-03"),
        usage("c", Meter::output_tokens, 80, "2026-11-03T00:10:00Z")});
  post({usage("a", Meter::output_tokens, 80, "2026-11-02")});
  prices(R"({"meter": "output_tokens", "price": "2", "from": "2026-01-01", "per": 1},
            {"meter": "output_tokens", "price": "1", "from": "2026-01-01", "per": 1,
             "above_month_quantity": 100})");
  reprice({});
  EXPECT_EQ(to_text(lines("a").back().amount), "160");
  EXPECT_EQ(to_text(lines("b").back().amount), "160");
  EXPECT_EQ(to_text(lines("c").back().amount), "80");
  EXPECT_EQ(reprice({}).repriced, 0);
  expect_sums_are_lines();
}

// G9: whatever comes twice, late, and is taken back, in whatever order.
TEST_F(CorrectionsTest, TotalsAreTheSumOfLinesThroughDuplicatesRetriesAndReversals) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    std::mt19937 random(seed);
    const auto pick = [&](std::size_t below) { return random() % below; };
    std::vector<Usage> all;
    for (int i = 0; i < 300; ++i) {
      Usage one = usage(
          std::to_string(seed) + "-" + std::to_string(i % 200),
          pick(2) ? Meter::output_tokens : Meter::requests, static_cast<std::int64_t>(pick(1000)),
          "2026-11-0" + std::to_string(1 + pick(9)) + "T0" + std::to_string(pick(9)) + ":00:00Z");
      one.tenant = "t" + std::to_string(pick(3));
      one.user_tag = "u" + std::to_string(pick(5));
      one.mode = pick(4) ? UsageMode::online : UsageMode::shadow;
      all.push_back(one);
    }
    std::size_t corrections = 0;
    for (int round = 0; round < 30; ++round) {
      std::vector<Usage> batch;
      for (int i = 0; i < 40; ++i) batch.push_back(all[pick(all.size())]);
      post(batch);
      const Usage& wrong = batch[pick(batch.size())];
      CorrectedLine line{wrong.source, wrong.id, wrong.meter, {}};
      if (pick(3)) line.replacement = Replacement{.quantity = static_cast<std::int64_t>(pick(500))};
      const std::string id = std::to_string(seed) + "c" + std::to_string(round);
      const CorrectInput input{.id = id, .reason = "a test", .lines = {line}};
      if (costs_.correct(call_, input)) {
        ++corrections;
        ASSERT_TRUE(costs_.correct(call_, input));  // a retry
      }
    }
    EXPECT_GT(corrections, 10u);
    expect_sums_are_lines();
  }
}

}  // namespace
}  // namespace penstock::costs
