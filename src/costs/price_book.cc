#include "costs/price_book.h"

#include <algorithm>
#include <tuple>

#include "resources/fingerprint.h"

namespace penstock::costs {
namespace {

// Beyond these an amount could leave what a total can hold.
constexpr Money price_max = Money::whole(1'000'000);
constexpr std::int64_t unit_max = 1000;  // price / per
constexpr std::size_t books_max = 64;    // kept of projects

// What a token may be metered as, where nobody knows yet.
std::initializer_list<Meter> other_kinds(Meter meter) {
  static constexpr auto of_prompt = {Meter::cached_prompt_tokens, Meter::cache_write_tokens};
  static constexpr auto of_output = {Meter::reasoning_tokens};
  if (meter == Meter::prompt_tokens) return of_prompt;
  if (meter == Meter::output_tokens) return of_output;
  return {};
}

Metered metered(const Usage& usage, std::int64_t call_tokens) {
  Metered out{.meter = usage.meter, .quantity = usage.quantity, .model = usage.model};
  out.upstream_model = usage.upstream_model;
  if (is_tokens(usage.meter)) out.call_tokens = call_tokens;
  return out;
}

}  // namespace

Result<PriceBook> PriceBook::read(sql::Tx& tx, const Call& call, std::optional<Timestamp> known) {
  PriceBook book;
  for (resources::Resource& resource : TRY(resources::list(tx, call.project, "price_list"))) {
    while (known && resource.applied_at > *known && resource.version > 1)
      resource =
          TRY(resources::get(tx, call.project, "price_list", resource.name, resource.version - 1));
    if (!known || resource.applied_at <= *known) TRY(book.add(resource));
  }
  return book;
}

Result<void> PriceBook::add(const resources::Resource& resource) {
  const PriceList list = TRY(decode<PriceList>(resource.declaration));
  const std::string name = "price_list:" + list.name + "@" + std::to_string(resource.version);
  std::int64_t place = 0;
  for (const Price& price : list.prices) {
    entries_[price.meter][price.model.value_or("")].push_back({price, name, place++});
    if (price.above_call_tokens > 0) steps_[price.meter].call.insert(price.above_call_tokens + 1);
    if (price.above_month_quantity > 0)
      steps_[price.meter].month.insert(price.above_month_quantity);
  }
  return {};
}

const PriceBook::Entry* PriceBook::find(const Asked& asked, Used used) const {
  const auto of_meter = entries_.find(asked.meter);
  if (of_meter == entries_.end()) return nullptr;
  const Entry* best = nullptr;
  std::tuple<bool, int, std::int64_t, std::int64_t, Timestamp> best_rank;
  const auto look = [&](std::string_view model, int nearness) {
    const auto found = of_meter->second.find(model);
    if (found == of_meter->second.end()) return;
    for (const Entry& entry : found->second) {
      const Price& price = entry.price;
      const std::int64_t month = price.tenant ? used.by_tenant : used.in_all;
      const bool fits =
          price.from <= asked.at && (!price.until || asked.at < *price.until) &&
          (!price.tenant || *price.tenant == asked.tenant) &&
          (price.above_call_tokens == 0 || asked.call_tokens > price.above_call_tokens) &&
          (price.above_month_quantity == 0 || month >= price.above_month_quantity);
      const auto rank = std::tuple(price.tenant.has_value(), nearness, price.above_call_tokens,
                                   price.above_month_quantity, price.from);
      if (!fits || (best && rank <= best_rank)) continue;
      best = &entry;
      best_rank = rank;
    }
  };
  look("", 0);
  if (!asked.upstream_model.empty()) look(asked.upstream_model, 1);
  if (!asked.model.empty()) look(asked.model, 2);
  return best;
}

const PriceBook::Entry* PriceBook::find(const Usage& usage, std::int64_t call_tokens) const {
  return find({usage.meter, usage.tenant, usage.model, usage.upstream_model, usage.at, call_tokens},
              Used{});
}

Charge PriceBook::charge(const Entry* entry, std::int64_t quantity) {
  if (!entry) return {};
  const Price& price = entry->price;
  return {.pricing = Pricing::priced,
          .price = price.price,
          .per = price.per,
          .amount = price_of(quantity, price.price, price.per),
          .price_list = entry->list,
          .price_entry = entry->place};
}

Charge PriceBook::charge(const Usage& usage, std::int64_t call_tokens, Used used) const {
  return charge(
      find({usage.meter, usage.tenant, usage.model, usage.upstream_model, usage.at, call_tokens},
           used),
      usage.quantity);
}

void PriceBook::price(LedgerLine& line, Used used) const {
  const Charge charge = this->charge(
      find({line.meter, line.tenant, line.model, line.upstream_model, line.at, line.call_tokens},
           used),
      line.quantity);
  line.pricing = charge.pricing;
  line.price = charge.price;
  line.per = charge.per;
  line.amount = charge.amount;
  line.price_list = charge.price_list;
  line.price_entry = charge.price_entry;
}

Result<Money> PriceBook::quote(std::span<const Usage> usages) const {
  Money total;
  const std::int64_t call_tokens = prompt_tokens_of(usages);
  for (const Usage& usage : usages) {
    const Entry* entry = find(usage, call_tokens);
    if (!entry)
      return Error{Code::failed_precondition, "no price for " + std::string(name_of(usage.meter)) +
                                                  " of " + usage.model +
                                                  ": add it to a price_list"};
    total = total + price_of(usage.quantity, entry->price.price, entry->price.per);
  }
  return total;
}

const PriceBook::Steps& PriceBook::steps_of(Meter meter) const {
  static const Steps none;
  const auto found = steps_.find(meter);
  return found == steps_.end() ? none : found->second;
}

std::optional<Money> PriceBook::dearest(const Metered& used, const Payer& payer,
                                        std::int64_t call_tokens) const {
  std::optional<Money> out;
  const auto look = [&](std::int64_t month) {
    const Entry* entry =
        find({used.meter, payer.tenant, used.model, used.upstream_model, payer.at, call_tokens},
             {month, month});
    if (!entry) return;
    const Money price = price_of(used.quantity, entry->price.price, entry->price.per);
    out = std::max(out.value_or(price), price);
  };
  look(0);
  for (const std::int64_t step : steps_of(used.meter).month) look(step);
  return out;
}

std::optional<Money> PriceBook::cost(const Metered& used, const Payer& payer) const {
  return dearest(used, payer, used.call_tokens);
}

std::optional<Money> PriceBook::most(const Metered& used, const Payer& payer) const {
  std::optional<Money> out = dearest(used, payer, 0);
  for (const std::int64_t step : steps_of(used.meter).call) {
    if (step > used.call_tokens) break;
    if (const auto price = dearest(used, payer, step)) out = std::max(out.value_or(*price), *price);
  }
  return out;
}

std::optional<Money> PriceBook::cost_of(std::span<const Usage> usages) const {
  const std::int64_t call_tokens = prompt_tokens_of(usages);
  std::optional<Money> out;
  for (const Usage& usage : usages)
    if (const auto price = cost(metered(usage, call_tokens), {usage.tenant, usage.at}))
      out = out.value_or(Money{}) + *price;
  return out;
}

std::optional<Money> PriceBook::most_of(std::span<const Usage> usages) const {
  const std::int64_t call_tokens = prompt_tokens_of(usages);
  std::optional<Money> out;
  for (const Usage& usage : usages) {
    Metered used = metered(usage, call_tokens);
    std::optional<Money> price = most(used, {usage.tenant, usage.at});
    for (const Meter other : other_kinds(usage.meter)) {
      used.meter = other;
      if (const auto as_other = most(used, {usage.tenant, usage.at}))
        price = std::max(price.value_or(*as_other), *as_other);
    }
    if (price)
      out = out.value_or(Money{}) + *price;
    else if (is_tokens(usage.meter))
      return std::nullopt;
  }
  return out;
}

Result<std::shared_ptr<const PriceBook>> PriceBooks::of(sql::Tx& tx, const Call& call) {
  // By what they say and not by their versions: a version that was rolled back may come again.
  std::string fingerprint = TRY(resources::fingerprint(tx, call.project, "price_list"));
  {
    const std::lock_guard lock(turn_);
    const auto found = kept_.find(call.project);
    if (found != kept_.end() && found->second.fingerprint == fingerprint) return found->second.book;
  }
  auto book = std::make_shared<const PriceBook>(TRY(PriceBook::read(tx, call)));
  const std::lock_guard lock(turn_);
  if (kept_.size() >= books_max) kept_.clear();
  kept_[call.project] = {std::move(fingerprint), book};
  return book;
}

LedgerLine line_of(const std::string& project, const Usage& usage) {
  return {.project = project,
          .source = usage.source,
          .id = usage.id,
          .meter = usage.meter,
          .quantity = usage.quantity,
          .at = usage.at,
          .tenant = usage.tenant,
          .route = usage.route,
          .model = usage.model,
          .version = usage.version,
          .release = usage.release,
          .mode = usage.mode,
          .user_tag = usage.user_tag,
          .experiment = usage.experiment,
          .upstream = usage.upstream,
          .upstream_model = usage.upstream_model};
}

std::int64_t prompt_tokens_of(std::span<const Usage> usages) {
  std::int64_t tokens = 0;
  for (const Usage& usage : usages)
    if (is_prompt(usage.meter)) tokens += usage.quantity;
  return tokens;
}

Result<void> check_prices(const PriceList& list) {
  Error faults{Code::invalid_argument, "the price list has faults"};
  for (std::size_t at = 0; at < list.prices.size(); ++at) {
    const Price& price = list.prices[at];
    const std::string field = "prices[" + std::to_string(at) + "].";
    const Wide size = price.price.units < 0 ? -price.price.units : price.price.units;
    if (size > price_max.units || size > Money::whole(unit_max).units * price.per)
      faults.violations.push_back(
          {field + "price", "must be at most " + to_text(price_max) + ", and at most " +
                                std::to_string(unit_max) + " for one unit"});
    if (price.until && *price.until <= price.from)
      faults.violations.push_back({field + "until", "must be after from"});
    if (price.model && price.model->empty())
      faults.violations.push_back({field + "model", "must not be empty; leave it out for all"});
    if (price.meter == Meter::shared_cost)
      faults.violations.push_back(
          {field + "meter", "must not be shared_cost: a share has no price"});
  }
  if (faults.violations.empty()) return {};
  return faults;
}

}  // namespace penstock::costs
