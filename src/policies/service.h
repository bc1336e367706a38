#pragma once

#include "base/call.h"
#include "policies/policy.h"
#include "policies/views.h"
#include "ports/sql.h"
#include "resources/service.h"

namespace penstock::policies {

// ---- For components, inside their own transactions ---------------------------------------------

// What every policy of the project that applies to this says, by name; nothing is kept. The
// transaction outlives a policy that fails.
Result<std::vector<Finding>> check(sql::Tx& tx, const Call& call, Timestamp now,
                                   const Subject& subject);
// What stands in the way, one violation a policy; nothing where nothing does.
std::vector<Violation> refusals(const std::vector<Finding>& findings);
// Keeps what was said, as one decision. Whoever decided puts `told` of it into its own audit event.
Result<void> keep(sql::Tx& tx, Timestamp now, std::vector<Finding>& findings);
json::array told(const std::vector<Finding>& findings);

// All of it at once: failed_precondition names the policies that stand in the way.
Result<std::vector<Finding>> enforce(sql::Tx& tx, const Call& call, Timestamp now,
                                     const Subject& subject);
// The same for those whose decision has no event that could tell it: it gets one, policies.asked.
Result<void> enforce_and_note(sql::Tx& tx, const Call& call, Timestamp now, const Subject& subject);

// Before data is given to whoever reads it: each of `urns` is a subject. In a transaction of its
// own, so what was refused is kept and audited too; in none where no policy speaks of reads.
Result<void> enforce_reads(sql::Database& db, const Call& call, Timestamp now,
                           const std::vector<std::string>& urns, const std::string& purpose);

// What was kept for a subject, newest first.
Result<std::vector<Finding>> results_of(sql::Tx& tx, const std::string& project,
                                        const std::string& subject);

// ---- For people --------------------------------------------------------------------------------

struct PolicyView {
  Policy policy;
  std::int64_t version = 0;
  std::string digest;
  Timestamp applied_at;
  std::string applied_by;
};
BOOST_DESCRIBE_STRUCT(PolicyView, (), (policy, version, digest, applied_at, applied_by))
struct PolicyList {
  std::vector<PolicyView> policies;
};
BOOST_DESCRIBE_STRUCT(PolicyList, (), (policies))
struct ViewList {
  std::vector<View> views;
};
BOOST_DESCRIBE_STRUCT(ViewList, (), (views))
struct Defaults {
  std::string yaml;
};
BOOST_DESCRIBE_STRUCT(Defaults, (), (yaml))
struct InstallInput {
  bool replace = false;  // also those that were changed here
};
BOOST_DESCRIBE_STRUCT(InstallInput, (), (replace))
constexpr auto rules_of(const InstallInput&) {
  return std::array{Rule{.field = "replace", .may_miss = true}};
}
struct Installed {
  std::vector<resources::Change> changes;
  std::vector<std::string> kept;  // were declared here already, and stay as they are
};
BOOST_DESCRIBE_STRUCT(Installed, (), (changes, kept))
struct CheckInput {
  std::string subject;
  Action action = Action::release;
  std::string route, purpose;
};
BOOST_DESCRIBE_STRUCT(CheckInput, (), (subject, action, route, purpose))
constexpr auto rules_of(const CheckInput&) {
  return std::array{Rule{.field = "subject", .min = 3, .max = 500},
                    Rule{.field = "route", .max = 200, .may_miss = true},
                    Rule{.field = "purpose", .max = 500, .may_miss = true}};
}
struct CheckOutput {
  bool allowed = true;
  std::vector<Finding> findings;  // of each policy that was asked
};
BOOST_DESCRIBE_STRUCT(CheckOutput, (), (allowed, findings))
struct ResultsInput {
  std::string subject, policy;  // empty: all
  std::int64_t limit = 100;
};
BOOST_DESCRIBE_STRUCT(ResultsInput, (), (subject, policy, limit))
constexpr auto rules_of(const ResultsInput&) {
  return std::array{Rule{.field = "subject", .max = 500, .may_miss = true},
                    Rule{.field = "policy", .max = 200, .may_miss = true},
                    Rule{.field = "limit", .min = 1, .max = 1'000, .may_miss = true}};
}
struct ResultList {
  std::vector<Finding> results;
};
BOOST_DESCRIBE_STRUCT(ResultList, (), (results))

// The policies that come with the program, as YAML.
std::string_view default_policies();

class Service {
 public:
  Service(sql::Database& db, resources::Service& resources, const Clock& clock)
      : db_(db), resources_(resources), clock_(clock) {}

  // `policy`. Its SQL is run when it is applied, so one that cannot run is not declared.
  resources::KindHandler kind() const;

  Result<PolicyList> list(const Call& call);
  // Declares the default policies that are not declared yet.
  Result<Installed> install(const Call& call, const InstallInput& input);
  // What would be said; nothing is kept, nothing refused.
  Result<CheckOutput> check(const Call& call, const CheckInput& input);
  Result<ResultList> results(const Call& call, const ResultsInput& input);

 private:
  sql::Database& db_;
  resources::Service& resources_;
  const Clock& clock_;
};

}  // namespace penstock::policies
