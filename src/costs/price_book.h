// A project's prices: read once, then asked without a database.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>

#include "base/call.h"
#include "costs/ledger.h"
#include "ports/sql.h"
#include "resources/service.h"

namespace penstock::costs {

class PriceBook {
 public:
  // The prices that were known at `known`; none: that are known now.
  static Result<PriceBook> read(sql::Tx& tx, const Call& call, std::optional<Timestamp> known = {});

  // Pins the price in force on the line, and its amount; a line that no price covers stays
  // unpriced. `used` is what the month had used before of the same meter and model: in all, and by
  // the tenant.
  struct Used {
    std::int64_t in_all = 0, by_tenant = 0;
  };
  void price(LedgerLine& line) const { price(line, Used{}); }
  void price(LedgerLine& line, Used used) const;
  // The same of a usage: what its line pins.
  Charge charge(const Usage& usage, std::int64_t call_tokens, Used used) const;
  // What the usages of one call would cost, as the month's first.
  // failed_precondition names the first that no price covers.
  Result<Money> quote(std::span<const Usage> usages) const;
  struct Payer {
    std::string_view tenant;
    Timestamp at;
  };
  // What it costs; where that depends on what the month used before, the most that it may. None
  // where no price covers it.
  std::optional<Money> cost(const Metered& used, const Payer& payer) const;
  // The most that it costs with a prompt of at most so many tokens.
  std::optional<Money> most(const Metered& used, const Payer& payer) const;
  // The same of the usages of one call. What no price covers costs nothing, as posts have it; none
  // where no price covers any.
  std::optional<Money> cost_of(std::span<const Usage> usages) const;
  // Each token at the dearest that it may turn out to be; none where no price covers it.
  std::optional<Money> most_of(std::span<const Usage> usages) const;
  // Whether a price of this meter depends on what the month used before.
  bool depends_on_month(Meter meter) const { return !steps_of(meter).month.empty(); }

 private:
  struct Entry {
    Price price;
    std::string list;
    std::int64_t place = 0;
  };
  // What a price depends on, besides what the month used.
  struct Asked {
    Meter meter;
    std::string_view tenant, model, upstream_model;
    Timestamp at;
    std::int64_t call_tokens = 0;
  };
  Result<void> add(const resources::Resource& resource);
  // Where prices begin to be others: tokens of the call's prompt, and what the month used.
  struct Steps {
    std::set<std::int64_t> call, month;
  };
  const Steps& steps_of(Meter meter) const;
  std::optional<Money> dearest(const Metered& used, const Payer& payer,
                               std::int64_t call_tokens) const;
  const Entry* find(const Asked& asked, Used used) const;
  static Charge charge(const Entry* entry, std::int64_t quantity);
  const Entry* find(const Usage& usage, std::int64_t call_tokens) const;

  // By meter and the model that they name; those for every model under "".
  std::map<Meter, std::map<std::string, std::vector<Entry>, std::less<>>> entries_;
  std::map<Meter, Steps> steps_;  // of those that have any
};

// The newest book of each project, which is read again only where its lists changed. Any thread.
class PriceBooks {
 public:
  Result<std::shared_ptr<const PriceBook>> of(sql::Tx& tx, const Call& call);

 private:
  struct Kept {
    std::string fingerprint;
    std::shared_ptr<const PriceBook> book;
  };
  std::mutex turn_;
  std::map<std::string, Kept> kept_;
};

// The line of a usage, not priced yet.
LedgerLine line_of(const std::string& project, const Usage& usage);
// The tokens of the prompt that these usages of one call are of.
std::int64_t prompt_tokens_of(std::span<const Usage> usages);

// A KindHandler::check's further look at a price list.
Result<void> check_prices(const PriceList& list);

}  // namespace penstock::costs
