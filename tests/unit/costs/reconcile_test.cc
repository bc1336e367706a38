// What a provider reports beside what was metered.
#include "tests/unit/costs/costs_fixture.h"

namespace penstock::costs {
namespace {

class ReconcileTest : public CostsTest {
 protected:
  ReconcileTest() {
    prices(R"({"meter": "prompt_tokens", "price": "2.5", "from": "2026-01-01", "per": 1000000},
              {"meter": "output_tokens", "price": "10", "from": "2026-01-01", "per": 1000000})");
    post({usage("a", Meter::prompt_tokens, 600'000), usage("a", Meter::output_tokens, 1'000),
          usage("b", Meter::prompt_tokens, 400'000, "2026-11-02T23:59:59Z"),
          usage("c", Meter::prompt_tokens, 7, "2026-11-03T00:00:00Z")});
  }
  Reconciliation compare(const std::string& file, const std::string& tolerance = "0.01") {
    return test::must(costs_.reconcile(call_, {.provider = "openai",
                                               .tolerance = *money_from(tolerance),
                                               .rows = test::must(read_report(file))}));
  }
  static std::string text(const Reconciliation& compared) {
    std::string out;
    for (const Comparison& row : compared.rows)
      out += row.day + " " + row.model + " " + row.meter + " " +
             std::to_string(row.metered_quantity) + " " + std::string(name_of(row.outcome)) + "\n";
    return out;
  }
};

TEST_F(ReconcileTest, ComparesByDayModelAndMeter) {
  const auto got = compare(
      "date,model,usage_type,quantity,amount\r\n"
      "2026-11-02,gpt-4o,prompt_tokens,700000,\r\n"
      "2026-11-02,gpt-4o,prompt_tokens,305000,\r\n"  // adds up: 0.5% more
      "2026-11-02,gpt-4o,output_tokens,2000,0.02\r\n"
      "2026-11-02,\"o3\",output_tokens,5,\r\n"
      "2026-11-03,gpt-4o,output_tokens,0,\r\n");
  EXPECT_EQ(text(got),
            "2026-11-02 gpt-4o output_tokens 1000 differs\n"
            "2026-11-02 gpt-4o prompt_tokens 1000000 agrees\n"
            "2026-11-02 o3 output_tokens 0 not_metered\n"
            "2026-11-03 gpt-4o output_tokens 0 agrees\n"
            "2026-11-03 gpt-4o prompt_tokens 7 not_reported\n");
  EXPECT_EQ(got.differences, 3);
  EXPECT_EQ(test::count(*db_, "incidents WHERE dedup_key LIKE 'reconcile:openai:2026-11-0%'"), 2);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'costs.reconciled'"), 1);
  EXPECT_EQ(test::must(costs_.reconciliations(call_, {.only_differences = true})).rows.size(), 3u);
}

TEST_F(ReconcileTest, TheNewestReportOfADayStands) {
  compare("day,model,meter,quantity\n2026-11-02,gpt-4o,output_tokens,9\n");
  compare("day,model,meter,quantity\n2026-11-02,gpt-4o,output_tokens,1000\n");
  const auto kept = test::must(costs_.reconciliations(call_, {.provider = "openai"}));
  EXPECT_EQ(text(kept), "2026-11-02 gpt-4o output_tokens 1000 agrees\n");
  EXPECT_TRUE(test::must(costs_.reconciliations(call_, {.from = "2026-11-03"})).rows.empty());
}

TEST_F(ReconcileTest, ComparesAmountsOfWholeModelsExactly) {
  const std::string report = R"([{"day": "2026-11-02", "model": "gpt-4o", "amount": "2.51"}])";
  EXPECT_EQ(compare(report, "0").differences, 0);
  EXPECT_EQ(
      compare(R"([{"day": "2026-11-02", "model": "gpt-4o", "amount": "2.510000000001"}])", "0")
          .differences,
      1);
  EXPECT_EQ(compare(R"([{"day": "2026-11-02", "model": "gpt-4o", "amount": "2.52"}])", "0.01")
                .differences,
            0);
}

TEST_F(ReconcileTest, OnlyLinesOfTheProviderCount) {
  Usage other = usage("z", Meter::output_tokens, 50);
  other.upstream = "vllm";
  post({other});
  EXPECT_EQ(compare("day,model,meter,quantity\n2026-11-02,gpt-4o,output_tokens,1000\n").differences,
            0);
}

TEST_F(ReconcileTest, SaysWhatIsWrongWithAFile) {
  for (const auto& [file, says] : {
           std::pair<const char*, const char*>{"", "is empty"},
           {"colour,size\n1,2\n", "line 1: the heading must name day and model"},
           {"day,model,meter,quantity\n2026-11-02,m\n", "line 2: has 2 columns"},
           {"day,model,meter,quantity\n2026-11-02,m,red,1\n", "is no meter"},
           {"day,model,meter,quantity\n2026-11-02,m,requests,1.5\n", "is no whole number"},
           {"day,model,meter,quantity\n2026-11-02,m,requests,-1\n", "is no whole number"},
           {"day,model,amount\n2026-11-02,m,a lot\n", "is no decimal number"},
           {"day,model,amount\n2026-11-02,\"m,1\n", "a quote is not closed"},
           {"[{\"day\": 3}]", "row 1: "},
           {"[", "no JSON"},
       }) {
    const auto got = read_report(file);
    ASSERT_FALSE(got) << file;
    EXPECT_NE(got.error().message.find(says), std::string::npos) << got.error().message;
  }
  const auto refused = [&](const std::string& file) {
    return costs_.reconcile(call_, {.provider = "p", .rows = test::must(read_report(file))})
        .error()
        .code;
  };
  EXPECT_EQ(refused("day,model,amount\n2026-13-02,m,1\n"), Code::invalid_argument);
  EXPECT_EQ(refused("day,model,quantity\n2026-11-02,m,1\n"), Code::invalid_argument);
  const std::string most = "2026-11-02,m,requests,1000000000000000000\n";
  EXPECT_EQ(refused("day,model,meter,quantity\n" + most + most), Code::invalid_argument);
  EXPECT_EQ(refused("day,model,amount\n2026-11-02,m,\n"), Code::invalid_argument);
}

}  // namespace
}  // namespace penstock::costs
