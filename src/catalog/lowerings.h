// Asks for, grants and uses what lowers the class of a column.
#pragma once

#include "approvals/service.h"
#include "catalog/classes.h"

namespace penstock::catalog {

struct LowerInput {
  std::string name, column_name;
  Classification classification = Classification::internal;
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(LowerInput, (), (name, column_name, classification, reason))
constexpr auto rules_of(const LowerInput&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 200},
                    Rule{.field = "column_name", .min = 1, .max = 180},
                    Rule{.field = "classification", .doc = "What it shall be."},
                    Rule{.field = "reason", .min = 1, .max = 2'000}};
}
struct LowerOutput {
  Lowering lowering;
  std::string subject, scope;  // what to approve: penstock approvals give SUBJECT --for SCOPE
};
BOOST_DESCRIBE_STRUCT(LowerOutput, (), (lowering, subject, scope))

class Lowerings {
 public:
  Lowerings(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  // Makes the request; the same one twice is one. Nothing changes before another person approves.
  // What was confirmed is lowered by the approval itself, what is declared by the apply after it.
  Result<LowerOutput> ask(const Call& call, const LowerInput& input);
  // For approvals of scopes "lower-class:COLUMN" of sources.
  approvals::Approvable approvable() const;

 private:
  sql::Database& db_;
  const Clock& clock_;
};

// Each column whose declared class would fall below what stands, without an approval of exactly
// that by somebody other than the caller: a fault at its field.
Result<std::vector<Violation>> lowering_faults(sql::Tx& tx, const Call& call, Timestamp now,
                                               const Source& after);
// After `after` was stored as `version`: the approvals that let it through are used up.
Result<void> use_lowerings(sql::Tx& tx, const Call& call, Timestamp now, const Source& before,
                           const Source& after, std::int64_t version);

}  // namespace penstock::catalog
