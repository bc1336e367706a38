// The ledger's tables. One function is one statement, or as few as its rows fit into.
#pragma once

#include <map>
#include <span>

#include "costs/ledger.h"
#include "ports/sql.h"

namespace penstock::costs::store {

// What an hour's lines of the same keys add up to. An amount is whole + fraction / 10^12.
struct HourSum {
  std::string project;
  std::int64_t hour = 0;  // since the epoch
  std::string tenant, route, model;
  std::int64_t version = 0;
  std::string release;
  UsageMode mode = UsageMode::offline;
  std::string user_tag, experiment, upstream, upstream_model;
  Meter meter = Meter::requests;
  Pricing pricing = Pricing::priced;
  std::int64_t quantity = 0;
  std::int64_t whole = 0, fraction = 0;
};
BOOST_DESCRIBE_STRUCT(HourSum, (),
                      (project, hour, tenant, route, model, version, release, mode, user_tag,
                       experiment, upstream, upstream_model, meter, pricing, quantity, whole,
                       fraction))

// The same by less, for budgets: a row of ledger_spending.
struct Spending {
  std::string project;
  std::int64_t hour = 0;
  std::string tenant, route, model;
  std::int64_t whole = 0, fraction = 0;
};
BOOST_DESCRIBE_STRUCT(Spending, (), (project, hour, tenant, route, model, whole, fraction))
struct Total {
  std::string project;
  std::int64_t hour = 0;  // since the epoch
  std::string tenant, route, model;
  Money amount;
};

// Lines are in two tables: what one post brought of a call is one row of ledger_calls, and anything
// else a row each of ledger_lines. Only this file knows.

// Which lines were posted under this source and one of these ids, as (id, meter).
Result<std::vector<std::pair<std::string, Meter>>> known(sql::Tx& tx, const std::string& project,
                                                         const std::string& source,
                                                         std::span<const std::string_view> ids);
// Lines of one call that differ in nothing but what their meters have: the first of their usages,
// and all of them as LinePacker packs them.
struct CallRow {
  const Usage* usage;
  std::string lines;
};
// Takes the lines out of the rows. Quickest in the order of (source, id), as the table's key is.
Result<void> insert_calls(sql::Tx& tx, const std::string& project, Timestamp posted_at,
                          std::span<CallRow> rows);
Result<void> insert_lines(sql::Tx& tx, std::span<const LedgerLine> lines);
// Every line and correction of a call, by meter and then in the order of their making.
Result<std::vector<LedgerLine>> lines(sql::Tx& tx, const std::string& project,
                                      const std::string& source, const std::string& id);

// The lines that no correction took back and that are of an instant from `from` to before `until`,
// in the order of (at, source, id, meter), after `after` where that is given.
struct Position {
  Timestamp at;
  std::string source, id;
  Meter meter = Meter::requests;
};
Result<std::vector<LedgerLine>> standing(sql::Tx& tx, const std::string& project, Timestamp from,
                                         Timestamp until, const std::optional<Position>& after,
                                         std::int64_t limit);
// Those of one source by (id, meter), at most `limit`; of one id if that is not empty.
Result<std::vector<LedgerLine>> standing_of(sql::Tx& tx, const std::string& project,
                                            const std::string& source, const std::string& id,
                                            std::int64_t limit);

// Adds to the sums of the same hours and keys. No key may be there twice.
Result<void> add(sql::Tx& tx, std::span<const HourSum> sums);
Result<void> add(sql::Tx& tx, std::span<const Spending> spending);
// Totals with from <= hour < until.
Result<std::vector<Total>> totals(sql::Tx& tx, const std::string& project, std::int64_t from,
                                  std::int64_t until);

// Sums over hours, grouped by columns of ledger_hours (or expressions of them). `condition` goes on
// the WHERE, and its parameters $4, ... are `more`.
struct Sum {
  sql::Row keys;
  std::int64_t quantity = 0;
  Money amount;
};
Result<std::vector<Sum>> sums(sql::Tx& tx, const std::string& project, std::int64_t from,
                              std::int64_t until, const std::vector<std::string>& keys,
                              std::string_view condition = "", const sql::Row& more = {});
// What each tenant used of a model and a meter, that of `before`, at or after `from` and before the
// call of `before`.
Result<std::map<std::string, std::int64_t>> used_before(sql::Tx& tx, const std::string& project,
                                                        const std::string& model,
                                                        const Position& before, Timestamp from);

Money money_of(std::int64_t whole, std::int64_t fraction);

}  // namespace penstock::costs::store
