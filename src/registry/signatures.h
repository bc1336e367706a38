// Who signed the files of an artifact, and whether they may be loaded.
#pragma once

#include "ports/sql.h"
#include "registry/artifacts.h"
#include "registry/version.h"
#include "resources/service.h"

namespace penstock::registry {

// kind: signing_key. A key that signatures are checked with; the private one is never here.
struct SigningKey {
  std::string name, owner, description;
  std::string public_key;           // PEM
  std::vector<std::string> models;  // that it may sign; empty: all
};
BOOST_DESCRIBE_STRUCT(SigningKey, (), (name, owner, description, public_key, models))
constexpr auto rules_of(const SigningKey&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 200},
                    Rule{.field = "owner", .min = 1, .max = 200},
                    Rule{.field = "description", .max = 10'000, .may_miss = true},
                    Rule{.field = "public_key",
                         .doc = "PEM of an elliptic curve key on P-256, P-384 or P-521.",
                         .min = 1,
                         .max = 16'384},
                    Rule{.field = "models", .max = 1'000}};
}

// A row of artifact_signatures.
struct Signature {
  std::string project, artifact, key_id;  // SHA-256 of the public key's PEM, hex
  json::object bundle;
  Timestamp signed_at;
  std::string added_by;
};
BOOST_DESCRIBE_STRUCT(Signature, (), (project, artifact, key_id, bundle, signed_at, added_by))

// A signature as it stands now, against the keys that are declared now.
struct CheckedSignature {
  std::string key_id;
  std::string key, owner;  // of the signing_key it is declared as; empty: nobody declared it
  std::optional<Timestamp> signed_at;  // nothing where it came with the files, as model.sig
  bool verified = false;
  std::string fault;  // why it is not
  json::object bundle;
};
BOOST_DESCRIBE_STRUCT(CheckedSignature, (),
                      (key_id, key, owner, signed_at, verified, fault, bundle))

struct SignInput {
  std::string model, version;
  json::object bundle;
};
BOOST_DESCRIBE_STRUCT(SignInput, (), (model, version, bundle))
struct SignatureList {
  std::vector<CheckedSignature> signatures;
};
BOOST_DESCRIBE_STRUCT(SignatureList, (), (signatures))

class Signatures {
 public:
  Signatures(sql::Database& db, Artifacts& artifacts, const Clock& clock)
      : db_(db), artifacts_(artifacts), clock_(clock) {}

  resources::KindHandler kind() const;  // signing_key

  // Keeps a signature beside the artifact of a version. Refused where it does not verify with a
  // declared key that may sign this model.
  Result<CheckedSignature> add(const Call& call, const SignInput& input);
  Result<SignatureList> list(const Call& call, const std::string& model,
                             const std::string& version);

  // Every signature of an artifact that is stored here, inside a transaction of the caller.
  Result<std::vector<CheckedSignature>> check(sql::Tx& tx, const Call& call,
                                              const std::string& model,
                                              const std::string& artifact);
  // Before the files are loaded: failed_precondition where the model's declaration asks for a
  // signature and none verifies.
  Result<void> require(sql::Tx& tx, const Call& call, const std::string& model,
                       const std::string& artifact);

 private:
  Result<CheckedSignature> judge(const std::vector<SigningKey>& keys, const std::string& model,
                                 const std::string& artifact, const json::object& bundle);
  sql::Database& db_;
  Artifacts& artifacts_;
  const Clock& clock_;
};

}  // namespace penstock::registry
