// A project's prices as they stand: read once, then asked without a database.
#pragma once

#include <span>

#include "base/call.h"
#include "costs/ledger.h"
#include "ports/sql.h"

namespace penstock::costs {

class PriceBook {
 public:
  static Result<PriceBook> read(sql::Tx& tx, const Call& call);

  // Pins the price in force on the line, and its amount; a line that no price covers stays
  // unpriced.
  void price(LedgerLine& line) const;
  // What usages would cost. failed_precondition names the first that no price covers.
  Result<Money> quote(std::span<const Usage> usages) const;

 private:
  struct Entry {
    Price price;
    std::string list;
  };
  static std::pair<bool, Timestamp> rank(const Entry& entry) {
    return {entry.price.model.has_value(), entry.price.from};
  }
  std::vector<Entry> entries_;
};

// The line of a usage, not priced yet.
LedgerLine line_of(const std::string& project, const Usage& usage);

}  // namespace penstock::costs
