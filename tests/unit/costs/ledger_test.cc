// G9: the ledger's total is the sum over requests, exactly, with retries and duplicates.
#include <gtest/gtest.h>

#include <random>

#include "costs/service.h"
#include "tests/support/fixture.h"

namespace penstock::costs {
namespace {

class LedgerTest : public testing::Test {
 protected:
  LedgerTest() {
    for (resources::KindHandler& kind : costs_.kinds()) resources_.add(std::move(kind));
    apply(
        R"({"kind": "price_list", "name": "standard", "owner": "finance", "currency": "USD", "prices": [
      {"meter": "requests", "price": "0.0001", "per": 3, "from": "2013-01-01"},
      {"meter": "requests", "price": "0.0002", "per": 1, "from": "2013-02-01"},
      {"meter": "requests", "model": "dear", "price": "1", "per": 1, "from": "2013-01-01"}]})");
  }
  void apply(const std::string& declaration) {
    resources::ApplyInput input;
    input.documents.push_back({.declaration = json::parse(declaration).as_object()});
    test::must(resources_.apply(call_, input));
  }
  static Usage usage(const std::string& id, const std::string& at, const std::string& model = "m") {
    return {.source = "inference",
            .id = id,
            .quantity = 1,
            .at = *from_rfc3339(at),
            .tenant = "t1",
            .route = "r",
            .model = model,
            .version = 1};
  }

  const Call call_ = test::call();
  ManualClock clock_;
  const std::unique_ptr<sql::Database> db_ = test::database();
  resources::Service resources_{*db_, clock_};
  Service costs_{*db_, clock_};
};

TEST_F(LedgerTest, PinsThePriceThatWasInForce) {
  test::must(
      costs_.post(call_, {usage("a", "2013-01-15T00:00:00Z"), usage("b", "2013-02-01T00:00:00Z"),
                          usage("c", "2013-03-01T00:00:00Z", "dear")}));
  EXPECT_EQ(to_text(test::must(costs_.lines(call_, {"inference", "a"})).total), "0.000033333333");
  EXPECT_EQ(to_text(test::must(costs_.lines(call_, {"inference", "b"})).total), "0.0002");
  EXPECT_EQ(to_text(test::must(costs_.lines(call_, {"inference", "c"})).total), "1");
}

TEST_F(LedgerTest, AddsUpExactlyHoweverOftenThingsAreToldAgain) {
  std::mt19937 random(7);
  std::vector<Usage> all;
  Money expected;
  for (int i = 0; i < 500; ++i) {
    Usage one = usage("call-" + std::to_string(i), "2013-01-1" + std::to_string(i % 10) + "T0" +
                                                       std::to_string(i % 7) + ":00:00Z");
    one.quantity = static_cast<std::int64_t>(random() % 1000);
    one.tenant = "t" + std::to_string(i % 3);
    expected = expected + price_of(one.quantity, *money_from("0.0001"), 3);
    all.push_back(one);
  }
  PostOutput counted;
  for (int round = 0; round < 40; ++round) {
    std::vector<Usage> batch;
    for (int i = 0; i < 60; ++i) batch.push_back(all[random() % all.size()]);
    const auto got = test::must(costs_.post(call_, batch));
    counted.posted += got.posted;
  }
  counted.posted += test::must(costs_.post(call_, all)).posted;
  EXPECT_EQ(counted.posted, 500);
  for (const char* by : {"model", "tenant,day", "route,meter", "version,month"})
    EXPECT_EQ(to_text(test::must(costs_.report(call_, {.by = by})).total), to_text(expected)) << by;
  EXPECT_EQ(test::count(*db_, "ledger_calls"), 500);
}

TEST_F(LedgerTest, AnUnknownPriceIsUnpricedAndAnIncidentAndNeverZeroInSilence) {
  Usage tokens = usage("a", "2013-01-15T00:00:00Z");
  tokens.meter = Meter::prompt_tokens;
  const auto got = test::must(costs_.post(call_, {tokens, usage("b", "2012-01-01T00:00:00Z")}));
  EXPECT_EQ(got.unpriced, 2);
  EXPECT_EQ(test::must(costs_.lines(call_, {"inference", "a"})).lines.at(0).pricing,
            Pricing::unpriced);
  EXPECT_EQ(test::count(*db_, "incidents WHERE dedup_key LIKE 'unpriced:%'"), 2);
}

TEST_F(LedgerTest, ABurstIsOneIncidentAndAnOrdinaryWeekIsNone) {
  apply(
      R"({"kind": "budget", "name": "flights", "owner": "finance", "limit": "1000", "surprise_factor": 4})");
  std::vector<Usage> week;
  for (int day = 1; day <= 7; ++day)
    for (int hour = 10; hour < 20; ++hour)
      for (int i = 0; i < 5 + hour % 3; ++i)
        week.push_back(
            usage(std::to_string(day) + "/" + std::to_string(hour) + "/" + std::to_string(i),
                  "2013-03-0" + std::to_string(day) + "T" + std::to_string(hour) + ":30:00Z"));
  test::must(costs_.post(call_, week));
  EXPECT_EQ(test::count(*db_, "incidents"), 0);
  for (int part = 0; part < 3; ++part) {
    std::vector<Usage> burst;
    for (int i = 0; i < 100; ++i)
      burst.push_back(usage("burst" + std::to_string(part * 100 + i), "2013-03-08T10:00:00Z"));
    test::must(costs_.post(call_, burst));
  }
  EXPECT_EQ(test::count(*db_, "incidents WHERE dedup_key LIKE 'budget:flights:surprise:%'"), 1);
}

TEST_F(LedgerTest, APassedLimitIsAnIncident) {
  apply(R"({"kind": "budget", "name": "small", "owner": "finance", "limit": "2", "warn_at": 0.5})");
  test::must(costs_.post(call_, {usage("a", "2013-03-01T00:00:00Z", "dear")}));
  EXPECT_EQ(test::count(*db_, "incidents"), 0);
  test::must(costs_.post(call_, {usage("b", "2013-03-02T00:00:00Z", "dear")}));
  EXPECT_EQ(test::count(*db_, "incidents WHERE dedup_key LIKE 'budget:small:warned:%'"), 1);
  test::must(costs_.post(call_, {usage("c", "2013-03-03T00:00:00Z", "dear")}));
  test::must(costs_.post(call_, {usage("d", "2013-03-03T01:00:00Z", "dear")}));
  EXPECT_EQ(test::count(*db_, "incidents WHERE dedup_key LIKE 'budget:small:passed:%'"), 1);
  EXPECT_EQ(test::count(*db_,
                        "audit_events WHERE action = 'costs.budget.passed' AND subject = "
                        "'budget:small'"),
            1);
}

TEST_F(LedgerTest, RefusesWhatItCannotReport) {
  for (const char* by : {"colour", "model,tenant,route", ""})
    EXPECT_EQ(costs_.report(call_, {.by = by}).error().code, Code::invalid_argument) << by;
  EXPECT_FALSE(costs_.report(call_, {.by = "model", .from = "tomorrow"}));
}

}  // namespace
}  // namespace penstock::costs
