#include "api/http/cost_routes.h"

#include "costs/service.h"

namespace penstock::api {

std::vector<Route> cost_routes(costs::Service& costs) {
  using costs::Lines, costs::LinesInput, costs::PostInput, costs::PostOutput, costs::Report,
      costs::ReportInput;
  return {
      route<ReportInput, Report>(
          "GET", "/api/v1/costs", "Report spending by one or two dimensions", Permission::read,
          [&](const Call& call, const ReportInput& in) { return costs.report(call, in); }),
      route<LinesInput, Lines>(
          "GET", "/api/v1/costs/lines", "Show the ledger lines of one call", Permission::read,
          [&](const Call& call, const LinesInput& in) { return costs.lines(call, in); }),
      route<PostInput, PostOutput>(
          "POST", "/api/v1/costs/usages", "Post what an outside meter counted", Permission::write,
          [&](const Call& call, const PostInput& in) { return costs.post(call, in.usages); }),
  };
}

}  // namespace penstock::api
