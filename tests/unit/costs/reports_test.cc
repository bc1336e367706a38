// Reports, showback, FOCUS; and that sums of before are kept.
#include <set>
#include <sstream>

#include "adapters/sqlite/sqlite.h"
#include "migrations/migrations.h"
#include "tests/support/postgres.h"
#include "tests/unit/costs/costs_fixture.h"

namespace penstock::costs {
namespace {

class ReportsTest : public CostsTest {
 protected:
  ReportsTest() {
    prices(R"({"meter": "requests", "price": "1", "from": "2026-01-01", "per": 3},
              {"meter": "output_tokens", "price": "2", "from": "2026-01-01", "per": 1},
              {"meter": "gpu_microseconds", "price": "1", "from": "2026-01-01", "per": 1000000})");
    Usage first = usage("a", Meter::output_tokens, 3);
    first.user_tag = "u1";
    first.release = "01R";
    first.experiment = "e1";
    Usage shadow = usage("a.shadow", Meter::output_tokens, 2, "2026-11-02T10:59:59Z");
    shadow.mode = UsageMode::shadow;
    shadow.version = 2;
    Usage later = usage("b", Meter::requests, 1, "2026-12-01T00:00:00Z");
    later.tenant = "t2";
    post({first, shadow, later, usage("c", Meter::gpu_microseconds, 2'500'000),
          usage("d", Meter::reranker_calls, 9)});
  }
};

TEST_F(ReportsTest, ReportsByEveryDimension) {
  struct Case {
    std::string by;
    std::map<std::string, std::string> rows;
  };
  const Case cases[] = {
      {"model", {{"assistant", "12.833333333333"}}},
      {"version", {{"assistant@v1", "8.833333333333"}, {"assistant@v2", "4"}}},
      {"tenant", {{"t1", "12.5"}, {"t2", "0.333333333333"}}},
      {"project,route", {{"p1|chat", "12.833333333333"}}},
      {"release", {{"", "6.833333333333"}, {"01R", "6"}}},
      {"user", {{"", "6.833333333333"}, {"u1", "6"}}},
      {"experiment", {{"", "6.833333333333"}, {"e1", "6"}}},
      {"upstream", {{"openai", "12.833333333333"}}},
      {"mode", {{"online", "8.833333333333"}, {"shadow", "4"}}},
      {"meter,month",
       {{"output_tokens|2026-11", "10"},
        {"requests|2026-12", "0.333333333333"},
        {"gpu_microseconds|2026-11", "2.5"},
        {"reranker_calls|2026-11", "0"}}},
      {"hour", {{"2026-11-02T10:00:00Z", "12.5"}, {"2026-12-01T00:00:00Z", "0.333333333333"}}},
      {"day", {{"2026-11-02", "12.5"}, {"2026-12-01", "0.333333333333"}}},
  };
  for (const Case& c : cases) EXPECT_EQ(report({.by = c.by}), c.rows) << c.by;
}

TEST_F(ReportsTest, FiltersAndPeriods) {
  EXPECT_EQ(report({.by = "model", .until = "2026-12-01"}).at("assistant"), "12.5");
  EXPECT_EQ(report({.by = "model", .from = "2026-12-01"}).at("assistant"), "0.333333333333");
  EXPECT_EQ(report({.by = "meter", .mode = "shadow"}).size(), 1u);
  EXPECT_EQ(report({.by = "day", .meter = "requests"}).size(), 1u);
  Usage unknown = usage("e", Meter::requests, 3);
  unknown.version = 0;
  Usage nothing = usage("f", Meter::requests, 3);
  nothing.model = "";
  nothing.version = 0;
  post({unknown, nothing});
  const auto by_version = report({.by = "version", .meter = "requests"});
  EXPECT_EQ(by_version.at("assistant") + by_version.at(""), "11");
  EXPECT_TRUE(report({.by = "day", .tenant = "nobody"}).empty());
  EXPECT_EQ(costs_.report(call_, {.by = "day", .meter = "colours"}).error().code,
            Code::invalid_argument);
  EXPECT_EQ(costs_.report(call_, {.by = "day", .mode = "loud"}).error().code,
            Code::invalid_argument);
}

TEST_F(ReportsTest, SaysWhatHasNoPrice) {
  const Report by_meter = test::must(costs_.report(call_, {.by = "meter"}));
  EXPECT_EQ(by_meter.unpriced, std::vector<std::string>{"reranker_calls"});
  EXPECT_EQ(by_meter.rows.back().unpriced, 9);
  EXPECT_EQ(by_meter.currency, "USD");
}

TEST_F(ReportsTest, ShowsEachTenantItsOwn) {
  const Showback all = test::must(costs_.showback(call_, {}));
  ASSERT_EQ(all.tenants.size(), 2u);
  EXPECT_EQ(all.tenants[0].tenant + " " + to_text(all.tenants[0].total), "t1 12.5");
  EXPECT_EQ(all.tenants[0].rows.size(), 4u);
  EXPECT_EQ(to_text(all.total), total());
}

// The mandatory columns of FOCUS 1.2, and which of them may be null.
TEST_F(ReportsTest, ExportsFocus) {
  const std::map<std::string, bool> mandatory = {
      {"BilledCost", false},      {"BillingAccountId", false},  {"BillingAccountName", true},
      {"BillingCurrency", false}, {"BillingPeriodEnd", false},  {"BillingPeriodStart", false},
      {"ChargeCategory", false},  {"ChargeClass", true},        {"ChargeDescription", true},
      {"ChargePeriodEnd", false}, {"ChargePeriodStart", false}, {"ContractedCost", false},
      {"EffectiveCost", false},   {"InvoiceIssuerName", false}, {"ListCost", false},
      {"PricingQuantity", true},  {"PricingUnit", true},        {"ProviderName", false},
      {"PublisherName", false},   {"ServiceCategory", false},   {"ServiceName", false}};
  const FocusOutput out = test::must(costs_.focus(call_, {}));
  EXPECT_EQ(out.rows, 4);
  EXPECT_EQ(out.unpriced, 1);
  std::istringstream text(out.csv);
  std::vector<std::string> headings;
  std::string line;
  // Only the tags' cells are quoted, and they come last.
  const auto cells = [&] {
    std::vector<std::string> found;
    std::istringstream parts(line);
    for (std::string cell; std::getline(parts, cell, ',');) found.push_back(cell);
    return found;
  };
  std::getline(text, line);
  headings = cells();
  for (const auto& [name, ignored] : mandatory)
    EXPECT_EQ(std::count(headings.begin(), headings.end(), name), 1) << name;
  Money total;
  while (std::getline(text, line)) {
    const auto row = cells();
    for (std::size_t at = 0; at + 1 < headings.size(); ++at) {
      const auto found = mandatory.find(headings[at]);
      if (found != mandatory.end() && !found->second) {
        EXPECT_NE(row[at], "") << headings[at];
      }
      if (headings[at] == "BilledCost") total = total + *money_from(row[at]);
      if (headings[at].ends_with("Start") || headings[at].ends_with("End")) {
        EXPECT_TRUE(from_rfc3339(row[at])) << row[at];
      }
    }
  }
  EXPECT_EQ(to_text(total), this->total());
  EXPECT_NE(out.csv.find("2026-12-01T00:00:00Z,2026-11-01T00:00:00Z,Usage,,gpu_microseconds of "
                         "assistant,Usage-Based,2026-11-03T00:00:00Z,2026-11-02T00:00:00Z,2.5,"
                         "Seconds,"),
            std::string::npos)
      << out.csv;
}

// A ledger from before keeps its lines and its sums.
TEST(LedgerMigrationTest, KeepsWhatWasThere) {
  const auto db = std::getenv("PENSTOCK_TEST_POSTGRES") ? test::postgres_database(2)
                                                        : test::must(sqlite::open(":memory:"));
  std::vector<sql::Migration> before;
  for (const sql::Migration& migration : migrations())
    if (migration.name < "0036") before.push_back(migration);
  test::must(sql::migrate(*db, before, SystemClock().now()));
  const Call call = test::call();
  const char* amounts[] = {"0", "12", "0.000000000001", "12.5", "-3", "-0.25", "-7.999999999999"};
  Money expected;
  test::must(db->write(call, [&](sql::Tx& tx) -> Result<void> {
    std::int64_t hour = 450'000;
    for (const char* amount : amounts) {
      expected = expected + *money_from(amount);
      TRY(
          tx.run("INSERT INTO ledger_totals (project, hour, tenant, route, model, version, meter, "
                 "quantity, amount) VALUES ('p1', $1, 't', 'r', 'm', 1, 'requests', 2, $2)",
                 {hour++, std::string(amount)}));
    }
    TRY(
        tx.run("INSERT INTO ledger_lines (project, source, id, meter, quantity, at, tenant, route, "
               "model, version, release, pricing, price, per, amount, price_list) VALUES ('p1', "
               "'inference', 'old', 'requests', 1, 5, 't', 'r', 'm', 1, '', 'priced', '0.5', 1, "
               "'0.5', 'price_list:x@1')",
               {}));
    return {};
  }));
  test::must(sql::migrate(*db, migrations(), SystemClock().now()));
  ManualClock clock;
  Service costs(*db, clock);
  const Report report = test::must(costs.report(call, {.by = "hour"}));
  EXPECT_EQ(to_text(report.total), to_text(expected));
  std::multiset<std::string> found, wanted;
  for (const char* amount : amounts) wanted.insert(amount);
  for (const ReportRow& row : report.rows) found.insert(to_text(row.amount));
  EXPECT_EQ(found, wanted);
  const LedgerLine line = test::must(costs.lines(call, {"inference", "old"})).lines.at(0);
  EXPECT_EQ(to_text(line.amount) + " " + std::string(name_of(line.mode)), "0.5 online");
  const Usage again{.source = "inference", .id = "old", .quantity = 1, .tenant = "t"};
  EXPECT_EQ(test::must(costs.post(call, {again})).repeated, 1);
}

}  // namespace
}  // namespace penstock::costs
