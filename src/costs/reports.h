// What the ledger says when it is asked. All from sums by hour: no report reads lines.
#pragma once

#include "base/call.h"
#include "costs/ledger.h"
#include "ports/sql.h"

namespace penstock::costs {

enum class Dimension {
  model,
  version,
  tenant,
  project,
  route,
  release,
  user,
  meter,
  mode,
  upstream,
  experiment,
  hour,
  day,
  month,
};
BOOST_DESCRIBE_ENUM(Dimension, model, version, tenant, project, route, release, user, meter, mode,
                    upstream, experiment, hour, day, month)

struct ReportInput {
  std::string by = "model,tenant";                // one or two dimensions
  std::string from, until;                        // RFC 3339; empty: open
  std::string tenant, route, model, meter, mode;  // only of these; empty: of all
};
BOOST_DESCRIBE_STRUCT(ReportInput, (), (by, from, until, tenant, route, model, meter, mode))
constexpr auto rules_of(const ReportInput&) {
  const auto text = [](std::string_view field, std::int64_t max) {
    return Rule{.field = field, .max = max, .may_miss = true};
  };
  return std::array{text("by", 100),    text("from", 40),   text("until", 40), text("tenant", 200),
                    text("route", 200), text("model", 200), text("meter", 40), text("mode", 20)};
}
struct ReportRow {
  std::vector<std::string> keys;  // as many as dimensions
  std::int64_t quantity = 0;
  Money amount;
  std::int64_t unpriced = 0;  // of the quantity: what no price covers, and no amount counts
};
BOOST_DESCRIBE_STRUCT(ReportRow, (), (keys, quantity, amount, unpriced))
struct Report {
  std::vector<std::string> dimensions;
  std::vector<ReportRow> rows;  // by amount, the dearest first
  Money total;
  std::string currency;
  std::vector<std::string> unpriced;  // meters that have some quantity without a price
};
BOOST_DESCRIBE_STRUCT(Report, (), (dimensions, rows, total, currency, unpriced))

struct PeriodInput {
  std::string from, until;  // RFC 3339; empty: open
};
BOOST_DESCRIBE_STRUCT(PeriodInput, (), (from, until))
constexpr auto rules_of(const PeriodInput&) {
  return std::array{Rule{.field = "from", .max = 40, .may_miss = true},
                    Rule{.field = "until", .max = 40, .may_miss = true}};
}
struct FocusOutput {
  std::string csv;  // FOCUS 1.2, with a line of headings
  std::int64_t rows = 0;
  // Rows that no price covers are not in it: the format knows no unknown cost.
  std::int64_t unpriced = 0;
};
BOOST_DESCRIBE_STRUCT(FocusOutput, (), (csv, rows, unpriced))

struct StatementRow {
  std::string model;
  std::int64_t version = 0;
  Meter meter = Meter::requests;
  std::int64_t quantity = 0;
  Money amount;
  Pricing pricing = Pricing::priced;
};
BOOST_DESCRIBE_STRUCT(StatementRow, (), (model, version, meter, quantity, amount, pricing))
struct Statement {
  std::string tenant;
  std::vector<StatementRow> rows;
  Money total;
};
BOOST_DESCRIBE_STRUCT(Statement, (), (tenant, rows, total))
struct Showback {
  std::vector<Statement> tenants;
  Money total;
  std::string currency;
};
BOOST_DESCRIBE_STRUCT(Showback, (), (tenants, total, currency))

// "assistant@v2"; "assistant" where no version is known, and empty where the model is not either.
std::string name_of_version(const std::string& model, std::int64_t version);

// A bound of a period as an hour; `open` where it is empty.
Result<std::int64_t> hour_bound(const std::string& field, const std::string& text,
                                std::int64_t open);
inline constexpr std::int64_t first_hour = -1'000'000, last_hour = 1'000'000'000;

// The currency of the first price list: a ledger has one.
Result<std::string> ledger_currency(sql::Tx& tx, const Call& call);
Result<Report> report(sql::Tx& tx, const Call& call, const ReportInput& input);
Result<FocusOutput> focus(sql::Tx& tx, const Call& call, const PeriodInput& input);
Result<Showback> showback(sql::Tx& tx, const Call& call, const PeriodInput& input);

}  // namespace penstock::costs
