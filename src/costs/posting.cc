#include "costs/posting.h"

#include <algorithm>
#include <set>
#include <span>

#include "costs/budgets.h"
#include "costs/hour_tally.h"
#include "costs/packed_lines.h"
#include "costs/store.h"
#include "incidents/service.h"

namespace penstock::costs {
namespace {

using EventKey = std::pair<std::string_view, std::string_view>;
EventKey event_key(const Usage& usage) { return {usage.source, usage.id}; }

// `line` is a LedgerLine or a Usage.
Result<void> open_unpriced(sql::Tx& tx, const Call& call, Timestamp now, const auto& line) {
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

// A usage on its way into the ledger.
struct Posting {
  const Usage* usage;
  std::int64_t call_tokens = 0;
  bool is_new = false;
  Charge charge = {};
};

// The postings of one (source, id), in the order of their coming.
using CallPostings = std::span<Posting*>;

bool of_one_call(const Posting* a, const Posting* b) {
  return a->usage->id == b->usage->id && a->usage->source == b->usage->source;
}

// All of them by (source, id), which is the order of the ledger's keys. Those of a call mostly come
// one after the other, so calls are sorted and not postings.
std::vector<Posting*> by_call(std::vector<Posting>& postings) {
  std::vector<std::span<Posting>> runs;
  for (std::size_t at = 0; at < postings.size();) {
    std::size_t end = at + 1;
    while (end < postings.size() && of_one_call(&postings[at], &postings[end])) ++end;
    runs.push_back(std::span(postings).subspan(at, end - at));
    at = end;
  }
  std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) {
    const auto order = event_key(*a.front().usage) <=> event_key(*b.front().usage);
    return order != 0 ? order < 0 : a.data() < b.data();
  });
  std::vector<Posting*> out;
  out.reserve(postings.size());
  for (const std::span<Posting> run : runs)
    for (Posting& posting : run) out.push_back(&posting);
  return out;
}

std::vector<CallPostings> calls_of(std::vector<Posting*>& sorted) {
  std::vector<CallPostings> out;
  for (std::size_t at = 0; at < sorted.size();) {
    std::size_t end = at + 1;
    while (end < sorted.size() && of_one_call(sorted[at], sorted[end])) ++end;
    out.push_back(std::span(sorted).subspan(at, end - at));
    at = end;
  }
  return out;
}

std::uint64_t bit(Meter meter) { return std::uint64_t{1} << static_cast<int>(meter); }

// Marks what is new: what the ledger does not know, and what did not come before in this post.
Result<void> mark_new(sql::Tx& tx, const Call& call, std::span<const CallPostings> calls,
                      Unique unique) {
  for (std::size_t at = 0; at < calls.size();) {
    const std::string& source = calls[at].front()->usage->source;
    std::vector<std::string_view> ids;
    const std::size_t first = at;
    for (; at < calls.size() && calls[at].front()->usage->source == source; ++at)
      ids.push_back(calls[at].front()->usage->id);
    std::map<std::string, std::uint64_t, std::less<>> known;  // a bit for each meter
    for (auto& [id, meter] : TRY(store::known(tx, call.project, source, ids)))
      known[std::move(id)] |= bit(meter);
    for (const CallPostings& postings : calls.subspan(first, at - first)) {
      const auto found = known.empty() ? known.end() : known.find(postings.front()->usage->id);
      std::uint64_t meters = found == known.end() ? 0 : found->second;
      for (Posting* posting : postings) {
        const std::uint64_t own = bit(posting->usage->meter);
        posting->is_new = unique == Unique::event ? meters == 0 : (meters & own) == 0;
        meters |= own;
      }
    }
  }
  return {};
}

void set_call_tokens(const CallPostings& postings) {
  std::int64_t prompt = 0;
  for (const Posting* posting : postings)
    if (is_prompt(posting->usage->meter)) prompt += posting->usage->quantity;
  for (Posting* posting : postings)
    if (is_tokens(posting->usage->meter)) posting->call_tokens = prompt;
}

bool fit_one_row(const Usage& a, const Usage& b) {
  return a.at == b.at && a.tenant == b.tenant && a.route == b.route && a.model == b.model &&
         a.version == b.version && a.release == b.release && a.mode == b.mode &&
         a.user_tag == b.user_tag && a.experiment == b.experiment && a.upstream == b.upstream &&
         a.upstream_model == b.upstream_model;
}

// The rows of what is new of a call: mostly one.
void add_rows(const CallPostings& postings, std::vector<store::CallRow>& rows) {
  std::vector<const Posting*> left;
  for (const Posting* posting : postings)
    if (posting->is_new) left.push_back(posting);
  LinePacker packer;
  while (!left.empty()) {
    const Usage& first = *left.front()->usage;
    std::erase_if(left, [&](const Posting* posting) {
      const bool fits = fit_one_row(first, *posting->usage);
      if (fits) packer.add(*posting->usage, posting->call_tokens, posting->charge);
      return fits;
    });
    rows.push_back({&first, packer.take()});
  }
}

// What comes with lines: sums by hour, and what is to be told about them.
class Effects {
 public:
  void add(const auto& line, Pricing pricing, Money amount) { tally_.add(line, pricing, amount); }
  // An unpriced one opens an incident, once for its meter and model.
  Result<void> tell_unpriced(sql::Tx& tx, const Call& call, Timestamp now, const auto& line) {
    if (told_.emplace(line.meter, line.model).second) TRY(open_unpriced(tx, call, now, line));
    return {};
  }
  Result<void> write(sql::Tx& tx, const Call& call, Timestamp now, bool judged) {
    TRY(tally_.write(tx, call.project));
    if (judged) TRY(judge_budgets(tx, call, now, tally_.touched()));
    return {};
  }

 private:
  HourTally tally_;
  std::set<std::pair<Meter, std::string>> told_;
};

}  // namespace

std::int64_t month_start(std::int64_t hour) {
  const std::chrono::year_month_day date(std::chrono::floor<std::chrono::days>(hour_at(hour)));
  const std::chrono::sys_days first(date.year() / date.month() / 1);
  return std::int64_t{first.time_since_epoch().count()} * 24;
}

Result<PriceBook::Used> Pricer::used_before(sql::Tx& tx, const std::string& project,
                                            const auto& line) {
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
         TRY(store::sums(tx, project, month, until, {"tenant"}, " AND meter = $4 AND model = $5",
                         {sql::to_sql(line.meter), line.model})))
      count(std::get<std::string>(sum.keys.at(0)), sum.quantity);
    const store::Position before{line.at, line.source, line.id, line.meter};
    if (order_ == Order::time)
      for (const auto& [tenant, quantity] :
           TRY(store::used_before(tx, project, line.model, before, hour_at(hour))))
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
  if (book_->depends_on_month(line.meter)) used = TRY(used_before(tx, line.project, line));
  book_->price(line, used);
  return {};
}

Result<Charge> Pricer::charge(sql::Tx& tx, const std::string& project, const Usage& usage,
                              std::int64_t call_tokens) {
  PriceBook::Used used;
  if (book_->depends_on_month(usage.meter)) used = TRY(used_before(tx, project, usage));
  return book_->charge(usage, call_tokens, used);
}

Result<PostOutput> post(sql::Tx& tx, const Call& call, Timestamp now, PriceBooks& books,
                        const std::vector<Usage>& usages, Unique unique) {
  std::vector<Posting> postings;
  postings.reserve(usages.size());
  for (const Usage& usage : usages) postings.push_back({&usage});
  std::vector<Posting*> sorted = by_call(postings);
  const std::vector<CallPostings> calls = calls_of(sorted);
  TRY(mark_new(tx, call, calls, unique));
  for (const CallPostings& of_call : calls) set_call_tokens(of_call);

  // In the order of their coming, by which tiers of a month are filled.
  Pricer pricer(TRY(books.of(tx, call)), Pricer::Order::arrival);
  PostOutput out;
  Effects effects;
  for (Posting& posting : postings) {
    if (!posting.is_new) {
      ++out.repeated;
      continue;
    }
    const Usage& usage = *posting.usage;
    posting.charge = TRY(pricer.charge(tx, call.project, usage, posting.call_tokens));
    effects.add(usage, posting.charge.pricing, posting.charge.amount);
    ++out.posted;
    if (posting.charge.pricing == Pricing::priced) continue;
    ++out.unpriced;
    TRY(effects.tell_unpriced(tx, call, now, usage));
  }

  std::vector<store::CallRow> rows;
  rows.reserve(calls.size());
  for (const CallPostings& of_call : calls) add_rows(of_call, rows);
  TRY(store::insert_calls(tx, call.project, now, rows));
  TRY(effects.write(tx, call, now, true));
  return out;
}

Result<void> write(sql::Tx& tx, const Call& call, Timestamp now,
                   const std::vector<LedgerLine>& lines, bool judged) {
  TRY(store::insert_lines(tx, lines));
  Effects effects;
  for (const LedgerLine& line : lines) {
    effects.add(line, line.pricing, line.amount);
    if (line.pricing == Pricing::unpriced && line.quantity >= 0)
      TRY(effects.tell_unpriced(tx, call, now, line));
  }
  return effects.write(tx, call, now, judged);
}

}  // namespace penstock::costs
