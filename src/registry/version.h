// A model version and its record.
#pragma once

#include "base/described.h"

namespace penstock::registry {

// What people write of a version, and get back word for word. References are names as the writer
// knows them ("dataset_2026_05_01"); what each turned out to be stands in
// ModelVersion::record_references.
struct Record {
  std::string model_id;  // "ticket-escalation-v4"; without "-vN" the next number is taken
  std::string artifact_uri;
  std::optional<std::string> training_data, feature_schema, eval_report, owner, approved_for,
      rollback_to;
  std::optional<std::string> run, runtime, description, licence, risk_class;
  std::optional<std::string> artifact_digest;
  std::map<std::string, double> metrics;
  std::optional<json::object> signature;
  std::optional<std::string> intended_use, limitations;
};
BOOST_DESCRIBE_STRUCT(Record, (),
                      (model_id, artifact_uri, training_data, feature_schema, eval_report, owner,
                       approved_for, rollback_to, run, runtime, description, licence, risk_class,
                       artifact_digest, metrics, signature, intended_use, limitations))
constexpr auto rules_of(const Record&) {
  return std::array{
      Rule{.field = "model_id",
           .doc = "NAME-vN, or NAME for the next version.",
           .min = 1,
           .max = 920},
      Rule{.field = "artifact_uri", .doc = "Where its files are.", .min = 1, .max = 2000},
      Rule{.field = "training_data", .doc = "The dataset it was trained on.", .min = 1, .max = 200},
      Rule{.field = "feature_schema", .doc = "The features it reads.", .min = 1, .max = 200},
      Rule{.field = "eval_report", .doc = "The evaluation it passed.", .min = 1, .max = 200},
      Rule{.field = "owner", .min = 1, .max = 200},
      Rule{.field = "approved_for",
           .doc = "The scope that its writer claims for it.",
           .min = 1,
           .max = 200},
      Rule{.field = "rollback_to", .doc = "The version to go back to.", .min = 1, .max = 200},
      Rule{.field = "run", .doc = "The run that trained it.", .min = 1, .max = 200},
      Rule{.field = "runtime",
           .doc = "What executes it: onnx, python, kserve, openai or graph.",
           .min = 1,
           .max = 50},
      Rule{.field = "description", .max = 10'000},
      Rule{.field = "artifact_digest", .doc = "SHA-256, 64 hex digits.", .min = 64, .max = 64},
      Rule{.field = "signature", .doc = "Its inputs and outputs, as MLflow writes them."},
      Rule{.field = "intended_use", .doc = "What it is for, and for whom.", .max = 10'000},
      Rule{.field = "limitations", .doc = "What it must not be used for.", .max = 10'000},
  };
}
// SHA-256 of the canonical record. A field that came later counts only where it is written, so the
// digest of a record from before it stays what approvals and signatures are bound to.
std::string digest_of(const Record& record);

// declared: the name is not known here, and nobody checked it.
enum class Standing { verified, declared };
BOOST_DESCRIBE_ENUM(Standing, verified, declared)

struct Reference {
  std::string field;  // of the record
  std::string text;   // as it was written
  Standing standing = Standing::declared;
  std::string urn;  // what it names; empty where that is not known
};
BOOST_DESCRIBE_STRUCT(Reference, (), (field, text, standing, urn))

enum class Status { registered, approved, shadow, canary, live, rolled_back, retired };
BOOST_DESCRIBE_ENUM(Status, registered, approved, shadow, canary, live, rolled_back, retired)

// Immutable but for its status (and when that changed).
struct ModelVersion {
  std::string project, model;
  std::int64_t version = 0;
  Status status = Status::registered;
  Record record;
  std::string digest;  // SHA-256 of the canonical record: what an approval is bound to
  std::vector<Reference> record_references;
  Timestamp created_at;
  std::string created_by;
  Timestamp updated_at;

  std::string urn() const { return "model:" + model + "@v" + std::to_string(version); }
};
BOOST_DESCRIBE_STRUCT(ModelVersion, (),
                      (project, model, version, status, record, digest, record_references,
                       created_at, created_by, updated_at))

struct VersionName {
  std::string model;
  std::int64_t version = 0;
};
// "ticket-escalation-v4", "ticket-escalation@v4" or "model:ticket-escalation@v4"; version 0 where
// none is said.
Result<VersionName> version_name(std::string_view text);
// "v4" or "4".
Result<std::int64_t> version_number(std::string_view text);

}  // namespace penstock::registry
