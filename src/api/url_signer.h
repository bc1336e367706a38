// URLs that let whoever holds them do one thing for a while, without a token.
#pragma once

#include <array>

#include "api/route.h"

namespace penstock::api {

// What a URL allows: PUT of part 3 of an upload to a path of a project, or GET of a file.
struct SignedUse {
  std::string method, project, path, upload;
  std::int64_t part = 0;
  std::int64_t until = 0;  // seconds since 1970
};

// HMAC-SHA-256 under a key that this process made and nobody else has: URLs end with the process.
class UrlSigner {
 public:
  explicit UrlSigner(const Clock& clock);
  // "project=...&until=...&signature=..."
  std::string query(const SignedUse& use) const;
  // What the query of `request` for `path` allows; permission_denied where it is not ours, is for
  // something else, or its time is over.
  Result<SignedUse> check(const Request& request, const std::string& path) const;

 private:
  std::string signature(const SignedUse& use) const;
  const Clock& clock_;
  std::array<unsigned char, 32> key_{};
};

}  // namespace penstock::api
