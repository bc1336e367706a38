#include "costs/posting.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "costs/budgets.h"
#include "costs/store.h"
#include "incidents/service.h"

namespace penstock::costs {
namespace {

// (source, id) of a usage that outlives it.
using EventKey = std::pair<std::string_view, std::string_view>;
struct HashKey {
  std::size_t operator()(const EventKey& key) const {
    const std::hash<std::string_view> hash;
    return hash(key.first) * 31 + hash(key.second);
  }
};
EventKey event_key(const Usage& usage) { return {usage.source, usage.id}; }

Result<void> open_unpriced(sql::Tx& tx, const Call& call, Timestamp now, const LedgerLine& line) {
  const std::string meter(name_of(line.meter));
  std::string model = line.model;
  if (!line.upstream_model.empty() && line.upstream_model != line.model)
    model += (model.empty() ? "" : ", ") + line.upstream_model;
  TRY(incidents::open(
      tx, call, now,
      {.dedup_key = "unpriced:" + meter + ":" + line.model,
       .title = "No price for " + meter + (model.empty() ? "" : " of " + model) +
                ": add it to a price_list; its lines are kept as unpriced, and penstock cost "
                "reprice prices them",
       .severity = incidents::Severity::warning,
       .subject = line.route.empty() ? "model:" + line.model : "route:" + line.route,
       .detail = {{"meter", meter},
                  {"model", line.model},
                  {"upstream_model", line.upstream_model},
                  {"tenant", line.tenant}}}));
  return {};
}

// What the usages of each source are known by already. They outlive it.
class Known {
 public:
  static Result<Known> read(sql::Tx& tx, const Call& call, const std::vector<Usage>& usages) {
    Known out;
    out.meters_.reserve(usages.size());
    std::map<std::string_view, std::vector<std::string>> ids;
    for (const Usage& usage : usages)
      if (out.meters_.emplace(event_key(usage), 0).second) ids[usage.source].push_back(usage.id);
    for (const auto& [source, list] : ids)
      for (const auto& [id, meter] : TRY(store::known(tx, call.project, std::string(source), list)))
        out.meters_.at({source, id}) |= bit(meter);
    return out;
  }
  // True if it is new.
  bool take(const Usage& usage, Unique unique) {
    std::uint64_t& meters = meters_.at(event_key(usage));
    const bool is_new = unique == Unique::event ? meters == 0 : (meters & bit(usage.meter)) == 0;
    meters |= bit(usage.meter);
    return is_new;
  }

 private:
  static std::uint64_t bit(Meter meter) { return std::uint64_t{1} << static_cast<int>(meter); }
  std::unordered_map<EventKey, std::uint64_t, HashKey> meters_;  // a bit for each
};

store::HourSum sum_of(const LedgerLine& line) {
  return {.project = line.project,
          .hour = hour_of(line.at),
          .tenant = line.tenant,
          .route = line.route,
          .model = line.model,
          .version = line.version,
          .release = line.release,
          .mode = line.mode,
          .user_tag = line.user_tag,
          .experiment = line.experiment,
          .upstream = line.upstream,
          .upstream_model = line.upstream_model,
          .meter = line.meter,
          .pricing = line.pricing};
}

bool has_key_of(const store::HourSum& sum, const LedgerLine& line) {
  return sum.meter == line.meter && sum.hour == hour_of(line.at) && sum.tenant == line.tenant &&
         sum.route == line.route && sum.model == line.model && sum.version == line.version &&
         sum.release == line.release && sum.mode == line.mode && sum.user_tag == line.user_tag &&
         sum.experiment == line.experiment && sum.upstream == line.upstream &&
         sum.upstream_model == line.upstream_model && sum.pricing == line.pricing;
}

std::string key_of(const store::HourSum& sum) {
  constexpr char separator = '\x1f';
  std::string key;
  const auto add = [&](const std::string& part) { (key += part) += separator; };
  add(std::to_string(sum.hour));
  for (const std::string* part : {&sum.tenant, &sum.route, &sum.model, &sum.release, &sum.user_tag,
                                  &sum.experiment, &sum.upstream, &sum.upstream_model})
    add(*part);
  add(std::to_string(sum.version));
  for (const int part :
       {static_cast<int>(sum.mode), static_cast<int>(sum.meter), static_cast<int>(sum.pricing)})
    add(std::to_string(part));
  return key;
}

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

// What lines add to hours.
class Adding {
 public:
  void add(const LedgerLine& line) {
    Hour& hour = hour_for(line);
    hour.sum.quantity += line.quantity;
    hour.amount = hour.amount + line.amount;
  }
  std::set<SpendingHour> touched() const {
    std::set<SpendingHour> out;
    for (const auto& [ignored, hour] : hours_)
      out.insert({hour.sum.tenant, hour.sum.route, hour.sum.model, hour.sum.hour});
    return out;
  }
  Result<void> write(sql::Tx& tx, const std::string& project) {
    std::vector<store::HourSum> sums;
    std::map<SpendingHour, Money> spending;
    for (auto& [ignored, hour] : hours_) {
      set_amount(hour.sum, hour.amount);
      Money& spent = spending[{hour.sum.tenant, hour.sum.route, hour.sum.model, hour.sum.hour}];
      spent = spent + hour.amount;
      sums.push_back(std::move(hour.sum));
    }
    TRY(store::add(tx, sums));
    std::vector<store::Spending> rows;
    for (const auto& [key, amount] : spending)
      set_amount(
          rows.emplace_back(store::Spending{project, key.hour, key.tenant, key.route, key.model}),
          amount);
    return store::add(tx, rows);
  }

 private:
  struct Hour {
    store::HourSum sum;
    Money amount;
  };
  // Lines of many calls go to few hours: mostly to that of the last line of the same meter.
  Hour& hour_for(const LedgerLine& line) {
    Hour*& last = last_[line.meter];
    if (last && has_key_of(last->sum, line)) return *last;
    store::HourSum sum = sum_of(line);
    std::string key = key_of(sum);
    last = &hours_.try_emplace(std::move(key), Hour{std::move(sum), {}}).first->second;
    return *last;
  }

  std::map<std::string, Hour> hours_;
  std::map<Meter, Hour*> last_;
};

}  // namespace

std::int64_t month_start(std::int64_t hour) {
  const std::chrono::year_month_day date(std::chrono::floor<std::chrono::days>(hour_at(hour)));
  const std::chrono::sys_days first(date.year() / date.month() / 1);
  return std::int64_t{first.time_since_epoch().count()} * 24;
}

Result<PriceBook::Used> Pricer::used_before(sql::Tx& tx, const LedgerLine& line) {
  const std::int64_t hour = hour_of(line.at), month = month_start(hour);
  const auto key = [&](const std::string& tenant) {
    return Key{month, line.meter, line.model, tenant};
  };
  if (!used_.contains(key(""))) {
    const std::int64_t until = order_ == Order::time ? hour : month_start(month + 32 * 24);
    std::int64_t all = 0;
    const auto count = [&](const std::string& tenant, std::int64_t quantity) {
      all += quantity;
      used_[key(tenant)] += quantity;
    };
    for (const store::Sum& sum :
         TRY(store::sums(tx, line.project, month, until, {"tenant"},
                         " AND meter = $4 AND model = $5", {sql::to_sql(line.meter), line.model})))
      count(std::get<std::string>(sum.keys.at(0)), sum.quantity);
    if (order_ == Order::time)
      for (const auto& [tenant, quantity] : TRY(store::used_before(tx, line, hour_at(hour))))
        count(tenant, quantity);
    used_[key("")] = all;
  }
  std::int64_t &all = used_[key("")], &mine = used_[key(line.tenant)];
  const PriceBook::Used used{all, line.tenant.empty() ? all : mine};
  all += line.quantity;
  if (!line.tenant.empty()) mine += line.quantity;
  return used;
}

Result<void> Pricer::price(sql::Tx& tx, LedgerLine& line) {
  PriceBook::Used used;
  if (book_.depends_on_month(line.meter)) used = TRY(used_before(tx, line));
  book_.price(line, used);
  return {};
}

Result<PostOutput> post(sql::Tx& tx, const Call& call, Timestamp now,
                        const std::vector<Usage>& usages, Unique unique,
                        std::vector<bool>* repeats) {
  Known known = TRY(Known::read(tx, call, usages));
  Pricer pricer(TRY(PriceBook::read(tx, call)), Pricer::Order::arrival);
  std::unordered_map<EventKey, std::int64_t, HashKey> prompts;
  for (const Usage& usage : usages)
    if (is_prompt(usage.meter)) prompts[event_key(usage)] += usage.quantity;
  PostOutput out;
  std::vector<LedgerLine> lines;
  lines.reserve(usages.size());
  for (const Usage& usage : usages) {
    const bool is_new = known.take(usage, unique);
    if (repeats) repeats->push_back(!is_new);
    if (!is_new) {
      ++out.repeated;
      continue;
    }
    LedgerLine& line = lines.emplace_back(line_of(call.project, usage));
    line.posted_at = now;
    if (is_tokens(line.meter))
      if (const auto prompt = prompts.find(event_key(usage)); prompt != prompts.end())
        line.call_tokens = prompt->second;
    TRY(pricer.price(tx, line));
    ++out.posted;
    if (line.pricing == Pricing::unpriced) ++out.unpriced;
  }
  TRY(write(tx, call, now, lines));
  return out;
}

Result<void> write(sql::Tx& tx, const Call& call, Timestamp now,
                   const std::vector<LedgerLine>& lines, bool judged) {
  TRY(store::insert_lines(tx, lines));
  Adding adding;
  std::set<std::pair<Meter, std::string>> unpriced;
  for (const LedgerLine& line : lines) {
    adding.add(line);
    if (line.pricing == Pricing::unpriced && line.quantity >= 0 &&
        unpriced.emplace(line.meter, line.model).second)
      TRY(open_unpriced(tx, call, now, line));
  }
  const auto touched = adding.touched();
  TRY(adding.write(tx, call.project));
  if (judged) TRY(judge_budgets(tx, call, now, touched));
  return {};
}

}  // namespace penstock::costs
