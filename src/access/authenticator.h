// Who a request is from, by what its headers say.
#pragma once

#include "access/service.h"

namespace penstock::access {

// Header values as they came; empty where there is none.
struct Credentials {
  std::string_view authorization;    // "Bearer TOKEN", or Basic with the token as its password
  std::string_view project, tenant;  // X-Penstock-Project and X-Penstock-Tenant: an admin's choice
};

class Authenticator {
 public:
  // `open`: no tokens are asked for, everybody is user:local, an admin. For a loopback address
  // only.
  Authenticator(const Service& tokens, bool open) : tokens_(tokens), open_(open) {}

  // Fills actor, roles, tenant and project of the call. unauthenticated where nobody known asks;
  // permission_denied, with what is missing and who has it, where they may not. Never waits.
  Result<void> authorize(const Credentials& credentials, std::string_view permission,
                         Call& call) const;

 private:
  Result<Identity> identify(std::string_view authorization) const;

  const Service& tokens_;
  const bool open_;
};

}  // namespace penstock::access
