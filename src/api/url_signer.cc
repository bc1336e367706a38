#include "api/url_signer.h"

#include <charconv>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/digest.h"
#include "base/percent.h"

namespace penstock::api {

UrlSigner::UrlSigner(const Clock& clock) : clock_(clock) {
  if (RAND_bytes(key_.data(), static_cast<int>(key_.size())) != 1)
    throw std::runtime_error("this machine gives no random bytes");
}

std::string UrlSigner::signature(const SignedUse& use) const {
  std::string said;
  // Lengths keep two fields from passing as one.
  for (const std::string& part : {use.method, use.project, use.path, use.upload,
                                  std::to_string(use.part), std::to_string(use.until)})
    said += std::to_string(part.size()) + ":" + part;
  Sha256 out{};
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
       reinterpret_cast<const unsigned char*>(said.data()), said.size(), out.data(), nullptr);
  return to_hex(out);
}

std::string UrlSigner::query(const SignedUse& use) const {
  std::string out = "project=" + percent_encoded(use.project);
  if (!use.upload.empty()) out += "&upload=" + use.upload + "&part=" + std::to_string(use.part);
  return out + "&until=" + std::to_string(use.until) + "&signature=" + signature(use);
}

Result<SignedUse> UrlSigner::check(const Request& request, const std::string& path) const {
  const auto text = [&](std::string_view name) {
    const std::string* value = request.query_value(name);
    return value ? *value : std::string();
  };
  const auto number = [&](std::string_view name) {
    const std::string said = text(name);
    std::int64_t out = 0;
    std::from_chars(said.data(), said.data() + said.size(), out);
    return out;
  };
  const std::string method(request.method == "HEAD" ? "GET" : request.method);
  SignedUse use{method, text("project"), path, text("upload"), number("part"), number("until")};
  const std::string expected = signature(use), said = text("signature");
  if (said.size() != expected.size() ||
      CRYPTO_memcmp(said.data(), expected.data(), said.size()) != 0)
    return Error{Code::permission_denied,
                 "the signature of this URL is not valid; ask for another"};
  const auto now =
      std::chrono::floor<std::chrono::seconds>(clock_.now()).time_since_epoch().count();
  if (now > use.until)
    return Error{Code::permission_denied, "the time of this URL is over; ask for another"};
  return use;
}

}  // namespace penstock::api
