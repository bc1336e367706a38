#pragma once

#include "base/call.h"
#include "freezes/freeze.h"
#include "ports/sql.h"
#include "resources/service.h"

namespace penstock::freezes {

// ---- For components, inside their own transactions ---------------------------------------------

struct Subject {
  What what = What::release;
  std::string urn;           // "release:01J...", "model:flight-delay@v4"
  std::string route, model;  // empty: there is none
};
struct InForce {
  std::string freeze, owner, reason;
  Timestamp until;
};
BOOST_DESCRIBE_STRUCT(InForce, (), (freeze, owner, reason, until))

// The freezes that hold this now and that nobody has overridden for it. One whose time zone this
// machine does not know holds.
Result<std::vector<InForce>> in_force(sql::Tx& tx, const std::string& project, Timestamp now,
                                      const Subject& subject);
// failed_precondition where there is one; it says until when, why, and the way past it.
Result<void> check(sql::Tx& tx, const std::string& project, Timestamp now, const Subject& subject);
// "freeze christmas until 2027-01-04T00:00:00Z: nobody is here".
std::string text_of(const InForce& freeze);

// ---- For people --------------------------------------------------------------------------------

struct FreezeView {
  Freeze freeze;
  std::int64_t version = 0;
  bool in_force = false;
  std::optional<Timestamp> since, until;  // of the span that is, or comes next
  std::string fault;                      // why that is not known; it is in force then
};
BOOST_DESCRIBE_STRUCT(FreezeView, (), (freeze, version, in_force, since, until, fault))
struct FreezeList {
  std::vector<FreezeView> freezes;
};
BOOST_DESCRIBE_STRUCT(FreezeList, (), (freezes))

// A row of freeze_overrides: the freeze does not hold this subject until then.
struct Override {
  std::string project, subject, freeze_name, reason, actor;
  Timestamp at, until;
};
BOOST_DESCRIBE_STRUCT(Override, (), (project, subject, freeze_name, reason, actor, at, until))
struct OverrideInput {
  std::string subject, reason;
};
BOOST_DESCRIBE_STRUCT(OverrideInput, (), (subject, reason))
constexpr auto rules_of(const OverrideInput&) {
  return std::array{Rule{.field = "subject", .min = 3, .max = 500},
                    Rule{.field = "reason", .doc = "Why it cannot wait.", .min = 10, .max = 2'000}};
}
struct OverrideOutput {
  std::vector<Override> overrides;
  std::string incident;  // its id
};
BOOST_DESCRIBE_STRUCT(OverrideOutput, (), (overrides, incident))

class Service {
 public:
  Service(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  // `freeze`.
  resources::KindHandler kind() const;
  Result<FreezeList> list(const Call& call);
  // Break glass: lets one subject through every freeze that is in force, until that ends, and opens
  // an incident. Refused where none is.
  Result<OverrideOutput> override_for(const Call& call, const OverrideInput& input);

 private:
  sql::Database& db_;
  const Clock& clock_;
};

}  // namespace penstock::freezes
