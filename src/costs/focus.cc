// Export as FinOps Open Cost and Usage Specification (FOCUS) 1.2: a row for each day, and what is
// the same of it.
#include "costs/posting.h"
#include "costs/reports.h"
#include "costs/store.h"

namespace penstock::costs {
namespace {

constexpr std::int64_t rows_max = 200'000;
constexpr const char* ourselves = "penstock";

std::string cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char letter : text) out += letter == '"' ? "\"\"" : std::string(1, letter);
  return out + "\"";
}

struct Unit {
  std::string name;
  std::int64_t per = 1;  // of the meter's own unit
};

Unit unit_of(Meter meter) {
  if (is_tokens(meter)) return {"Tokens"};
  switch (meter) {
    case Meter::compute_microseconds:
    case Meter::gpu_microseconds: return {"Seconds", 1'000'000};
    case Meter::human_review_seconds: return {"Seconds"};
    case Meter::retrieval_calls:
    case Meter::reranker_calls: return {"Calls"};
    case Meter::shared_cost: return {"Shares"};
    default: return {"Requests"};
  }
}

std::string month_at(std::int64_t hour) { return to_rfc3339(hour_at(month_start(hour))); }

struct Charge {
  std::int64_t day = 0;
  std::string tenant, route, model, mode, upstream, upstream_model;
  std::int64_t version = 0;
  Meter meter = Meter::requests;
};
const std::vector<std::string> charge_columns = {
    "hour / 24", "tenant",   "route",          "model", "version",
    "mode",      "upstream", "upstream_model", "meter", "pricing"};

Charge charge_of(const sql::Row& keys) {
  Charge charge;
  std::size_t at = 0;
  const auto take = [&](auto& field) { sql::from_sql(keys.at(at++), field); };
  take(charge.day);
  take(charge.tenant);
  take(charge.route);
  take(charge.model);
  take(charge.version);
  take(charge.mode);
  take(charge.upstream);
  take(charge.upstream_model);
  take(charge.meter);
  return charge;
}

using Column = std::pair<const char*, std::string>;

// Every mandatory column of 1.2, and those of its others that are known here, by name.
std::vector<Column> columns_of(const Charge& charge, const store::Sum& sum, const Call& call,
                               const std::string& currency) {
  const std::int64_t hour = charge.day * 24;
  const std::string cost = to_text(sum.amount), meter(name_of(charge.meter));
  const bool shared = charge.meter == Meter::shared_cost;
  const Unit unit = unit_of(charge.meter);
  const std::string quantity = to_text(price_of(sum.quantity, Money::whole(1), unit.per));
  const std::string provider = charge.upstream.empty() ? ourselves : charge.upstream;
  const std::string service = !charge.model.empty()            ? charge.model
                              : !charge.upstream_model.empty() ? charge.upstream_model
                                                               : ourselves;
  const std::string sku =
      (charge.upstream_model.empty() ? service : charge.upstream_model) + "/" + meter;
  json::object tags{{"model", charge.model}, {"route", charge.route}, {"mode", charge.mode}};
  if (charge.version != 0) tags["model_version"] = std::to_string(charge.version);
  return {{"BilledCost", cost},
          {"BillingAccountId", call.project},
          {"BillingAccountName", call.project},
          {"BillingCurrency", currency},
          {"BillingPeriodEnd", month_at(month_start(hour) + 32 * 24)},
          {"BillingPeriodStart", month_at(hour)},
          {"ChargeCategory", shared ? "Purchase" : "Usage"},
          {"ChargeClass", ""},
          {"ChargeDescription", meter + " of " + service},
          {"ChargeFrequency", shared ? "Recurring" : "Usage-Based"},
          {"ChargePeriodEnd", to_rfc3339(hour_at(hour + 24))},
          {"ChargePeriodStart", to_rfc3339(hour_at(hour))},
          {"ConsumedQuantity", shared ? "" : quantity},
          {"ConsumedUnit", shared ? "" : unit.name},
          {"ContractedCost", cost},
          {"EffectiveCost", cost},
          {"InvoiceIssuerName", provider},
          {"ListCost", cost},
          {"PricingCategory", "Standard"},
          {"PricingQuantity", quantity},
          {"PricingUnit", unit.name},
          {"ProviderName", provider},
          {"PublisherName", provider},
          {"ResourceId", charge.route.empty() ? "" : "route:" + charge.route},
          {"ResourceName", charge.route},
          {"ResourceType", charge.route.empty() ? "" : "Route"},
          {"ServiceCategory", "AI and Machine Learning"},
          {"ServiceName", service},
          {"ServiceSubcategory", is_tokens(charge.meter) ? "Generative AI" : "Machine Learning"},
          {"SkuId", sku},
          {"SkuMeter", meter},
          {"SkuPriceId", sku},
          {"SubAccountId", charge.tenant},
          {"SubAccountName", charge.tenant},
          {"Tags", json::serialize(tags)}};
}

std::string line_of(const std::vector<Column>& columns, bool headings) {
  std::string out;
  for (const auto& [name, value] : columns)
    out += (out.empty() ? "" : ",") + (headings ? std::string(name) : cell(value));
  return out + "\n";
}

}  // namespace

Result<FocusOutput> focus(sql::Tx& tx, const Call& call, const PeriodInput& input) {
  const std::int64_t from = TRY(hour_bound("from", input.from, first_hour));
  const std::int64_t until = TRY(hour_bound("until", input.until, last_hour));
  const std::string currency = TRY(ledger_currency(tx, call));
  FocusOutput out{.csv = line_of(columns_of({}, {}, call, currency), true)};
  for (const store::Sum& sum : TRY(store::sums(tx, call.project, from, until, charge_columns))) {
    if (sum.quantity == 0 && sum.amount == Money{}) continue;
    if (std::get<std::string>(sum.keys.back()) == name_of(Pricing::unpriced)) {
      ++out.unpriced;
      continue;
    }
    if (++out.rows > rows_max)
      return Error{Code::resource_exhausted, "the export has more than " +
                                                 std::to_string(rows_max) +
                                                 " rows: ask for a shorter period"};
    out.csv += line_of(columns_of(charge_of(sum.keys), sum, call, currency), false);
  }
  return out;
}

}  // namespace penstock::costs
