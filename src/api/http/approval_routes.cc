#include "api/http/approval_routes.h"

namespace penstock::api {

std::vector<Route> approval_routes(approvals::Service& service) {
  using namespace approvals;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<ListInput, WaitingList>(
          "GET", "/api/v1/approvals", "List what waits for approval, newest first",
          Permission::read,
          [&](const Call& call, const ListInput& in) { return service.list(call, in); }),
      route<ShowInput, History>(
          "GET", "/api/v1/approvals/history",
          "Show every approval of a subject and request for one", Permission::read,
          [&](const Call& call, const ShowInput& in) { return service.show(call, in); }),
      route<GiveInput, Given>(
          "POST", "/api/v1/approvals:give", "Approve a subject as it stands", Permission::approve,
          [&](const Call& call, const GiveInput& in) { return service.give(call, in); }),
      route<WithdrawInput, Approval>(
          "POST", "/api/v1/approvals/{id}:withdraw", "Withdraw an approval", Permission::approve,
          [&](const Call& call, const WithdrawInput& in) { return service.withdraw(call, in); }),
  };
}

}  // namespace penstock::api
