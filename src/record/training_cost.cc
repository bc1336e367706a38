#include "record/training_cost.h"

#include <cmath>

#include "costs/pricing.h"
#include "resources/service.h"

namespace penstock::record {
namespace {

constexpr const char* ledger_source = "training";

Result<std::string> currency_of(sql::Tx& tx, const Call& call,
                                const std::vector<costs::LedgerLine>& lines) {
  for (const costs::LedgerLine& line : lines) {
    const auto urn = Urn::parse(line.price_list);
    if (!urn) continue;
    const auto list = resources::declared<costs::PriceList>(tx, call.project, urn->kind, urn->name);
    if (list) return list->currency;
  }
  return std::string();
}

double seconds(const std::vector<costs::LedgerLine>& lines, costs::Meter meter) {
  double micros = 0;
  for (const costs::LedgerLine& line : lines)
    if (line.meter == meter) micros += static_cast<double>(line.quantity);
  return micros * 1e-6;
}

// An amount only where every line has a price: half a sum would read as the whole.
void add_up(TrainingCost& cost) {
  Money total;
  for (const costs::LedgerLine& line : cost.lines) {
    if (line.pricing == costs::Pricing::unpriced) return;
    total = total + line.amount;
  }
  if (!cost.lines.empty()) cost.amount = total;
}

}  // namespace

Result<TrainingCost> training_cost(sql::Tx& tx, const Call& call, const std::string& run_id,
                                   const std::optional<training::RunFacts>& run) {
  TrainingCost cost;
  if (run_id.empty()) return cost;
  cost.lines = TRY(costs::posted(tx, call, ledger_source, run_id));
  if (!cost.lines.empty()) cost.basis = CostBasis::ledger;
  if (run) {
    double cpu = 0;
    for (const training::StepRun& step : run->steps) {
      cpu += step.cpu_seconds;
      cost.cached_steps += step.cached ? 1 : 0;
    }
    if (run->run.started_at && run->run.finished_at)
      cost.elapsed_seconds =
          static_cast<double>((*run->run.finished_at - *run->run.started_at).count()) * 1e-6;
    cost.compute_seconds = cpu;
    if (cost.basis == CostBasis::not_recorded) {
      cost.lines =
          TRY(costs::priced(tx, call,
                            {{.source = ledger_source,
                              .id = run_id,
                              .meter = costs::Meter::compute_microseconds,
                              .quantity = static_cast<std::int64_t>(std::llround(cpu * 1e6)),
                              .at = run->run.finished_at.value_or(run->run.created_at),
                              .tenant = run->run.tenant}}));
      cost.basis = cost.lines.front().pricing == costs::Pricing::priced ? CostBasis::priced_run
                                                                        : CostBasis::unpriced_run;
    }
  }
  if (cost.basis == CostBasis::ledger) {
    cost.compute_seconds = seconds(cost.lines, costs::Meter::compute_microseconds);
    cost.gpu_seconds = seconds(cost.lines, costs::Meter::gpu_microseconds);
  }
  add_up(cost);
  cost.currency = TRY(currency_of(tx, call, cost.lines));
  return cost;
}

}  // namespace penstock::record
