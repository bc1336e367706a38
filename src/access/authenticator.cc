#include "access/authenticator.h"

#include <sodium.h>

namespace penstock::access {
namespace {

constexpr std::size_t authorization_max = 4'096;

// The rest of `text` behind a scheme, in any case, and a space; nothing where it is another scheme.
std::optional<std::string_view> after_scheme(std::string_view text, std::string_view scheme) {
  if (text.size() <= scheme.size() || text[scheme.size()] != ' ') return {};
  for (std::size_t i = 0; i < scheme.size(); ++i)
    if ((text[i] | 0x20) != scheme[i]) return {};
  text.remove_prefix(std::min(text.find_first_not_of(' ', scheme.size()), text.size()));
  return text;
}

// The PASSWORD of base64 "USER:PASSWORD".
std::optional<std::string> password_of(std::string_view packed) {
  std::string plain(packed.size(), '\0');
  std::size_t size = 0;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(plain.data()), plain.size(), packed.data(),
                        packed.size(), nullptr, &size, nullptr,
                        sodium_base64_VARIANT_ORIGINAL) != 0)
    return {};
  plain.resize(size);
  const std::size_t colon = plain.find(':');
  if (colon == std::string::npos) return {};
  return plain.substr(colon + 1);
}

}  // namespace

Result<Identity> Authenticator::identify(std::string_view authorization) const {
  if (authorization.empty())
    return Error{Code::unauthenticated,
                 "this needs a token; send it as Authorization: Bearer TOKEN (the first one is in "
                 "admin.token of the data directory)"};
  if (authorization.size() <= authorization_max) {
    if (const auto token = after_scheme(authorization, "bearer")) return tokens_.identify(*token);
    if (const auto packed = after_scheme(authorization, "basic"))
      if (const auto token = password_of(*packed)) return tokens_.identify(*token);
  }
  return Error{
      Code::unauthenticated,
      "the Authorization header cannot be read; send Bearer TOKEN, or Basic with the token "
      "as the password"};
}

Result<void> Authenticator::authorize(const Credentials& credentials, std::string_view permission,
                                      Call& call) const {
  if (!open_ && permission == "open") {
    call.actor = "user:anonymous";
    return {};
  }
  Identity identity{"user:local", {"admin"}, "default", "default"};
  if (!open_) identity = TRY(identify(credentials.authorization));
  if (!may(identity, permission))
    return Error{Code::permission_denied, identity.actor + " may not " + std::string(permission) +
                                              "; roles that may: " + roles_with(permission)};
  const auto choose = [&](std::string_view asked, std::string_view what, std::string& own) {
    if (asked.empty() || asked == own) return Result<void>();
    if (!may(identity, "administer"))
      return Result<void>(Error{Code::permission_denied, identity.actor + " belongs to " +
                                                             std::string(what) + " " + own +
                                                             "; only an admin may choose another"});
    own = asked;
    return Result<void>();
  };
  TRY(choose(credentials.project, "project", identity.project));
  TRY(choose(credentials.tenant, "tenant", identity.tenant));
  call.actor = std::move(identity.actor);
  call.roles = std::move(identity.roles);
  call.tenant = std::move(identity.tenant);
  call.project = std::move(identity.project);
  return {};
}

}  // namespace penstock::access
