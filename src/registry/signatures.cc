#include "registry/signatures.h"

#include <algorithm>

#include "audit/audit.h"
#include "registry/model_signature.h"
#include "registry/service.h"

namespace penstock::registry {
namespace {

Result<std::vector<SigningKey>> declared_keys(sql::Tx& tx, const Call& call) {
  std::vector<SigningKey> keys;
  for (const resources::Resource& resource : TRY(resources::list(tx, call.project, "signing_key")))
    keys.push_back(TRY(decode<SigningKey>(resource.declaration)));
  return keys;
}

Result<std::vector<Signature>> stored(sql::Tx& tx, const Call& call, const std::string& artifact) {
  static const std::string text =
      "SELECT " + columns<Signature>() +
      " FROM artifact_signatures WHERE project = $1 AND artifact = $2 ORDER BY signed_at, key_id";
  return sql::select<Signature>(tx, text, {call.project, artifact});
}

}  // namespace

resources::KindHandler Signatures::kind() const {
  return {.kind = "signing_key",
          .check = resources::checked_as<SigningKey>(
              [](sql::Tx&, const Call&, const SigningKey& key) -> Result<void> {
                TRY(key_id_of(key.public_key));
                return {};
              })};
}

Result<CheckedSignature> Signatures::judge(const std::vector<SigningKey>& keys,
                                           const std::string& model, const std::string& artifact,
                                           const json::object& bundle) {
  CheckedSignature out{.key_id = key_hint_of(bundle),
                       .fault = "no signing_key is declared for it",
                       .bundle = bundle};
  std::vector<SignedFile> files;
  for (const ArtifactFile& file : TRY(artifacts_.contents(artifact)))
    files.push_back({file.path, file.digest});
  for (const SigningKey& key : keys) {
    const std::string id = TRY(key_id_of(key.public_key));
    if (!out.key_id.empty() && id != out.key_id) continue;
    const bool allowed = key.models.empty() ||
                         std::find(key.models.begin(), key.models.end(), model) != key.models.end();
    const auto verified = verify_model(bundle, files, key.public_key);
    // A bundle without a hint is tried with every key; the first that fits is the one.
    if (!verified && out.key_id.empty()) continue;
    out.key_id = id;
    out.key = key.name;
    out.owner = key.owner;
    out.verified = verified && allowed;
    out.fault = !verified ? verified.error().message
                : allowed ? ""
                          : "signing_key " + key.name + " may not sign model " + model;
    break;
  }
  return out;
}

Result<std::vector<CheckedSignature>> Signatures::check(sql::Tx& tx, const Call& call,
                                                        const std::string& model,
                                                        const std::string& artifact) {
  std::vector<CheckedSignature> out;
  if (!TRY(artifacts_.exists(artifact))) return out;
  const auto keys = TRY(declared_keys(tx, call));
  for (const Signature& signature : TRY(stored(tx, call, artifact))) {
    out.push_back(TRY(judge(keys, model, artifact, signature.bundle)));
    out.back().signed_at = signature.signed_at;
  }
  const auto own = artifacts_.bytes(artifact, std::string(signature_file));
  if (!own) {
    if (own.error().code == Code::not_found) return out;
    return own.error();
  }
  boost::system::error_code fault;
  const json::value bundle = json::parse(*own, fault);
  if (!fault && bundle.is_object())
    out.push_back(TRY(judge(keys, model, artifact, bundle.get_object())));
  else
    out.push_back({.fault = "the artifact's model.sig is no JSON"});
  return out;
}

Result<void> Signatures::require(sql::Tx& tx, const Call& call, const std::string& model,
                                 const std::string& artifact) {
  const auto declared = resources::declared<ModelDeclaration>(tx, call.project, "model", model);
  if (!declared || !declared->signature_required.value_or(false)) return {};
  const auto signatures = TRY(check(tx, call, model, artifact));
  std::string why = "it has none; sign it with: penstock models sign";
  for (const CheckedSignature& signature : signatures) {
    if (signature.verified) return {};
    why = signature.fault;
  }
  return Error{Code::failed_precondition, "model " + model +
                                              " is declared with signature_required, and the "
                                              "signature of its artifact does not verify: " +
                                              why};
}

Result<CheckedSignature> Signatures::add(const Call& call, const SignInput& input) {
  const std::int64_t number = TRY(version_number(input.version));
  return db_.write(call, [&](sql::Tx& tx) -> Result<CheckedSignature> {
    const ModelVersion version = TRY(registry::version(tx, call.project, input.model, number));
    const std::string& artifact = version.record.artifact_uri;
    if (!TRY(artifacts_.exists(artifact)))
      return Error{Code::failed_precondition,
                   "the artifact " + artifact + " is not stored here, so nothing can be checked"};
    CheckedSignature checked =
        TRY(judge(TRY(declared_keys(tx, call)), input.model, artifact, input.bundle));
    if (!checked.verified)
      return Error{Code::failed_precondition,
                   "the signature is not kept, because it does not verify: " + checked.fault,
                   {{"bundle", checked.fault}}};
    const Signature signature{.project = call.project,
                              .artifact = artifact,
                              .key_id = checked.key_id,
                              .bundle = input.bundle,
                              .signed_at = clock_.now(),
                              .added_by = call.actor};
    TRY(tx.run(
        "DELETE FROM artifact_signatures WHERE project = $1 AND artifact = $2 AND key_id = $3",
        {call.project, artifact, signature.key_id}));
    TRY(sql::insert(tx, "artifact_signatures", signature));
    TRY(audit::record(tx, call, signature.signed_at,
                      {"registry.artifact.signed",
                       version.urn(),
                       {{"artifact", artifact},
                        {"key", "signing_key:" + checked.key},
                        {"key_id", checked.key_id}}}));
    checked.signed_at = signature.signed_at;
    return checked;
  });
}

Result<SignatureList> Signatures::list(const Call& call, const std::string& model,
                                       const std::string& version) {
  const std::int64_t number = TRY(version_number(version));
  return db_.read(call, [&](sql::Tx& tx) -> Result<SignatureList> {
    const ModelVersion found = TRY(registry::version(tx, call.project, model, number));
    return SignatureList{TRY(check(tx, call, model, found.record.artifact_uri))};
  });
}

}  // namespace penstock::registry
