#include "api/http/cost_routes.h"

#include "api/http/cost_events.h"
#include "costs/service.h"

namespace penstock::api {

std::vector<Route> cost_routes(costs::Service& costs) {
  using costs::CorrectInput, costs::CorrectOutput, costs::FocusOutput, costs::Lines,
      costs::LinesInput, costs::PeriodInput, costs::PostInput, costs::PostOutput,
      costs::ReconcileInput, costs::Reconciliation, costs::ReconciliationsInput, costs::Report,
      costs::ReportInput, costs::RepriceInput, costs::RepriceOutput, costs::ShareInput,
      costs::ShareOutput, costs::Showback;
  return {
      route<ReportInput, Report>(
          "GET", "/api/v1/costs", "Report spending by one or two dimensions", Permission::read,
          [&](const Call& call, const ReportInput& in) { return costs.report(call, in); }),
      route<PeriodInput, FocusOutput>(
          "GET", "/api/v1/costs/focus", "Export spending as FOCUS 1.2", Permission::read,
          [&](const Call& call, const PeriodInput& in) { return costs.focus(call, in); }),
      route<PeriodInput, Showback>(
          "GET", "/api/v1/costs/showback", "Show each tenant what it spent", Permission::read,
          [&](const Call& call, const PeriodInput& in) { return costs.showback(call, in); }),
      route<LinesInput, Lines>(
          "GET", "/api/v1/costs/lines", "Show the ledger lines of one call", Permission::read,
          [&](const Call& call, const LinesInput& in) { return costs.lines(call, in); }),
      route<PostInput, PostOutput>("POST", "/api/v1/costs/usages",
                                   "Post what an outside meter counted", Permission::write,
                                   [&](const Call& call, const PostInput& in) {
                                     return costs.post_outside(call, in.usages);
                                   }),
      cost_events_route(costs),
      route<CorrectInput, CorrectOutput>(
          "POST", "/api/v1/costs/corrections", "Take lines back, and post what is right instead",
          Permission::operate,
          [&](const Call& call, const CorrectInput& in) { return costs.correct(call, in); }),
      route<RepriceInput, RepriceOutput>(
          "POST", "/api/v1/costs:reprice", "Price the lines of a period by other prices",
          Permission::operate,
          [&](const Call& call, const RepriceInput& in) { return costs.reprice(call, in); }),
      route<ShareInput, ShareOutput>(
          "POST", "/api/v1/costs/shares", "Split a bill over those who shared what it is for",
          Permission::operate,
          [&](const Call& call, const ShareInput& in) { return costs.share(call, in); }),
      route<costs::FreeLeasesInput, costs::FreedLeases>(
          "POST", "/api/v1/budgets:free",
          "Give back what a server holds of shared budgets that will not come back",
          Permission::operate,
          [&](const Call& call, const costs::FreeLeasesInput& in) {
            return costs.free_leases(call, in);
          }),
      route<ReconcileInput, Reconciliation>(
          "POST", "/api/v1/costs/reconciliations", "Compare a provider's report with the ledger",
          Permission::operate,
          [&](const Call& call, const ReconcileInput& in) { return costs.reconcile(call, in); }),
      route<ReconciliationsInput, Reconciliation>(
          "GET", "/api/v1/costs/reconciliations", "Show how providers' reports compared",
          Permission::read,
          [&](const Call& call, const ReconciliationsInput& in) {
            return costs.reconciliations(call, in);
          }),
  };
}

}  // namespace penstock::api
