// AWS Signature Version 4 in a query: docs.aws.amazon.com, "Authenticating Requests: Using Query
// Parameters". Arrow signs what it sends itself and has no call for this.
#include <ctime>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "adapters/s3/s3.h"
#include "base/digest.h"
#include "base/percent.h"

namespace penstock::s3 {
namespace {

std::string hmac(std::string_view key, std::string_view text) {
  std::string out(32, '\0');
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(out.data()), nullptr);
  return out;
}

std::string written(Timestamp at, const char* format) {
  const std::time_t second =
      std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
  std::tm parts{};
  gmtime_r(&second, &parts);
  std::string out(40, '\0');
  out.resize(std::strftime(out.data(), out.size(), format, &parts));
  return out;
}

}  // namespace

std::string presigned_get(const Options& options, const std::string& key, Timestamp now,
                          std::chrono::seconds time) {
  const std::string day = written(now, "%Y%m%d"), instant = written(now, "%Y%m%dT%H%M%SZ");
  const std::string scope = day + "/" + options.region + "/s3/aws4_request";
  // AWS has a host for each bucket; other servers have the bucket in the path.
  std::string base = "https://" + options.bucket + ".s3." + options.region + ".amazonaws.com";
  std::string path = "/" + percent_encoded(key, true);
  if (!options.endpoint.empty()) {
    base = options.endpoint;
    path = "/" + percent_encoded(options.bucket) + path;
  }
  const std::string host = base.substr(base.find("://") + 3);
  const std::string query =
      "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" +
      percent_encoded(options.access_key + "/" + scope) + "&X-Amz-Date=" + instant +
      "&X-Amz-Expires=" + std::to_string(time.count()) + "&X-Amz-SignedHeaders=host";
  const std::string canonical =
      "GET\n" + path + "\n" + query + "\nhost:" + host + "\n\nhost\nUNSIGNED-PAYLOAD";
  const std::string to_sign =
      "AWS4-HMAC-SHA256\n" + instant + "\n" + scope + "\n" + sha256_hex(canonical);
  std::string signing = hmac("AWS4" + options.secret_key, day);
  for (const std::string_view step :
       {std::string_view(options.region), std::string_view("s3"), std::string_view("aws4_request")})
    signing = hmac(signing, step);
  Sha256 signature{};
  const std::string made = hmac(signing, to_sign);
  std::copy(made.begin(), made.end(), signature.begin());
  return base + path + "?" + query + "&X-Amz-Signature=" + to_hex(signature);
}

}  // namespace penstock::s3
