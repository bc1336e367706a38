// The ledger's tables. One function is one statement.
#pragma once

#include "costs/ledger.h"
#include "ports/sql.h"

namespace penstock::costs::store {

// What a stretch of an hour's lines adds up to.
struct Total {
  std::string project;
  std::int64_t hour = 0;  // since the epoch
  std::string tenant, route, model;
  std::int64_t version = 0;
  Meter meter = Meter::requests;
  std::int64_t quantity = 0;
  Money amount;
};
BOOST_DESCRIBE_STRUCT(Total, (),
                      (project, hour, tenant, route, model, version, meter, quantity, amount))

// False if a line with this identity stands already.
Result<bool> insert_line(sql::Tx& tx, const LedgerLine& line);
Result<std::vector<LedgerLine>> lines(sql::Tx& tx, const std::string& project,
                                      const std::string& source, const std::string& id);
// Adds to the stored total of the same hour and keys.
Result<void> add_total(sql::Tx& tx, const Total& total);
// Totals with from <= hour < until.
Result<std::vector<Total>> totals(sql::Tx& tx, const std::string& project, std::int64_t from,
                                  std::int64_t until);

}  // namespace penstock::costs::store
