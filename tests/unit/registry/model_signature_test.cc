// Signatures over the files of a model: made, checked, and refused where anything is not as signed.
#include "registry/model_signature.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/digest.h"
#include "tests/support/fixture.h"

namespace penstock::registry {
namespace {

struct Pair {
  std::string private_pem, public_pem;
};

std::string pem_of(EVP_PKEY* key, bool is_private) {
  BIO* bio = BIO_new(BIO_s_mem());
  if (is_private)
    PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  else
    PEM_write_bio_PUBKEY(bio, key);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return out;
}

Pair new_pair(const char* curve = "P-256") {
  EVP_PKEY* key = EVP_EC_gen(curve);
  Pair out{pem_of(key, true), pem_of(key, false)};
  EVP_PKEY_free(key);
  return out;
}

std::vector<SignedFile> some_files() {
  return {{"model.onnx", sha256_hex("model")},
          {"labels/names.txt", sha256_hex("names")},
          {"labels.txt", sha256_hex("labels")}};
}

TEST(ModelSignatureTest, VerifiesWhatItSignedOnEveryCurveThatTheReferenceKnows) {
  for (const char* curve : {"P-256", "P-384", "P-521"}) {
    SCOPED_TRACE(curve);
    const Pair pair = new_pair(curve);
    const auto bundle = test::must(sign_model("m", some_files(), pair.private_pem));
    EXPECT_EQ(key_hint_of(bundle), test::must(key_id_of(pair.public_pem)));
    test::must(verify_model(bundle, some_files(), pair.public_pem));
  }
}

TEST(ModelSignatureTest, NeedsNoSignatureForItselfAndForWhatGitKeeps) {
  const Pair pair = new_pair();
  const auto bundle = test::must(sign_model("m", some_files(), pair.private_pem));
  auto files = some_files();
  for (const char* path : {"model.sig", ".git/config", ".gitattributes", ".gitignore"})
    files.push_back({path, sha256_hex("anything")});
  test::must(verify_model(bundle, files, pair.public_pem));
}

TEST(ModelSignatureTest, RefusesEveryFileThatIsNotAsItWasSigned) {
  const Pair pair = new_pair();
  const auto bundle = test::must(sign_model("m", some_files(), pair.private_pem));
  const auto refused = [&](const std::vector<SignedFile>& files) {
    const auto got = verify_model(bundle, files, pair.public_pem);
    return got ? std::string() : got.error().message;
  };
  auto changed = some_files(), missing = some_files(), added = some_files(), swapped = some_files();
  changed[0].digest = sha256_hex("other");
  missing.pop_back();
  added.push_back({"model.onnx.data", sha256_hex("weights")});
  std::swap(swapped[0].digest, swapped[1].digest);
  EXPECT_EQ(refused(changed), "file model.onnx was changed after it was signed");
  EXPECT_EQ(refused(missing), "file labels.txt was signed and is missing");
  EXPECT_EQ(refused(added), "file model.onnx.data is not in the signature");
  EXPECT_NE(refused(swapped), "");
  auto hidden = some_files();
  hidden.push_back({".gitignored", sha256_hex("x")});
  EXPECT_EQ(refused(hidden), "file .gitignored is not in the signature");
}

TEST(ModelSignatureTest, RefusesAnotherKeyWithAndWithoutItsHint) {
  const Pair pair = new_pair(), other = new_pair();
  auto bundle = test::must(sign_model("m", some_files(), pair.private_pem));
  EXPECT_EQ(verify_model(bundle, some_files(), other.public_pem).error().message,
            "the signature was made with another key");
  bundle.at("verificationMaterial").as_object().erase("publicKey");
  test::must(verify_model(bundle, some_files(), pair.public_pem));
  EXPECT_EQ(verify_model(bundle, some_files(), other.public_pem).error().message,
            "the signature is not by this key over this payload");
}

// Whatever byte of payload or signature is another, the signature is none.
TEST(ModelSignatureTest, RefusesEveryChangedByteOfTheEnvelope) {
  const Pair pair = new_pair();
  const auto bundle = test::must(sign_model("m", some_files(), pair.private_pem));
  const auto text_in = [](json::object& changed, const std::string& field) -> json::string& {
    json::object& envelope = changed.at("dsseEnvelope").as_object();
    if (field == "payload") return envelope.at("payload").as_string();
    return envelope.at("signatures").as_array()[0].as_object().at("sig").as_string();
  };
  for (const std::string field : {"payload", "sig"}) {
    json::object whole = bundle;
    const std::size_t size = text_in(whole, field).size();
    for (std::size_t at = 0; at + 4 < size; at += 7) {  // the last letters may be padding
      json::object changed = bundle;
      json::string& text = text_in(changed, field);
      text[at] = text[at] == 'A' ? 'B' : 'A';
      EXPECT_FALSE(verify_model(changed, some_files(), pair.public_pem)) << field << " " << at;
    }
  }
}

TEST(ModelSignatureTest, RefusesWhatIsNoBundleOfAModelWithoutFallingOver) {
  const Pair pair = new_pair();
  const auto good = test::must(sign_model("m", some_files(), pair.private_pem));
  for (const char* text :
       {"{}", R"({"mediaType": 7})",
        R"({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"})",
        R"({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": []})",
        R"({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope":
            {"payloadType": "application/vnd.in-toto+json", "payload": "###", "signatures": []}})"})
    EXPECT_FALSE(verify_model(json::parse(text).as_object(), some_files(), pair.public_pem))
        << text;
}

TEST(ModelSignatureTest, RefusesKeysThatAreNone) {
  EXPECT_FALSE(key_id_of("no key"));
  EVP_PKEY* ed = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  EXPECT_FALSE(key_id_of(pem_of(ed, false)));
  const std::string secret = pem_of(ed, true);
  EVP_PKEY_free(ed);
  const auto refused = sign_model("m", some_files(), secret);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.find(secret.substr(30, 20)), std::string::npos);
  EXPECT_FALSE(sign_model("m", {}, new_pair().private_pem)) << "nothing to sign";
}

}  // namespace
}  // namespace penstock::registry
