#include "costs/reports.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "costs/posting.h"
#include "costs/store.h"
#include "resources/service.h"

namespace penstock::costs {
namespace {

constexpr std::size_t dimensions_max = 2;
constexpr std::size_t rows_max = 100'000;

std::string dimension_names() {
  std::string names;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<Dimension>>(
      [&](auto e) { names += (names.empty() ? "" : ", ") + std::string(e.name); });
  return "must be one or two of " + names;
}

Result<std::vector<Dimension>> dimensions_of(const std::string& by) {
  std::vector<Dimension> out;
  std::istringstream names(by);
  for (std::string name; std::getline(names, name, ',');) {
    Dimension dimension{};
    if (!Kind<Dimension>::hear(name, dimension))
      return Error{
          Code::invalid_argument, "cannot report by \"" + name + "\"", {{"by", dimension_names()}}};
    out.push_back(dimension);
  }
  if (!out.empty() && out.size() <= dimensions_max) return out;
  return Error{
      Code::invalid_argument, "a report has one or two dimensions", {{"by", dimension_names()}}};
}

// What a dimension is made of in the table of sums.
std::vector<std::string> columns_of(Dimension dimension) {
  switch (dimension) {
    case Dimension::version: return {"model", "version"};
    case Dimension::project: return {};
    case Dimension::user: return {"user_tag"};
    // Many hours of a day are one row already in the database.
    case Dimension::day:
    case Dimension::month: return {"hour / 24"};
    default: return {std::string(name_of(dimension))};
  }
}

std::string key_of(Dimension dimension, const Call& call, const Scalar* columns) {
  const auto number = [&](std::size_t at) { return std::get<std::int64_t>(columns[at]); };
  switch (dimension) {
    case Dimension::version: return name_of_version(std::get<std::string>(columns[0]), number(1));
    case Dimension::project: return call.project;
    case Dimension::hour: return to_rfc3339(hour_at(number(0)));
    case Dimension::day: return to_rfc3339(hour_at(number(0) * 24)).substr(0, 10);
    case Dimension::month: return to_rfc3339(hour_at(number(0) * 24)).substr(0, 7);
    default: return std::get<std::string>(columns[0]);
  }
}

// The WHERE of a report's filters; its parameters go to `more`.
Result<std::string> condition_of(const ReportInput& input, sql::Row& more) {
  std::string text;
  const auto add = [&](const std::string& column, const std::string& value) {
    if (value.empty()) return;
    more.emplace_back(value);
    text += " AND " + column + " = $" + std::to_string(3 + more.size());
  };
  Meter meter{};
  UsageMode mode{};
  if (!input.meter.empty() && !Kind<Meter>::hear(input.meter, meter))
    return Error{Code::invalid_argument,
                 "there is no meter " + input.meter,
                 {{"meter", "must be the name of a meter, as prompt_tokens"}}};
  if (!input.mode.empty() && !Kind<UsageMode>::hear(input.mode, mode))
    return Error{Code::invalid_argument,
                 "there is no mode " + input.mode,
                 {{"mode", "must be online, batch, stream, shadow or offline"}}};
  add("tenant", input.tenant);
  add("route", input.route);
  add("model", input.model);
  add("meter", input.meter);
  add("mode", input.mode);
  return text;
}

Error too_many() {
  return {Code::resource_exhausted,
          "the report has more than " + std::to_string(rows_max) +
              " rows: ask for a shorter period, or by other dimensions",
          {}};
}

}  // namespace

std::string name_of_version(const std::string& model, std::int64_t version) {
  return version == 0 ? model : model + "@v" + std::to_string(version);
}

Result<std::int64_t> hour_bound(const std::string& field, const std::string& text,
                                std::int64_t open) {
  if (text.empty()) return open;
  const auto at = from_rfc3339(text);
  if (at) return hour_of(*at);
  return Error{Code::invalid_argument, field + " is no time", {{field, "must be RFC 3339"}}};
}

Result<std::string> ledger_currency(sql::Tx& tx, const Call& call) {
  const auto lists = TRY(resources::list(tx, call.project, "price_list"));
  if (lists.empty()) return std::string("USD");
  return TRY(decode<PriceList>(lists.front().declaration)).currency;
}

Result<Report> report(sql::Tx& tx, const Call& call, const ReportInput& input) {
  const auto dimensions = TRY(dimensions_of(input.by));
  const std::int64_t from = TRY(hour_bound("from", input.from, first_hour));
  const std::int64_t until = TRY(hour_bound("until", input.until, last_hour));
  sql::Row more;
  const std::string condition = TRY(condition_of(input, more));

  Report out{.currency = TRY(ledger_currency(tx, call))};
  std::vector<std::string> columns;
  std::vector<std::size_t> places;  // of each dimension's first column
  for (const Dimension dimension : dimensions) {
    out.dimensions.emplace_back(name_of(dimension));
    places.push_back(columns.size());
    for (std::string& column : columns_of(dimension)) columns.push_back(std::move(column));
  }
  const std::size_t pricing = columns.size();
  columns.emplace_back("pricing");
  std::map<std::vector<std::string>, ReportRow> rows;
  for (const store::Sum& sum :
       TRY(store::sums(tx, call.project, from, until, columns, condition, more))) {
    std::vector<std::string> keys;
    for (std::size_t at = 0; at < dimensions.size(); ++at)
      keys.push_back(key_of(dimensions[at], call, &sum.keys[places[at]]));
    ReportRow& row = rows[keys];
    row.keys = keys;
    row.quantity += sum.quantity;
    row.amount = row.amount + sum.amount;
    if (std::get<std::string>(sum.keys[pricing]) == name_of(Pricing::unpriced))
      row.unpriced += sum.quantity;
    out.total = out.total + sum.amount;
    if (rows.size() > rows_max) return too_many();
  }
  for (auto& [ignored, row] : rows) out.rows.push_back(std::move(row));
  std::stable_sort(out.rows.begin(), out.rows.end(),
                   [](const ReportRow& a, const ReportRow& b) { return a.amount > b.amount; });
  for (const store::Sum& sum : TRY(store::sums(tx, call.project, from, until, {"meter"},
                                               condition + " AND pricing = 'unpriced'", more)))
    if (sum.quantity != 0) out.unpriced.push_back(std::get<std::string>(sum.keys.at(0)));
  return out;
}

Result<Showback> showback(sql::Tx& tx, const Call& call, const PeriodInput& input) {
  const std::int64_t from = TRY(hour_bound("from", input.from, first_hour));
  const std::int64_t until = TRY(hour_bound("until", input.until, last_hour));
  Showback out{.currency = TRY(ledger_currency(tx, call))};
  std::size_t rows = 0;
  for (const store::Sum& sum : TRY(store::sums(
           tx, call.project, from, until, {"tenant", "model", "version", "meter", "pricing"}))) {
    // A correction may have left nothing of a sum.
    if (sum.quantity == 0 && sum.amount == Money{}) continue;
    if (++rows > rows_max) return too_many();
    const std::string& tenant = std::get<std::string>(sum.keys.at(0));
    if (out.tenants.empty() || out.tenants.back().tenant != tenant)
      out.tenants.push_back({.tenant = tenant});
    Statement& statement = out.tenants.back();
    StatementRow& row = statement.rows.emplace_back();
    sql::from_sql(sum.keys.at(1), row.model);
    sql::from_sql(sum.keys.at(2), row.version);
    sql::from_sql(sum.keys.at(3), row.meter);
    sql::from_sql(sum.keys.at(4), row.pricing);
    row.quantity = sum.quantity;
    row.amount = sum.amount;
    statement.total = statement.total + sum.amount;
    out.total = out.total + sum.amount;
  }
  return out;
}

}  // namespace penstock::costs
