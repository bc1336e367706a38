#include "registry/model_signature.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "base/digest.h"

namespace penstock::registry {
namespace {

constexpr const char* bundle_type = "application/vnd.dev.sigstore.bundle.v0.3+json";
constexpr const char* payload_type = "application/vnd.in-toto+json";
constexpr const char* statement_type = "https://in-toto.io/Statement/v1";
constexpr const char* predicate_type = "https://model_signing/signature/v1.0";
constexpr std::size_t key_max = 16 << 10;
// What `model_signing` leaves out by itself.
constexpr std::array git_paths = {".git", ".gitattributes", ".github", ".gitignore"};

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Context = std::unique_ptr<EVP_MD_CTX, Free>;
using Bio = std::unique_ptr<BIO, Free>;

// OpenSSL would ask the terminal for a passphrase.
int no_passphrase(char*, int, int, void*) { return -1; }

Error wrong(const std::string& what) { return {Code::failed_precondition, what}; }

// The digest that goes with the curve, as Sigstore pairs them; null for any other key.
const EVP_MD* digest_of(EVP_PKEY* key) {
  if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return nullptr;
  switch (EVP_PKEY_get_bits(key)) {
    case 256: return EVP_sha256();
    case 384: return EVP_sha384();
    case 521: return EVP_sha512();
    default: return nullptr;
  }
}

Result<Key> read_key(const std::string& pem, bool is_private) {
  const std::string_view what = is_private ? "private" : "public";
  if (pem.size() <= key_max) {
    const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    Key key(is_private ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr)
                       : PEM_read_bio_PUBKEY(bio.get(), nullptr, no_passphrase, nullptr));
    if (digest_of(key.get())) return key;
  }
  return Error{Code::invalid_argument,
               "this is no " + std::string(what) +
                   " key for signing models: it must be PEM, without a passphrase, of an elliptic "
                   "curve key on P-256, P-384 or P-521 (openssl ecparam -name prime256v1 -genkey "
                   "-noout)",
               {{std::string(what) + "_key", "must be PEM of an elliptic curve key"}}};
}

std::string public_pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bio.get(), key);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

Result<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0 || text.size() > (64u << 20)) return wrong("the signature is no base64");
  std::string out(text.size() / 4 * 3 + 1, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return wrong("the signature is no base64");
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  out.resize(static_cast<std::size_t>(size) - std::min(padding, static_cast<std::size_t>(size)));
  return out;
}

// What DSSE signs: https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md
std::string pre_authentication(const std::string& payload) {
  return "DSSEv1 " + std::to_string(std::string_view(payload_type).size()) + " " + payload_type +
         " " + std::to_string(payload.size()) + " " + payload;
}

// By the parts of a path, as the reference orders them: "a/b" comes before "a.b".
bool path_less(const SignedFile& a, const SignedFile& b) {
  const auto part = [](char c) { return c == '/' ? '\0' : c; };
  return std::lexicographical_compare(
      a.path.begin(), a.path.end(), b.path.begin(), b.path.end(), [&](char x, char y) {
        return static_cast<unsigned char>(part(x)) < static_cast<unsigned char>(part(y));
      });
}

bool needs_no_signature(const std::string& path) {
  if (path == signature_file) return true;
  return std::any_of(git_paths.begin(), git_paths.end(), [&](std::string_view kept) {
    return path == kept || path.starts_with(std::string(kept) + "/");
  });
}

json::object statement_of(const std::string& name, std::vector<SignedFile> files) {
  std::sort(files.begin(), files.end(), path_less);
  json::array resources;
  std::string digests;
  for (const SignedFile& file : files) {
    if (needs_no_signature(file.path)) continue;
    const Sha256 digest = sha256_from_hex(file.digest);
    digests.append(digest.begin(), digest.end());
    resources.push_back({{"algorithm", "sha256"}, {"digest", file.digest}, {"name", file.path}});
  }
  json::array ignored{json::value(signature_file)};
  for (const char* path : git_paths) ignored.push_back(json::value(path));
  return {{"_type", statement_type},
          {"subject", json::array{json::object{{"name", name},
                                               {"digest", {{"sha256", sha256_hex(digests)}}}}}},
          {"predicateType", predicate_type},
          {"predicate",
           {{"serialization",
             {{"method", "files"},
              {"hash_type", "sha256"},
              {"allow_symlinks", false},
              {"ignore_paths", ignored}}},
            {"resources", resources}}}};
}

// A text at a path of objects and lists; nothing where it is not there.
std::string_view text_at(const json::value& in, std::initializer_list<std::string_view> path) {
  const json::value* at = &in;
  for (const std::string_view part : path) {
    if (at->is_array()) at = at->get_array().empty() ? nullptr : &at->get_array().front();
    if (!at || !at->is_object()) return {};
    at = at->get_object().if_contains(part);
    if (!at) return {};
  }
  return at->is_string() ? std::string_view(at->get_string()) : std::string_view();
}

Result<std::map<std::string, std::string>> signed_files(const std::string& payload) {
  boost::system::error_code fault;
  const json::value statement = json::parse(payload, fault);
  if (fault || text_at(statement, {"_type"}) != statement_type ||
      text_at(statement, {"predicateType"}) != predicate_type)
    return wrong("the signature is over something else than a model (" +
                 std::string(text_at(statement, {"predicateType"})) + ")");
  const std::string_view method = text_at(statement, {"predicate", "serialization", "method"});
  const std::string_view hash = text_at(statement, {"predicate", "serialization", "hash_type"});
  if (method != "files" || hash != "sha256")
    return wrong("the signature is over " + std::string(method) + " by " + std::string(hash) +
                 "; sign whole files by sha256");
  const json::value* resources = statement.at("predicate").as_object().if_contains("resources");
  if (!resources || !resources->is_array()) return wrong("the signature lists no files");
  std::map<std::string, std::string> out;
  std::string digests;
  for (const json::value& resource : resources->get_array()) {
    const std::string digest(text_at(resource, {"digest"}));
    if (text_at(resource, {"algorithm"}) != "sha256" || digest.size() != 64)
      return wrong("the signature lists a file without its SHA-256");
    const Sha256 bytes = sha256_from_hex(digest);
    digests.append(bytes.begin(), bytes.end());
    if (!out.emplace(text_at(resource, {"name"}), digest).second)
      return wrong("the signature lists a file twice");
  }
  if (text_at(statement, {"subject", "digest", "sha256"}) != sha256_hex(digests))
    return wrong("the signature's own digest is not that of the files it lists");
  return out;
}

Result<void> compare(std::map<std::string, std::string> listed,
                     const std::vector<SignedFile>& files) {
  for (const SignedFile& file : files) {
    const auto known = listed.find(file.path);
    if (known == listed.end()) {
      if (needs_no_signature(file.path)) continue;
      return wrong("file " + file.path + " is not in the signature");
    }
    if (known->second != file.digest)
      return wrong("file " + file.path + " was changed after it was signed");
    listed.erase(known);
  }
  if (listed.empty()) return {};
  return wrong("file " + listed.begin()->first + " was signed and is missing");
}

}  // namespace

Result<std::string> key_id_of(const std::string& public_key_pem) {
  const Key key = TRY(read_key(public_key_pem, false));
  return sha256_hex(public_pem(key.get()));
}

Result<json::object> sign_model(const std::string& name, const std::vector<SignedFile>& files,
                                const std::string& private_key_pem) {
  const Key key = TRY(read_key(private_key_pem, true));
  if (std::all_of(files.begin(), files.end(),
                  [](const SignedFile& file) { return needs_no_signature(file.path); }))
    return wrong("there are no files to sign");
  const std::string payload = json::serialize(statement_of(name, files));
  const std::string message = pre_authentication(payload);
  const Context context(EVP_MD_CTX_new());
  std::string signature(static_cast<std::size_t>(EVP_PKEY_get_size(key.get())), '\0');
  std::size_t size = signature.size();
  if (EVP_DigestSignInit(context.get(), nullptr, digest_of(key.get()), nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     reinterpret_cast<const unsigned char*>(message.data()), message.size()) != 1)
    return Error{Code::internal, "OpenSSL cannot sign with this key"};
  signature.resize(size);
  return json::object{
      {"mediaType", bundle_type},
      {"verificationMaterial",
       {{"publicKey", {{"hint", sha256_hex(public_pem(key.get()))}}},
        {"tlogEntries", json::array{}}}},
      {"dsseEnvelope",
       {{"payload", base64(payload)},
        {"payloadType", payload_type},
        {"signatures", json::array{json::object{{"sig", base64(signature)}, {"keyid", ""}}}}}}};
}

std::string key_hint_of(const json::object& bundle) {
  return std::string(text_at(bundle, {"verificationMaterial", "publicKey", "hint"}));
}

Result<void> verify_model(const json::object& bundle, const std::vector<SignedFile>& files,
                          const std::string& public_key_pem) {
  const Key key = TRY(read_key(public_key_pem, false));
  const json::value said(bundle);
  if (text_at(said, {"mediaType"}) != bundle_type)
    return wrong("the signature is no Sigstore bundle v0.3 (" +
                 std::string(text_at(said, {"mediaType"})) + ")");
  const std::string hint = key_hint_of(bundle);
  if (!hint.empty() && hint != sha256_hex(public_pem(key.get())))
    return wrong("the signature was made with another key");
  if (text_at(said, {"dsseEnvelope", "payloadType"}) != payload_type)
    return wrong("the signature's payload is no in-toto statement");
  const std::string payload = TRY(from_base64(text_at(said, {"dsseEnvelope", "payload"})));
  const std::string signature =
      TRY(from_base64(text_at(said, {"dsseEnvelope", "signatures", "sig"})));
  const std::string message = pre_authentication(payload);
  const Context context(EVP_MD_CTX_new());
  const bool good =
      EVP_DigestVerifyInit(context.get(), nullptr, digest_of(key.get()), nullptr, key.get()) == 1 &&
      EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), reinterpret_cast<const unsigned char*>(message.data()),
                       message.size()) == 1;
  if (!good) return wrong("the signature is not by this key over this payload");
  return compare(TRY(signed_files(payload)), files);
}

}  // namespace penstock::registry
