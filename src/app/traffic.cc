// What stands before calls: limits, budgets, queues and breakers, and what keeps them up to date.
#include "app/parts.h"
#include "base/log.h"

namespace penstock::app {
namespace {

constexpr Micros refresh_rhythm = std::chrono::seconds(1);

}  // namespace

void System::Parts::make_traffic() {
  admission =
      std::make_unique<serving::Admission>(guard, limiter, health, metrics, monitor::usages_of);
  gateway->admit_by(*admission);
  upstream_checks =
      std::make_unique<serving::UpstreamChecks>(serving->table(), health, *upstreams, clock);
  resources->on_applied([this](const Call& call, const resources::ApplyOutput& output) {
    for (const resources::Change& change : output.changes) {
      if (change.kind != "budget" && change.kind != "price_list") continue;
      if (const auto done = guard.refresh(*db, call.project, clock.now()); !done)
        log::error("budgets_not_read", {{"error", done.error().message}});
      return;
    }
  });
}

// Budgets count what the ledger has, so what waits to be posted comes first.
Result<void> System::Parts::open_budgets() {
  while (TRY(metering->run_once())) continue;
  TRY(guard.refresh_all(*db, clock.now()));
  admission->follow(*serving->table().get());
  return {};
}

Result<bool> System::Parts::tend_traffic() {
  const auto table = serving->table().get();
  if (std::exchange(followed, table->number) != table->number) admission->follow(*table);
  const Timestamp now = clock.now();
  if (now < refreshed + refresh_rhythm) return false;
  refreshed = now;
  admission->measure(now);
  TRY(guard.refresh_all(*db, now));
  for (costs::Notice& notice : guard.take_notices()) notices.push_back(std::move(notice));
  TRY(costs::tell_notices(*db, notices, now));
  return false;
}

}  // namespace penstock::app
