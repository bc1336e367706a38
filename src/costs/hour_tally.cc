#include "costs/hour_tally.h"

#include <algorithm>
#include <map>

#include "costs/posting.h"
#include "costs/store.h"

namespace penstock::costs {
namespace {

// Of an hour of a project: far beyond all that is used, and far below what a database's whole
// numbers hold, which would say nothing where they overflow. What adds little is not looked at.
constexpr Wide quantity_max_of_hour = Wide{100'000'000'000'000'000};
constexpr Money amount_max_of_hour = Money::whole(1'000'000'000'000'000);
constexpr Wide little = Wide{10'000'000'000'000};
constexpr Money little_money = Money::whole(1'000'000'000);

// A fraction is never negative: -0.5 is -1 + 0.5.
void set_amount(auto& sum, Money amount) {
  Wide whole = amount.units / Money::per_whole, fraction = amount.units % Money::per_whole;
  if (fraction < 0) {
    --whole;
    fraction += Money::per_whole;
  }
  sum.whole = static_cast<std::int64_t>(whole);
  sum.fraction = static_cast<std::int64_t>(fraction);
}

}  // namespace

std::size_t HourTally::HashKeys::operator()(const Keys& keys) const {
  std::size_t out = static_cast<std::size_t>(keys.hour * 31 + keys.version);
  const auto add = [&](std::size_t part) { out = (out ^ part) * 0x9e3779b97f4a7c15; };
  for (const std::string_view text :
       {keys.tenant, keys.route, keys.model, keys.release, keys.user_tag, keys.experiment,
        keys.upstream, keys.upstream_model})
    add(std::hash<std::string_view>()(text));
  add(static_cast<std::size_t>(keys.mode));
  return out;
}

HourTally::Sum& HourTally::sum_for(const Keys& keys, Meter meter, Pricing pricing) {
  if (!last_ || last_->first != keys) last_ = &*sums_.try_emplace(keys).first;
  std::vector<Sum>& sums = last_->second;
  for (Sum& sum : sums)
    if (sum.meter == meter && sum.pricing == pricing) return sum;
  return sums.emplace_back(Sum{.meter = meter, .pricing = pricing});
}

std::set<SpendingHour> HourTally::touched() const {
  std::set<SpendingHour> out;
  for (const auto& [keys, ignored] : sums_)
    out.insert(
        {std::string(keys.tenant), std::string(keys.route), std::string(keys.model), keys.hour});
  return out;
}

Result<void> HourTally::check_room(sql::Tx& tx, const std::string& project) const {
  struct Added {
    Wide quantity = 0;
    Money amount;
  };
  std::map<std::int64_t, Added> hours;
  for (const auto& [keys, sums] : sums_)
    for (const Sum& sum : sums) {
      Added& added = hours[keys.hour];
      added.quantity += std::max<std::int64_t>(sum.quantity, 0);
      added.amount = added.amount + std::max(sum.amount, Money{});
    }
  for (const auto& [hour, added] : hours) {
    if (added.quantity <= little && added.amount <= little_money) continue;
    Wide quantity = added.quantity;
    Money amount = added.amount;
    for (const store::Sum& before : TRY(store::sums(tx, project, hour, hour + 1, {"meter"}))) {
      quantity += before.quantity;
      amount = amount + before.amount;
    }
    if (quantity > quantity_max_of_hour || amount > amount_max_of_hour)
      return Error{Code::invalid_argument,
                   "the hour from " + to_rfc3339(hour_at(hour)) +
                       " would have used more than 10^17 units, or cost more than " +
                       to_text(amount_max_of_hour) + ": are quantity and price in their units?"};
  }
  return {};
}

Result<void> HourTally::write(sql::Tx& tx, const std::string& project) const {
  TRY(check_room(tx, project));
  std::vector<const Sums::value_type*> sorted;
  for (const auto& one : sums_) sorted.push_back(&one);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->first < b->first; });
  std::vector<store::HourSum> rows;
  std::map<SpendingHour, Money> spending;
  for (const auto* one : sorted) {
    const Keys& keys = one->first;
    const store::HourSum of_keys{.project = project,
                                 .hour = keys.hour,
                                 .tenant = std::string(keys.tenant),
                                 .route = std::string(keys.route),
                                 .model = std::string(keys.model),
                                 .version = keys.version,
                                 .release = std::string(keys.release),
                                 .mode = keys.mode,
                                 .user_tag = std::string(keys.user_tag),
                                 .experiment = std::string(keys.experiment),
                                 .upstream = std::string(keys.upstream),
                                 .upstream_model = std::string(keys.upstream_model)};
    Money& spent = spending[{of_keys.tenant, of_keys.route, of_keys.model, keys.hour}];
    for (const Sum& sum : one->second) {
      store::HourSum& row = rows.emplace_back(of_keys);
      row.meter = sum.meter;
      row.pricing = sum.pricing;
      row.quantity = sum.quantity;
      set_amount(row, sum.amount);
      spent = spent + sum.amount;
    }
  }
  TRY(store::add(tx, rows));
  std::vector<store::Spending> spent;
  for (const auto& [key, amount] : spending)
    set_amount(
        spent.emplace_back(store::Spending{project, key.hour, key.tenant, key.route, key.model}),
        amount);
  return store::add(tx, spent);
}

}  // namespace penstock::costs
