// How lines come into the ledger, inside a transaction.
#pragma once

#include <map>
#include <tuple>

#include "base/call.h"
#include "costs/price_book.h"

namespace penstock::costs {

constexpr std::int64_t hour_of(Timestamp at) {
  return std::chrono::floor<std::chrono::hours>(at).time_since_epoch().count();
}
constexpr Timestamp hour_at(std::int64_t hour) { return Timestamp(std::chrono::hours(hour)); }
// The hour at which the month of `hour` (of UTC) began.
std::int64_t month_start(std::int64_t hour);

// Prices lines one after the other, and knows what their months used before them.
class Pricer {
 public:
  // arrival: a line comes after all that the ledger has of its month. time: after what was earlier
  // in it; then lines must come in the order of their time.
  enum class Order { arrival, time };
  Pricer(std::shared_ptr<const PriceBook> book, Order order)
      : book_(std::move(book)), order_(order) {}

  Result<void> price(sql::Tx& tx, LedgerLine& line);
  // The same of a usage. What it gives is good as long as this lives.
  Result<Charge> charge(sql::Tx& tx, const std::string& project, const Usage& usage,
                        std::int64_t call_tokens);

 private:
  // Month, meter, model, tenant ("" for all).
  using Key = std::tuple<std::int64_t, Meter, std::string, std::string>;
  // `line` is a LedgerLine or a Usage.
  Result<PriceBook::Used> used_before(sql::Tx& tx, const std::string& project, const auto& line);

  std::shared_ptr<const PriceBook> book_;
  Order order_;
  std::map<Key, std::int64_t> used_;
};

struct PostOutput {
  std::int64_t posted = 0, repeated = 0, unpriced = 0;
};
BOOST_DESCRIBE_STRUCT(PostOutput, (), (posted, repeated, unpriced))

// What makes a usage the same one again.
enum class Unique { line, event };  // (source, id, meter), or (source, id) whatever its meter

// Prices and writes the usages that are new.
Result<PostOutput> post(sql::Tx& tx, const Call& call, Timestamp now, PriceBooks& books,
                        const std::vector<Usage>& usages, Unique unique);

// Writes lines that are new, and adds them to the hours. An unpriced one opens an incident.
// `judged`: budgets are judged by what the lines cost.
Result<void> write(sql::Tx& tx, const Call& call, Timestamp now,
                   const std::vector<LedgerLine>& lines, bool judged = true);

}  // namespace penstock::costs
