#pragma once

#include "base/call.h"
#include "costs/ledger.h"
#include "ports/sql.h"
#include "resources/service.h"

namespace penstock::costs {

struct PostInput {
  std::vector<Usage> usages;
};
BOOST_DESCRIBE_STRUCT(PostInput, (), (usages))
constexpr auto rules_of(const PostInput&) {
  return std::array{Rule{.field = "usages", .max = 10'000}};
}
struct PostOutput {
  std::int64_t posted = 0, repeated = 0, unpriced = 0;
};
BOOST_DESCRIBE_STRUCT(PostOutput, (), (posted, repeated, unpriced))

enum class Dimension { model, version, tenant, route, meter, day, month };
BOOST_DESCRIBE_ENUM(Dimension, model, version, tenant, route, meter, day, month)
struct ReportInput {
  std::string by = "model,tenant";  // one or two dimensions
  std::string from, until;          // RFC 3339; empty: open
};
BOOST_DESCRIBE_STRUCT(ReportInput, (), (by, from, until))
constexpr auto rules_of(const ReportInput&) {
  return std::array{Rule{.field = "by", .max = 100, .may_miss = true},
                    Rule{.field = "from", .max = 40, .may_miss = true},
                    Rule{.field = "until", .max = 40, .may_miss = true}};
}
struct ReportRow {
  std::vector<std::string> keys;  // as many as dimensions
  std::int64_t quantity = 0;
  Money amount;
};
BOOST_DESCRIBE_STRUCT(ReportRow, (), (keys, quantity, amount))
struct Report {
  std::vector<std::string> dimensions;
  std::vector<ReportRow> rows;  // by amount, the dearest first
  Money total;
};
BOOST_DESCRIBE_STRUCT(Report, (), (dimensions, rows, total))
struct LinesInput {
  std::string source, id;
};
BOOST_DESCRIBE_STRUCT(LinesInput, (), (source, id))
struct Lines {
  std::vector<LedgerLine> lines;
  Money total;
};
BOOST_DESCRIBE_STRUCT(Lines, (), (lines, total))

class Guard;

class Service {
 public:
  // `guard`, where there is one, hears which calls were posted.
  Service(sql::Database& db, const Clock& clock, Guard* guard = nullptr)
      : db_(db), clock_(clock), guard_(guard) {}

  std::vector<resources::KindHandler> kinds() const;  // price_list, budget

  // Prices and posts usages in one transaction, keeps the hourly totals with them, and judges the
  // budgets: an unknown price, a passed limit and a surprise each open an incident.
  Result<PostOutput> post(const Call& call, const std::vector<Usage>& usages);
  Result<Report> report(const Call& call, const ReportInput& input);
  // The lines of one call.
  Result<Lines> lines(const Call& call, const LinesInput& input);

 private:
  sql::Database& db_;
  const Clock& clock_;
  Guard* guard_;
};

}  // namespace penstock::costs
