// A ledger with prices, over the real database.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>

#include "costs/cloud_events.h"
#include "costs/litellm_prices.h"
#include "costs/service.h"
#include "costs/store.h"
#include "tests/support/fixture.h"

namespace penstock::costs {

class CostsTest : public testing::Test {
 protected:
  CostsTest() {
    for (resources::KindHandler& kind : costs_.kinds()) resources_.add(std::move(kind));
    clock_.set(*from_rfc3339("2026-11-20T12:00:00Z"));
  }
  Result<resources::ApplyOutput> try_apply(const std::string& declaration) {
    resources::ApplyInput input;
    input.documents.push_back({.declaration = json::parse(declaration).as_object()});
    return resources_.apply(call_, input);
  }
  void apply(const std::string& declaration) { test::must(try_apply(declaration)); }
  void prices(const std::string& list) {
    apply(
        R"({"kind": "price_list", "name": "standard", "owner": "finance", "currency": "USD", "prices": [)" +
        list + "]}");
  }
  static Usage usage(const std::string& id, Meter meter, std::int64_t quantity,
                     const std::string& at = "2026-11-02T10:30:00Z") {
    return {.source = "inference",
            .id = id,
            .meter = meter,
            .quantity = quantity,
            .at = *from_rfc3339(at),
            .tenant = "t1",
            .route = "chat",
            .model = "assistant",
            .version = 1,
            .mode = UsageMode::online,
            .upstream = "openai",
            .upstream_model = "gpt-4o"};
  }
  PostOutput post(const std::vector<Usage>& usages) {
    return test::must(costs_.post(call_, usages));
  }
  std::vector<LedgerLine> lines(const std::string& id, const std::string& source = "inference") {
    return test::must(costs_.lines(call_, {source, id})).lines;
  }
  std::string total(const std::string& by = "model") {
    return to_text(test::must(costs_.report(call_, {.by = by})).total);
  }
  // "key|key" -> amount
  std::map<std::string, std::string> report(const ReportInput& input) {
    std::map<std::string, std::string> out;
    for (const ReportRow& row : test::must(costs_.report(call_, input)).rows) {
      std::string key;
      for (const std::string& part : row.keys) key += (key.empty() ? "" : "|") + part;
      out[key] = to_text(row.amount);
    }
    return out;
  }
  // G9: what the sums by hour say is what all lines add up to.
  void expect_sums_are_lines() {
    const auto calls = test::must(db_->read(call_, [](sql::Tx& tx) {
      return tx.run("SELECT source, id FROM ledger_lines UNION SELECT source, id FROM ledger_calls",
                    {});
    }));
    Money amount;
    std::map<std::string, std::int64_t> quantities;
    for (const sql::Row& row : calls)
      for (const LedgerLine& line :
           lines(std::get<std::string>(row[1]), std::get<std::string>(row[0]))) {
        amount = amount + line.amount;
        quantities[std::string(name_of(line.meter))] += line.quantity;
      }
    for (const char* by : {"model", "tenant,day", "route,meter", "version,month", "user,mode",
                           "release,hour", "project", "upstream,experiment"})
      EXPECT_EQ(total(by), to_text(amount)) << by;
    Money spent;
    for (const store::Total& one : test::must(db_->read(call_, [&](sql::Tx& tx) {
           return store::totals(tx, call_.project, first_hour, last_hour);
         })))
      spent = spent + one.amount;
    EXPECT_EQ(to_text(spent), to_text(amount));
    for (const ReportRow& row : test::must(costs_.report(call_, {.by = "meter"})).rows)
      EXPECT_EQ(row.quantity, quantities[row.keys[0]]) << row.keys[0];
  }

  const Call call_ = test::call();
  ManualClock clock_;
  const std::unique_ptr<sql::Database> db_ = test::database();
  resources::Service resources_{*db_, clock_};
  Service costs_{*db_, clock_};
};

}  // namespace penstock::costs
