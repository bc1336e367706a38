#pragma once

#include <functional>

#include "approvals/service.h"
#include "base/call.h"
#include "ports/sql.h"
#include "registry/version.h"
#include "resources/service.h"

namespace penstock::registry {

// The URN of what a record's field names, or nothing where no such thing is known. Told at start
// for the things of components above.
using ReferenceLookup = std::function<Result<std::optional<std::string>>(sql::Tx&, const Call&,
                                                                         const std::string& text)>;

// Looks at a record before it is registered, and may fill in what its writer left out.
using RecordCheck = std::function<Result<void>(sql::Tx&, const Call&, Record&)>;

struct VersionInput {
  std::string model, version;
};
BOOST_DESCRIBE_STRUCT(VersionInput, (), (model, version))
struct ApproveInput {
  std::string model, version, scope, comment;
};
BOOST_DESCRIBE_STRUCT(ApproveInput, (), (model, version, scope, comment))
constexpr auto rules_of(const ApproveInput&) {
  return std::array{Rule{.field = "scope", .min = 1, .max = 200},
                    Rule{.field = "comment", .max = 10'000, .may_miss = true}};
}
struct ListInput {
  std::string model;  // empty: every model
  std::int64_t limit = 1000;
};
BOOST_DESCRIBE_STRUCT(ListInput, (), (model, limit))
constexpr auto rules_of(const ListInput&) {
  return std::array{Rule{.field = "model", .max = 900, .may_miss = true},
                    Rule{.field = "limit", .min = 1, .max = 10'000, .may_miss = true}};
}
struct VersionList {
  std::vector<ModelVersion> versions;
};
BOOST_DESCRIBE_STRUCT(VersionList, (), (versions))
struct VersionDetail {
  ModelVersion version;
  std::vector<approvals::Approval> approvals;  // that did not end, also the expired
  std::vector<std::string> approved_for;       // the scopes in which enough of them count
  std::vector<std::string> blockers;           // why it cannot be released; empty: it can
};
BOOST_DESCRIBE_STRUCT(VersionDetail, (), (version, approvals, approved_for, blockers))

// What `kind: model` declares.
struct ModelDeclaration {
  std::string name, owner, description;
  std::optional<std::string> feature_schema, task;
  std::optional<std::string> risk_class;
  std::optional<bool> signature_required;  // its versions are loaded only with a signature
};
BOOST_DESCRIBE_STRUCT(ModelDeclaration, (),
                      (name, owner, description, feature_schema, task, risk_class,
                       signature_required))
constexpr auto rules_of(const ModelDeclaration&) {
  return std::array{Rule{.field = "owner", .min = 1, .max = 200},
                    Rule{.field = "description", .max = 10'000, .may_miss = true}};
}

class Service {
 public:
  Service(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  // `field` of the record: training_data, feature_schema, eval_report, run, artifact_uri.
  void verify_with(const std::string& field, ReferenceLookup lookup) {
    lookups_[field] = std::move(lookup);
  }
  void check_with(RecordCheck check) { check_ = std::move(check); }
  resources::KindHandler kind() const;

  // A name that is taken with another record is already_exists; with the same record it is that
  // version.
  Result<ModelVersion> register_version(const Call& call, const Record& record);
  // The same inside a transaction of a component above.
  // `detail`: what else the audit log keeps of it.
  Result<ModelVersion> register_version(sql::Tx& tx, const Call& call, const Record& record,
                                        json::object detail = {});
  Result<VersionDetail> get(const Call& call, const VersionInput& input);
  Result<VersionList> list(const Call& call, const ListInput& input);
  // Bound to the digest of the record as it stands. The one who registered it cannot approve it,
  // nobody twice for one scope, and a version with blockers is refused.
  Result<approvals::Approval> approve(const Call& call, const ApproveInput& input);
  // Versions, for approvals of any scope.
  approvals::Approvable approvable() const;

 private:
  Result<std::vector<Reference>> resolve(sql::Tx& tx, const Call& call, const Record& record) const;
  sql::Database& db_;
  const Clock& clock_;
  std::map<std::string, ReferenceLookup> lookups_;
  RecordCheck check_;
};

// For the components above, inside their own transactions.
Result<ModelVersion> version(sql::Tx& tx, const std::string& project, const std::string& model,
                             std::int64_t version);
// What an approval of it is bound to.
approvals::Subject subject_of(const ModelVersion& version, const std::string& scope);
// Why this version cannot be released: references that nobody verified, no owner, evaluation or
// rollback target (the first version of a model needs none).
Result<std::vector<std::string>> blockers(sql::Tx& tx, const ModelVersion& version);
Result<void> set_status(sql::Tx& tx, const Call& call, Timestamp at, const ModelVersion& version,
                        Status status);

}  // namespace penstock::registry
