// Who may do what: roles, tokens and the identities that they stand for.
#pragma once

#include <array>
#include <string_view>

#include "base/described.h"

namespace penstock::access {

// "operator" is a word of C++, so roles are texts from this list.
struct RoleRights {
  std::string_view role;
  std::string_view permissions;  // words between spaces
};
inline constexpr std::array role_rights = {
    RoleRights{"viewer", " read "},
    RoleRights{"developer", " read write infer "},
    RoleRights{"approver", " read approve "},
    RoleRights{"operator", " read infer operate "},
    RoleRights{"admin", " read write infer approve operate administer "},
};

inline constexpr std::string_view token_prefix = "pst_";  // secret scanners can look for it

struct Identity {
  std::string actor;  // "user:ana"
  std::vector<std::string> roles;
  std::string tenant, project;
};

// `permission` is the name of an api::Permission. "open" is everybody's.
bool may(const Identity& identity, std::string_view permission);
// "developer, admin": the roles that have it.
std::string roles_with(std::string_view permission);

// What the database keeps of a token: never the token.
struct StoredToken {
  std::string id;  // ULID
  std::string name;
  std::string digest;  // SHA-256 of the token, hex
  std::string actor;
  std::vector<std::string> roles;
  std::string tenant, project;
  Timestamp created_at;
  std::string created_by;
  std::optional<Timestamp> expires_at, revoked_at;
};
BOOST_DESCRIBE_STRUCT(StoredToken, (),
                      (id, name, digest, actor, roles, tenant, project, created_at, created_by,
                       expires_at, revoked_at))

}  // namespace penstock::access
