#pragma once

#include "approvals/service.h"
#include "base/call.h"
#include "base/urn.h"
#include "policies/policy.h"
#include "ports/sql.h"
#include "release/release.h"
#include "resources/service.h"
#include "serving/service.h"
#include "tracking/registered_models.h"

namespace penstock::release {

struct CreateInput {
  std::string route, model;
  std::int64_t version = 0;
  Plan plan;
};
BOOST_DESCRIBE_STRUCT(CreateInput, (), (route, model, version, plan))
constexpr auto rules_of(const CreateInput&) {
  return std::array{Rule{.field = "version", .min = 1}, Rule{.field = "plan", .may_miss = true}};
}
struct ReleaseName {
  std::string id;
};
BOOST_DESCRIBE_STRUCT(ReleaseName, (), (id))
struct ActInput {
  std::string id, reason;
};
BOOST_DESCRIBE_STRUCT(ActInput, (), (id, reason))
constexpr auto rules_of(const ActInput&) {
  return std::array{Rule{.field = "reason", .max = 10'000, .may_miss = true}};
}
struct ListInput {
  std::int64_t limit = 100;
};
BOOST_DESCRIBE_STRUCT(ListInput, (), (limit))
constexpr auto rules_of(const ListInput&) {
  return std::array{Rule{.field = "limit", .min = 1, .max = 1'000, .may_miss = true}};
}
struct ReleaseList {
  std::vector<Release> releases;  // newest first
};
BOOST_DESCRIBE_STRUCT(ReleaseList, (), (releases))
// The smallest regression that this traffic is expected to show, and what it takes.
struct Reach {
  std::string guard;
  std::optional<double> ratio;
  double bad_events = 0, calls = 0;
};
BOOST_DESCRIBE_STRUCT(Reach, (), (guard, ratio, bad_events, calls))
struct ReleaseDetail {
  Release release;
  std::vector<approvals::Approval> approvals;
  std::vector<GuardState> guards;
  std::vector<Look> last_looks;  // of each guard
  std::vector<Reach> reach;      // where the plan says what traffic to expect
};
BOOST_DESCRIBE_STRUCT(ReleaseDetail, (), (release, approvals, guards, last_looks, reach))
struct LookList {
  std::vector<Look> looks;  // by guard, then number
};
BOOST_DESCRIBE_STRUCT(LookList, (), (looks))
struct Replayed {
  std::int64_t looks = 0;
  bool same = true;
  std::string fault;
};
BOOST_DESCRIBE_STRUCT(Replayed, (), (looks, same, fault))

class Service {
 public:
  Service(sql::Database& db, serving::Service& serving, const Clock& clock)
      : db_(db), serving_(serving), clock_(clock) {}

  // Kind `release_plan`.
  std::vector<resources::KindHandler> kinds() const;

  // Refused where the version cannot be released (blockers, no approval in the registry, a policy
  // that does not hold), or where the route has an open release.
  Result<Release> create(const Call& call, const CreateInput& input);
  // Of the plan and version as they stand; never by the author, and once by each. The last approval
  // that is needed starts the release; in a freeze it is refused, and comes again after it.
  Result<Release> approve(const Call& call, const ActInput& input);
  approvals::Approvable approvable();
  // From every state with traffic, always.
  Result<Release> roll_back(const Call& call, const ActInput& input);
  Result<Release> cancel(const Call& call, const ActInput& input);
  Result<ReleaseList> list(const Call& call, const ListInput& input);
  Result<ReleaseDetail> get(const Call& call, const ReleaseName& name);
  Result<LookList> looks(const Call& call, const ReleaseName& name);
  // Every verdict again, from the looks as they were stored.
  Result<Replayed> replay(const Call& call, const ReleaseName& name);
  Result<json::object> describe(sql::Tx& tx, const Call& call, const Urn& urn);

  // What MLflow's aliases and stages need to know of routes.
  tracking::ServedBy served();
  // After a route was declared: its alias names what it serves.
  Result<void> align(sql::Tx& tx, const Call& call, const serving::RouteDeclaration& route);

  // For the controller, inside its transaction: what each move does to route, registry and
  // incidents.
  Result<void> move(sql::Tx& tx, const Call& call, Release& release, State to,
                    const std::string& reason);
  Result<void> advance_stage(sql::Tx& tx, const Call& call, Release& release);
  Result<void> roll_back(sql::Tx& tx, const Call& call, Release& release, const std::string& reason,
                         const json::object& evidence);
  // Whether a freeze keeps it from going on. That it does is said once, as its reason and in the
  // audit log.
  Result<bool> held(sql::Tx& tx, const Call& call, Release& release);

 private:
  Result<void> start(sql::Tx& tx, const Call& call, Release& release);
  // Asks for a release by the route's default plan, unless one to that version is open; says what
  // it waits for.
  Result<std::string> ask(const Call& call, const std::string& route, const std::string& model,
                          std::int64_t version);
  // The alias and the stages of a release that came from `from`, in the transaction of its move.
  Result<void> follow(sql::Tx& tx, const Call& call, const Release& release, State from);
  // What the policies said of it.
  Result<std::vector<policies::Finding>> check_releasable(sql::Tx& tx, const Call& call,
                                                          const Release& release);
  std::vector<serving::Target> targets_of(const Release& release) const;

  sql::Database& db_;
  serving::Service& serving_;
  const Clock& clock_;
};

}  // namespace penstock::release
