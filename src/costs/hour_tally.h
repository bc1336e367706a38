// What lines add to the sums by hour, inside the transaction that writes them.
#pragma once

#include <set>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "costs/budgets.h"

namespace penstock::costs {

// Its lines and usages outlive it.
class HourTally {
 public:
  // `line` is a LedgerLine or a Usage.
  void add(const auto& line, Pricing pricing, Money amount) {
    Sum& sum = sum_for(keys_of(line), line.meter, pricing);
    sum.quantity += line.quantity;
    sum.amount = sum.amount + amount;
  }
  std::set<SpendingHour> touched() const;
  Result<void> write(sql::Tx& tx, const std::string& project) const;

 private:
  struct Keys {
    std::int64_t hour = 0;  // since the epoch
    std::string_view tenant, route, model;
    std::int64_t version = 0;
    std::string_view release;
    UsageMode mode = UsageMode::offline;
    std::string_view user_tag, experiment, upstream, upstream_model;
    friend auto operator<=>(const Keys&, const Keys&) = default;
  };
  struct HashKeys {
    std::size_t operator()(const Keys& keys) const;
  };
  struct Sum {
    Meter meter = Meter::requests;
    Pricing pricing = Pricing::priced;
    std::int64_t quantity = 0;
    Money amount;
  };
  using Sums = std::unordered_map<Keys, std::vector<Sum>, HashKeys>;

  static Keys keys_of(const auto& line) {
    return {std::chrono::floor<std::chrono::hours>(line.at).time_since_epoch().count(),
            line.tenant,
            line.route,
            line.model,
            line.version,
            line.release,
            line.mode,
            line.user_tag,
            line.experiment,
            line.upstream,
            line.upstream_model};
  }
  Sum& sum_for(const Keys& keys, Meter meter, Pricing pricing);
  Result<void> check_room(sql::Tx& tx, const std::string& project) const;

  Sums sums_;
  Sums::value_type* last_ = nullptr;  // lines of a call come one after the other
};

}  // namespace penstock::costs
