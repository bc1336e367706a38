#include "costs/service.h"

#include <algorithm>
#include <sstream>

#include "costs/budgets.h"
#include "costs/guard.h"
#include "costs/price_book.h"
#include "costs/pricing.h"
#include "costs/store.h"
#include "incidents/service.h"

namespace penstock::costs {
namespace {

constexpr std::size_t dimensions_max = 2;

std::int64_t hour_of(Timestamp at) {
  return std::chrono::floor<std::chrono::hours>(at).time_since_epoch().count();
}

Result<void> open_unpriced(sql::Tx& tx, const Call& call, Timestamp now, const LedgerLine& line) {
  const std::string meter(name_of(line.meter));
  TRY(incidents::open(
      tx, call, now,
      {.dedup_key = "unpriced:" + meter + ":" + line.model,
       .title = "No price for " + meter + " of " + line.model +
                ": add it to a price_list; its lines are kept as unpriced",
       .severity = incidents::Severity::warning,
       .subject = line.route.empty() ? "model:" + line.model : "route:" + line.route,
       .detail = {{"meter", meter}, {"model", line.model}}}));
  return {};
}

std::string key_of(const store::Total& total, Dimension dimension) {
  const std::string day = to_rfc3339(Timestamp(std::chrono::hours(total.hour))).substr(0, 10);
  switch (dimension) {
    case Dimension::model: return total.model;
    case Dimension::version: return total.model + "@v" + std::to_string(total.version);
    case Dimension::tenant: return total.tenant;
    case Dimension::route: return total.route;
    case Dimension::meter: return std::string(name_of(total.meter));
    case Dimension::day: return day;
    case Dimension::month: return day.substr(0, 7);
  }
  return "";
}

Result<std::vector<Dimension>> dimensions_of(const std::string& by) {
  std::vector<Dimension> out;
  std::istringstream names(by);
  for (std::string name; std::getline(names, name, ',');) {
    Dimension dimension{};
    if (!Kind<Dimension>::hear(name, dimension))
      return Error{
          Code::invalid_argument,
          "cannot report by \"" + name + "\"",
          {{"by", "must be one or two of model, version, tenant, route, meter, day, month"}}};
    out.push_back(dimension);
  }
  if (!out.empty() && out.size() <= dimensions_max) return out;
  return Error{Code::invalid_argument,
               "a report has one or two dimensions",
               {{"by", "must be one or two of model, version, tenant, route, meter, day, month"}}};
}

Result<std::int64_t> hour_bound(const std::string& field, const std::string& text,
                                std::int64_t open) {
  if (text.empty()) return open;
  const auto at = from_rfc3339(text);
  if (at) return hour_of(*at);
  return Error{Code::invalid_argument, field + " is no time", {{field, "must be RFC 3339"}}};
}

}  // namespace

std::vector<resources::KindHandler> Service::kinds() const {
  return {{.kind = "price_list", .check = resources::checked_as<PriceList>()},
          {.kind = "budget", .check = resources::checked_as<Budget>(check_budget)}};
}

Result<PostOutput> Service::post(const Call& call, const std::vector<Usage>& usages) {
  PostOutput posted = TRY(db_.write(call, [&](sql::Tx& tx) -> Result<PostOutput> {
    const Timestamp now = clock_.now();
    const PriceBook book = TRY(PriceBook::read(tx, call));
    PostOutput out;
    std::map<std::vector<std::string>, store::Total> totals;
    std::set<SpendingHour> touched;
    std::set<std::pair<Meter, std::string>> unpriced;
    for (const Usage& usage : usages) {
      LedgerLine line = line_of(call.project, usage);
      book.price(line);
      if (!TRY(store::insert_line(tx, line))) {
        ++out.repeated;
        continue;
      }
      ++out.posted;
      if (line.pricing == Pricing::unpriced) {
        ++out.unpriced;
        if (unpriced.emplace(line.meter, line.model).second)
          TRY(open_unpriced(tx, call, now, line));
      }
      const std::int64_t hour = hour_of(line.at);
      touched.insert({line.tenant, line.route, line.model, hour});
      store::Total& total =
          totals[{std::to_string(hour), line.tenant, line.route, line.model,
                  std::to_string(line.version), std::string(name_of(line.meter))}];
      total = {.project = call.project,
               .hour = hour,
               .tenant = line.tenant,
               .route = line.route,
               .model = line.model,
               .version = line.version,
               .meter = line.meter,
               .quantity = total.quantity + line.quantity,
               .amount = total.amount + line.amount};
    }
    for (const auto& [ignored, total] : totals) TRY(store::add_total(tx, total));
    TRY(judge_budgets(tx, call, now, touched));
    return out;
  }));
  if (guard_) guard_->posted(call.project, usages);
  return posted;
}

Result<Report> Service::report(const Call& call, const ReportInput& input) {
  const auto dimensions = TRY(dimensions_of(input.by));
  const std::int64_t from = TRY(hour_bound("from", input.from, 0));
  const std::int64_t until = TRY(hour_bound("until", input.until, 1'000'000'000));
  return db_.read(call, [&](sql::Tx& tx) -> Result<Report> {
    Report report;
    for (const Dimension dimension : dimensions) report.dimensions.emplace_back(name_of(dimension));
    std::map<std::vector<std::string>, ReportRow> rows;
    for (const store::Total& total : TRY(store::totals(tx, call.project, from, until))) {
      std::vector<std::string> keys;
      for (const Dimension dimension : dimensions) keys.push_back(key_of(total, dimension));
      ReportRow& row = rows[keys];
      row.keys = keys;
      row.quantity += total.quantity;
      row.amount = row.amount + total.amount;
      report.total = report.total + total.amount;
    }
    for (auto& [ignored, row] : rows) report.rows.push_back(std::move(row));
    std::stable_sort(report.rows.begin(), report.rows.end(),
                     [](const ReportRow& a, const ReportRow& b) { return a.amount > b.amount; });
    return report;
  });
}

Result<Lines> Service::lines(const Call& call, const LinesInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<Lines> {
    Lines out{.lines = TRY(store::lines(tx, call.project, input.source, input.id))};
    for (const LedgerLine& line : out.lines) out.total = out.total + line.amount;
    return out;
  });
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
