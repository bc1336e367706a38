// What providers say was used, beside what was metered here, day by day.
#pragma once

#include "base/call.h"
#include "costs/ledger.h"
#include "ports/sql.h"

namespace penstock::costs {

// A day's usage of a model, as a provider reports it.
struct ReportedUsage {
  std::string day;             // "2026-11-01", of UTC
  std::string model;           // as the provider calls it
  std::optional<Meter> meter;  // none: all of the model's, then only the amount is compared
  std::optional<std::int64_t> quantity;
  std::optional<Money> amount;
};
BOOST_DESCRIBE_STRUCT(ReportedUsage, (), (day, model, meter, quantity, amount))
constexpr auto rules_of(const ReportedUsage&) {
  return std::array{Rule{.field = "day", .min = 10, .max = 10},
                    Rule{.field = "model", .min = 1, .max = 200},
                    Rule{.field = "quantity", .min = 0, .max = 1'000'000'000'000'000'000}};
}

struct ReconcileInput {
  std::string provider;
  std::string upstream;  // the one that its lines are of; empty: of its name, "*": of any
  Money tolerance{Money::per_whole / 100};  // share of the greater of both; 0.01 is 1%
  std::vector<ReportedUsage> rows;
};
BOOST_DESCRIBE_STRUCT(ReconcileInput, (), (provider, upstream, tolerance, rows))
constexpr auto rules_of(const ReconcileInput&) {
  return std::array{Rule{.field = "provider", .min = 1, .max = 100},
                    Rule{.field = "upstream", .max = 200, .may_miss = true},
                    Rule{.field = "tolerance", .may_miss = true},
                    Rule{.field = "rows", .min = 1, .max = 10'000}};
}

enum class Outcome {
  agrees,
  differs,       // by more than the tolerance
  not_metered,   // reported, and nothing was metered here
  not_reported,  // metered here, and the report of the day says nothing of it
};
BOOST_DESCRIBE_ENUM(Outcome, agrees, differs, not_metered, not_reported)
struct Comparison {
  std::string provider, day, model;
  std::string meter;  // empty: all
  std::optional<std::int64_t> reported_quantity;
  std::int64_t metered_quantity = 0;
  std::optional<Money> reported_amount;
  Money metered_amount;
  std::int64_t unpriced_quantity = 0;  // of the metered one; it has no amount
  Outcome outcome = Outcome::agrees;
  Timestamp compared_at;
};
BOOST_DESCRIBE_STRUCT(Comparison, (),
                      (provider, day, model, meter, reported_quantity, metered_quantity,
                       reported_amount, metered_amount, unpriced_quantity, outcome, compared_at))
struct Reconciliation {
  std::vector<Comparison> rows;
  std::int64_t differences = 0;  // rows that do not agree
};
BOOST_DESCRIBE_STRUCT(Reconciliation, (), (rows, differences))

struct ReconciliationsInput {
  std::string provider;     // empty: all
  std::string from, until;  // days, "2026-11-01"; until is not in it
  bool only_differences = false;
};
BOOST_DESCRIBE_STRUCT(ReconciliationsInput, (), (provider, from, until, only_differences))
constexpr auto rules_of(const ReconciliationsInput&) {
  return std::array{Rule{.field = "provider", .max = 100, .may_miss = true},
                    Rule{.field = "from", .max = 10, .may_miss = true},
                    Rule{.field = "until", .max = 10, .may_miss = true},
                    Rule{.field = "only_differences", .may_miss = true}};
}

// Rows of a provider's file: a JSON list of objects, or CSV with a heading of day, model, meter,
// quantity, amount (date, usage_type and cost are read as day, meter and amount).
Result<std::vector<ReportedUsage>> read_report(std::string_view text);

// Compares, keeps the comparison in the place of one before of the same provider and days, and
// opens an incident for each day that differs.
Result<Reconciliation> reconcile(sql::Tx& tx, const Call& call, Timestamp now,
                                 const ReconcileInput& input);
Result<Reconciliation> reconciliations(sql::Tx& tx, const Call& call,
                                       const ReconciliationsInput& input);

}  // namespace penstock::costs
