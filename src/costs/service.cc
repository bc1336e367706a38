#include "costs/service.h"

#include "costs/budgets.h"
#include "costs/cloud_events.h"
#include "costs/guard.h"
#include "costs/price_book.h"
#include "costs/pricing.h"
#include "costs/store.h"

namespace penstock::costs {
namespace {

// Amounts of two currencies do not add up.
Result<void> check_price_list(sql::Tx& tx, const Call& call, const PriceList& list) {
  TRY(check_prices(list));
  for (const resources::Resource& other : TRY(resources::list(tx, call.project, "price_list"))) {
    if (other.name == list.name) continue;
    const std::string currency = TRY(decode<PriceList>(other.declaration)).currency;
    if (currency != list.currency)
      return Error{Code::invalid_argument,
                   "a project's ledger has one currency",
                   {{"currency", "must be " + currency + ", as that of price_list " + other.name}}};
  }
  return {};
}

std::string id_of(const json::value& event) {
  const json::value* id = event.is_object() ? event.get_object().if_contains("id") : nullptr;
  return id && id->is_string() ? std::string(id->get_string()).substr(0, 200) : "";
}

// Sums are whole numbers of 64 bits; a post that may pass what they hold is a mistake.
constexpr Wide quantity_max_of_post = Wide{100'000'000'000'000'000};

Result<void> check_quantities(const std::vector<Usage>& usages) {
  Wide sum = 0;
  for (const Usage& usage : usages) sum += usage.quantity;
  if (sum <= quantity_max_of_post) return {};
  return Error{
      Code::invalid_argument,
      "the quantities of one post add up to more than 10^17: are they in the meter's unit?"};
}

}  // namespace

std::vector<resources::KindHandler> Service::kinds() const {
  return {{.kind = "price_list", .check = resources::checked_as<PriceList>(check_price_list)},
          {.kind = "budget", .check = resources::checked_as<Budget>(check_budget)}};
}

Result<PostOutput> Service::post(const Call& call, const std::vector<Usage>& usages) {
  PostOutput posted = TRY(db_.write(call, [&](sql::Tx& tx) {
    return costs::post(tx, call, clock_.now(), books_, usages, Unique::line);
  }));
  if (guard_) guard_->posted(call.project, usages);
  return posted;
}

Result<PostOutput> Service::post_outside(const Call& call, const std::vector<Usage>& usages) {
  for (std::size_t at = 0; at < usages.size(); ++at) {
    const std::string field = "usages[" + std::to_string(at) + "].";
    TRY(check_source(usages[at].source, field + "source"));
    if (usages[at].meter == Meter::shared_cost)
      return Error{Code::invalid_argument,
                   "a bill is split by POST /api/v1/costs/shares",
                   {{field + "meter", "must not be shared_cost"}}};
  }
  TRY(check_quantities(usages));
  return post(call, usages);
}

Result<EventsOutput> Service::post_events(const Call& call,
                                          const std::vector<json::value>& events) {
  if (events.empty() || events.size() > events_max)
    return Error{Code::invalid_argument, "a batch has 1 to " + std::to_string(events_max) +
                                             " events, this one " + std::to_string(events.size())};
  EventsOutput out;
  Error faults{Code::invalid_argument, "no event of the batch can be read"};
  std::vector<Usage> usages;
  for (std::size_t at = 0; at < events.size(); ++at) {
    auto usage = usage_of(events[at], call, clock_.now());
    if (usage) {
      usages.push_back(std::move(*usage));
      continue;
    }
    const Error& error = usage.error();
    out.rejected.push_back({static_cast<std::int64_t>(at), id_of(events[at]), error.message});
    for (Violation violation : error.violations) {
      if (events.size() > 1) violation.field = "[" + std::to_string(at) + "]." + violation.field;
      faults.violations.push_back(std::move(violation));
    }
    if (events.size() == 1) faults.message = error.message;
  }
  if (usages.empty()) return faults;
  TRY(check_quantities(usages));
  const PostOutput posted = TRY(db_.write(call, [&](sql::Tx& tx) {
    return costs::post(tx, call, clock_.now(), books_, usages, Unique::event);
  }));
  if (guard_) guard_->posted(call.project, usages);
  out.posted = posted.posted;
  out.repeated = posted.repeated;
  out.unpriced = posted.unpriced;
  return out;
}

Result<Report> Service::report(const Call& call, const ReportInput& input) {
  return db_.read(call, [&](sql::Tx& tx) { return costs::report(tx, call, input); });
}

Result<FocusOutput> Service::focus(const Call& call, const PeriodInput& input) {
  return db_.read(call, [&](sql::Tx& tx) { return costs::focus(tx, call, input); });
}

Result<Showback> Service::showback(const Call& call, const PeriodInput& input) {
  return db_.read(call, [&](sql::Tx& tx) { return costs::showback(tx, call, input); });
}

Result<bool> Service::has(const Call& call, const LinesInput& input) {
  const std::string_view id = input.id;
  return db_.read(call, [&](sql::Tx& tx) -> Result<bool> {
    return !TRY(store::known(tx, call.project, input.source, {&id, 1})).empty();
  });
}

Result<Lines> Service::lines(const Call& call, const LinesInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<Lines> {
    Lines out{.lines = TRY(store::lines(tx, call.project, input.source, input.id))};
    for (const LedgerLine& line : out.lines) out.total = out.total + line.amount;
    return out;
  });
}

Result<CorrectOutput> Service::correct(const Call& call, const CorrectInput& input) {
  return db_.write(call,
                   [&](sql::Tx& tx) { return costs::correct(tx, call, clock_.now(), input); });
}

Result<RepriceOutput> Service::reprice(const Call& call, const RepriceInput& input) {
  return db_.write(call,
                   [&](sql::Tx& tx) { return costs::reprice(tx, call, clock_.now(), input); });
}

Result<ShareOutput> Service::share(const Call& call, const ShareInput& input) {
  return db_.write(call, [&](sql::Tx& tx) { return costs::share(tx, call, clock_.now(), input); });
}

Result<Reconciliation> Service::reconcile(const Call& call, const ReconcileInput& input) {
  return db_.write(call,
                   [&](sql::Tx& tx) { return costs::reconcile(tx, call, clock_.now(), input); });
}

Result<Reconciliation> Service::reconciliations(const Call& call,
                                                const ReconciliationsInput& input) {
  return db_.read(call, [&](sql::Tx& tx) { return costs::reconciliations(tx, call, input); });
}

Result<std::vector<LedgerLine>> priced(sql::Tx& tx, const Call& call,
                                       const std::vector<Usage>& usages) {
  const PriceBook book = TRY(PriceBook::read(tx, call));
  std::vector<LedgerLine> lines;
  for (const Usage& usage : usages) book.price(lines.emplace_back(line_of(call.project, usage)));
  return lines;
}

Result<std::vector<LedgerLine>> posted(sql::Tx& tx, const Call& call, const std::string& source,
                                       const std::string& id) {
  return store::lines(tx, call.project, source, id);
}

}  // namespace penstock::costs
