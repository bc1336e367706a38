// Signatures over the files of a model, as OpenSSF Model Signing 1.0 writes them: an in-toto
// statement that lists each file's SHA-256, in a DSSE envelope, in a Sigstore bundle, signed with
// an elliptic curve key. `model_signing verify key` reads ours, and we read those of `model_signing
// sign key`.
#pragma once

#include <string>
#include <vector>

#include "base/described.h"

namespace penstock::registry {

struct SignedFile {
  std::string path;    // relative to the model's folder, "/" between parts
  std::string digest;  // SHA-256, hex
};

inline constexpr std::string_view signature_file = "model.sig";

// SHA-256 of the public key's PEM (SubjectPublicKeyInfo), hex: the hint that a bundle carries.
// invalid_argument where it is no public key on P-256, P-384 or P-521.
Result<std::string> key_id_of(const std::string& public_key_pem);

// The bundle, JSON. `name` is informative. `private_key_pem` is not in any error.
Result<json::object> sign_model(const std::string& name, const std::vector<SignedFile>& files,
                                const std::string& private_key_pem);

// The key that a bundle says it was made with; empty where it does not.
std::string key_hint_of(const json::object& bundle);

// Whether the bundle is a good signature by this key over exactly these files; the signature's own
// file and what git keeps need no signature. failed_precondition says what is wrong: another key, a
// changed, missing or unsigned file, another kind of bundle.
Result<void> verify_model(const json::object& bundle, const std::vector<SignedFile>& files,
                          const std::string& public_key_pem);

}  // namespace penstock::registry
