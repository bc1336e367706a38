// Shadows, experiments and payloads, tied to their neighbours.
#include "app/parts.h"
#include "base/log.h"
#include "incidents/service.h"
#include "serving/joins.h"

namespace penstock::app {
namespace {

std::string date_of(std::int64_t day) {
  return to_rfc3339(Timestamp(std::chrono::hours(24 * day))).substr(0, 10);
}

incidents::Opening opening_of(const serving::Capped& capped) {
  const std::string what = capped.unpriced
                               ? "nobody can say what its shadows cost: there is no price"
                               : "its shadows have reached their cost of the day";
  return {.dedup_key = "route:" + capped.route + ":shadow_cost:" + date_of(capped.day),
          .title = "Route " + capped.route + " mirrors no more calls: " + what,
          .severity = incidents::Severity::info,
          .subject = "route:" + capped.route,
          .owner = capped.owner,
          .detail = {{"day", date_of(capped.day)},
                     {"max_cost_per_day", to_text(capped.cap)},
                     {"spent", to_text(capped.spent)}}};
}

}  // namespace

void System::Parts::make_routing() {
  serving->classes_by(serving::classes_of(*db, *catalog));
  reports = std::make_unique<serving::Reports>(*event_reader, serving->table(), gateway->mirrors());
  experiments =
      std::make_unique<serving::Experiments>(*db, rocks->log(), *serving, *reports, clock);
  payloads = std::make_unique<serving::Payloads>(*db, gateway->payloads(), clock);
  using Sum = std::optional<Money> (costs::PriceBook::*)(std::span<const costs::Usage>) const;
  const auto by = [this](Sum sum) {
    return [this, sum](const serving::InferenceEvent& event) -> std::optional<Money> {
      const auto known = prices.load();
      const auto book = known ? known->find(event.project) : Prices::const_iterator();
      if (!known || book == known->end()) return std::nullopt;
      return (book->second.*sum)(monitor::usages_of(event));
    };
  };
  gateway->mirrors().price_by(by(&costs::PriceBook::cost_of), by(&costs::PriceBook::most_of));
  gateway->mirrors().spent_before(
      [this](const std::string& key, std::int64_t day) { return reports->spent(key, day); });
}

Result<void> System::Parts::read_prices() {
  prices_read = clock.now();
  auto next = std::make_shared<Prices>();
  const auto table = serving->table().get();
  for (const auto& [key, route] : table->routes) {
    if (next->contains(route->project)) continue;
    const Call call{.actor = "service:routing", .tenant = "penstock", .project = route->project};
    next->emplace(
        route->project,
        TRY(db->read(call, [&](sql::Tx& tx) { return costs::PriceBook::read(tx, call); })));
  }
  prices.store(std::move(next));
  return {};
}

// Of shadows, by what became of the calls; since the server started.
void System::Parts::show_shadows() {
  const auto table = serving->table().get();
  for (const auto& [key, route] : table->routes)
    for (const serving::LiveTarget& target : route->targets) {
      if (target.arm != serving::Arm::shadow) continue;
      const auto show = [&](const std::string& what, std::int64_t calls) {
        metrics
            .gauge("penstock_shadow_calls", "Calls that a shadow got, or why it did not.",
                   {{"project", route->project},
                    {"route", route->declaration.name},
                    {"version", std::to_string(target.deployment->version)},
                    {"what", what}})
            .set(static_cast<double>(calls));
      };
      show("mirrored", target.counters->mirrored);
      show("busy", target.counters->not_mirrored);
      show("capped", target.counters->capped);
      show("withheld", target.counters->withheld);
    }
  metrics.gauge("penstock_payloads_dropped", "Payloads that were to be kept and are not.")
      .set(static_cast<double>(gateway->payloads().dropped()));
}

// Once a second; each part says itself whether it is due.
Result<bool> System::Parts::tend_routing() {
  const Call call{.actor = "service:routing", .tenant = "penstock"};
  show_shadows();
  TRY(gateway->payloads().flush());
  for (const serving::Capped& capped : gateway->mirrors().take_capped()) {
    Call inside = call;
    inside.project = capped.project;
    TRY(db->write(inside, [&](sql::Tx& tx) {
      return incidents::open(tx, inside, clock.now(), opening_of(capped));
    }));
  }
  if (clock.now() >= classes_read + std::chrono::seconds(30)) {
    classes_read = clock.now();
    TRY(serving->refresh_classes(call));
  }
  TRY(serving->follow_aliases(call));
  if (clock.now() >= prices_read + std::chrono::seconds(10)) TRY(read_prices());
  TRY(experiments->adapt());
  return gateway->payloads().sweep();
}

}  // namespace penstock::app
