// What stands before calls: limits, budgets, queues and breakers, and what keeps them up to date.
#include "app/directory.h"
#include "app/parts.h"
#include "base/id.h"
#include "base/log.h"

namespace penstock::app {
namespace {

constexpr Micros refresh_rhythm = std::chrono::seconds(1);
// Where a call waits for a larger portion of a budget.
constexpr Micros hungry_rhythm = std::chrono::milliseconds(100);
// Of metering at a stop: what is left of it comes at the next start.
constexpr int last_turns = 100;

}  // namespace

void System::Parts::make_traffic() {
  admission =
      std::make_unique<serving::Admission>(guard, limiter, health, metrics, monitor::metered_of);
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
  guard.lease_as(
      {.holder = new_ulid(clock.now()), .server = own_id, .shared = !options.metadata.empty()});
  while (TRY(metering->run_once())) continue;
  TRY(guard.recover(*db, clock.now()));
  TRY(guard.refresh_all(*db, clock.now()));
  admission->follow(*serving->table().get());
  return {};
}

Result<bool> System::Parts::tend_traffic() {
  const auto table = serving->table().get();
  if (std::exchange(followed, table->number) != table->number) admission->follow(*table);
  const Timestamp now = clock.now();
  if (now < refreshed + (guard.hungry() ? hungry_rhythm : refresh_rhythm)) return false;
  refreshed = now;
  admission->measure(now);
  TRY(guard.refresh_all(*db, now));
  for (costs::Notice& notice : guard.take_notices()) notices.push_back(std::move(notice));
  TRY(costs::tell_notices(*db, notices, now));
  return false;
}

// What calls cost goes to the ledger and the rest of each portion back, for other servers to spend.
Result<void> System::Parts::close_budgets() {
  for (int turn = 0; turn < last_turns && TRY(metering->run_once()); ++turn) continue;
  return guard.give_back(*db, clock.now());
}

}  // namespace penstock::app
