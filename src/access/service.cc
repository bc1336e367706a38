#include "access/service.h"

#include <sodium.h>

#include <algorithm>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"

namespace penstock::access {
namespace {

// 32 random bytes as 64 hex digits behind a prefix that secret scanners can look for.
std::string new_token() {
  Sha256 bytes{};
  randombytes_buf(bytes.data(), bytes.size());
  return "pst_" + to_hex(bytes);
}

TokenView view_of(const StoredToken& token) {
  return {token.id,     token.name,    token.actor,      token.roles,     token.tenant,
          token.project, token.created_at, token.expires_at, token.revoked_at};
}

Result<void> check(const CreateInput& input) {
  std::vector<Violation> faults;
  for (const std::string& role : input.roles)
    if (std::none_of(role_rights.begin(), role_rights.end(),
                     [&](const RoleRights& known) { return known.role == role; }))
      faults.push_back(
          {"roles", "must be of viewer, developer, approver, operator, admin, not " + role});
  if (!input.actor.starts_with("user:") && !input.actor.starts_with("service:"))
    faults.push_back({"actor", "must begin with user: or service:"});
  if (faults.empty()) return {};
  return Error{Code::invalid_argument, faults.front().field + " " + faults.front().problem, faults};
}

}  // namespace

bool may(const Identity& identity, std::string_view permission) {
  if (permission == "open") return true;
  const std::string word = " " + std::string(permission) + " ";
  return std::any_of(identity.roles.begin(), identity.roles.end(), [&](const std::string& role) {
    return std::any_of(role_rights.begin(), role_rights.end(), [&](const RoleRights& rights) {
      return rights.role == role && rights.permissions.find(word) != std::string_view::npos;
    });
  });
}

std::string roles_with(std::string_view permission) {
  std::string out;
  for (const RoleRights& rights : role_rights)
    if (may({.roles = {std::string(rights.role)}}, permission))
      out += (out.empty() ? "" : ", ") + std::string(rights.role);
  return out;
}

Result<void> Service::load() {
  const auto tokens =
      TRY(db_.read({.actor = "service:access"}, [](sql::Tx& tx) {
        return sql::select<StoredToken>(
            tx, "SELECT " + columns<StoredToken>() + " FROM tokens WHERE revoked_at IS NULL", {});
      }));
  auto table = std::make_shared<Table>();
  for (const StoredToken& token : tokens) table->emplace(token.digest, token);
  table_.store(std::move(table));
  return {};
}

Result<std::optional<std::string>> Service::ensure_admin() {
  const auto rows = TRY(db_.read({.actor = "service:access"}, [](sql::Tx& tx) {
    return tx.run("SELECT count(*) FROM tokens", {});
  }));
  if (std::get<std::int64_t>(rows.at(0).at(0)) > 0) return std::optional<std::string>();
  const Call call{.actor = "service:access", .tenant = "default", .project = "default"};
  const auto created =
      TRY(create(call, {.name = "first admin", .actor = "user:admin", .roles = {"admin"}}));
  return std::optional<std::string>(created.token);
}

Result<CreatedToken> Service::create(const Call& call, const CreateInput& input) {
  TRY(check(input));
  const std::string token = new_token();
  const Timestamp now = clock_.now();
  const StoredToken stored{
      .id = new_ulid(now),
      .name = input.name,
      .digest = sha256_hex(token),
      .actor = input.actor,
      .roles = input.roles,
      .tenant = input.tenant.empty() ? call.tenant : input.tenant,
      .project = input.project.empty() ? call.project : input.project,
      .created_at = now,
      .created_by = call.actor,
      .expires_at =
          input.expires_in ? std::optional<Timestamp>(now + *input.expires_in) : std::nullopt};
  TRY(db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(sql::insert(tx, "tokens", stored));
    return audit::record(tx, call, now,
                         {"access.token.created",
                          "token:" + stored.id,
                          {{"actor", stored.actor}, {"roles", encode(stored.roles)}}});
  }));
  TRY(load());
  return CreatedToken{token, view_of(stored)};
}

Result<TokenList> Service::list(const Call& call) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<TokenList> {
    TokenList out;
    for (const StoredToken& token :
         TRY(sql::select<StoredToken>(
             tx, "SELECT " + columns<StoredToken>() + " FROM tokens ORDER BY id LIMIT 10000", {})))
      out.tokens.push_back(view_of(token));
    return out;
  });
}

Result<TokenView> Service::revoke(const Call& call, const TokenName& name) {
  const Timestamp now = clock_.now();
  const auto revoked = TRY(db_.write(call, [&](sql::Tx& tx) -> Result<StoredToken> {
    const auto found = TRY(sql::select<StoredToken>(
        tx, "UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING " +
                columns<StoredToken>(),
        {name.id, sql::to_sql(now)}));
    if (found.empty())
      return Error{Code::not_found, "there is no token " + name.id + " that is not revoked"};
    TRY(audit::record(tx, call, now, {"access.token.revoked", "token:" + name.id, {}}));
    return found.front();
  }));
  TRY(load());
  return view_of(revoked);
}

Result<Identity> Service::identify(std::string_view token) const {
  // Looked up by digest: the time that it takes says nothing of the token.
  const auto table = table_.load();
  const auto found = table->find(sha256_hex(token));
  if (found == table->end())
    return Error{Code::unauthenticated, "the token is unknown or revoked; get one with penstock "
                                        "tokens create, and send it as Authorization: Bearer"};
  const StoredToken& stored = found->second;
  if (stored.expires_at && *stored.expires_at <= clock_.now())
    return Error{Code::unauthenticated, "the token expired at " + to_rfc3339(*stored.expires_at)};
  return Identity{stored.actor, stored.roles, stored.tenant, stored.project};
}

}  // namespace penstock::access
