#include "costs/price_book.h"

#include "resources/service.h"

namespace penstock::costs {

Result<PriceBook> PriceBook::read(sql::Tx& tx, const Call& call) {
  PriceBook book;
  for (const resources::Resource& resource : TRY(resources::list(tx, call.project, "price_list"))) {
    const PriceList list = TRY(decode<PriceList>(resource.declaration));
    for (const Price& price : list.prices)
      book.entries_.push_back(
          {price, "price_list:" + list.name + "@" + std::to_string(resource.version)});
  }
  return book;
}

void PriceBook::price(LedgerLine& line) const {
  const Entry* best = nullptr;
  for (const Entry& entry : entries_) {
    const bool fits = entry.price.meter == line.meter && entry.price.from <= line.at &&
                      (!entry.price.model || *entry.price.model == line.model);
    if (fits && (!best || rank(entry) > rank(*best))) best = &entry;
  }
  if (!best) return;
  line.pricing = Pricing::priced;
  line.price = best->price.price;
  line.per = best->price.per;
  line.amount = price_of(line.quantity, line.price, line.per);
  line.price_list = best->list;
}

Result<Money> PriceBook::quote(std::span<const Usage> usages) const {
  Money total;
  for (const Usage& usage : usages) {
    LedgerLine line = line_of("", usage);
    price(line);
    if (line.pricing == Pricing::unpriced)
      return Error{Code::failed_precondition, "no price for " + std::string(name_of(line.meter)) +
                                                  " of " + line.model + ": add it to a price_list"};
    total = total + line.amount;
  }
  return total;
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
          .release = usage.release};
}

}  // namespace penstock::costs
