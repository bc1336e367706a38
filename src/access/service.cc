#include "access/service.h"

#include <sodium.h>

#include <algorithm>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"

namespace penstock::access {
namespace {

// 256 random bits in letters and digits.
std::string new_token() {
  constexpr std::string_view letters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string token(token_prefix);
  for (int i = 0; i < 43; ++i) token += letters[randombytes_uniform(letters.size())];
  return token;
}

TokenView view_of(const StoredToken& token) {
  return {token.id,      token.name,       token.actor,      token.roles,     token.tenant,
          token.project, token.created_at, token.expires_at, token.revoked_at};
}

const RoleRights* role_named(std::string_view name) {
  for (const RoleRights& role : role_rights)
    if (role.role == name) return &role;
  return nullptr;
}

bool has_word(std::string_view words, std::string_view word) {
  if (word.empty()) return false;
  for (std::size_t at = words.find(word); at != std::string_view::npos;
       at = words.find(word, at + 1))
    if (at > 0 && words[at - 1] == ' ' && words.substr(at + word.size()).starts_with(' '))
      return true;
  return false;
}

Result<void> check(const CreateInput& input) {
  std::vector<Violation> faults;
  for (const std::string& role : input.roles)
    if (!role_named(role))
      faults.push_back(
          {"roles", "must be of viewer, developer, approver, operator, admin, not " + role});
  const std::size_t colon = input.actor.find(':');
  const std::string kind = input.actor.substr(0, std::min(colon, input.actor.size()));
  if ((kind != "user" && kind != "service") || colon + 1 >= input.actor.size())
    faults.push_back({"actor", "must be user:NAME or service:NAME"});
  if (input.expires_in && *input.expires_in <= Micros(0))
    faults.push_back({"expires_in", "must be more than nothing"});
  if (faults.empty()) return {};
  return Error{Code::invalid_argument, faults.front().field + " " + faults.front().problem, faults};
}

// What a new token is, and its text.
std::pair<StoredToken, std::string> made(const Call& call, const CreateInput& input,
                                         Timestamp now) {
  std::string token = new_token();
  StoredToken stored{.id = new_ulid(now),
                     .name = input.name,
                     .digest = sha256_hex(token),
                     .actor = input.actor,
                     .roles = input.roles,
                     .tenant = input.tenant.empty() ? call.tenant : input.tenant,
                     .project = input.project.empty() ? call.project : input.project,
                     .created_at = now,
                     .created_by = call.actor,
                     .expires_at = input.expires_in
                                       ? std::optional<Timestamp>(now + *input.expires_in)
                                       : std::nullopt};
  return {std::move(stored), std::move(token)};
}

Result<void> store(sql::Tx& tx, const Call& call, const StoredToken& token) {
  TRY(sql::insert(tx, "tokens", token));
  return audit::record(tx, call, token.created_at,
                       {"access.token.created",
                        "token:" + token.id,
                        {{"actor", token.actor}, {"roles", encode(token.roles)}}});
}

Result<void> check_an_admin_is_left(sql::Tx& tx, Timestamp now) {
  const auto left = TRY(sql::select<StoredToken>(
      tx,
      "SELECT " + columns<StoredToken>() +
          " FROM tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)",
      {sql::to_sql(now)}));
  for (const StoredToken& token : left)
    if (std::find(token.roles.begin(), token.roles.end(), "admin") != token.roles.end()) return {};
  return Error{Code::failed_precondition,
               "this is the last admin's token, and nobody could make another without it; make "
               "one for another admin first"};
}

// Who a token belongs to, as a thread saw it last: callers come again. What stands for the token is
// a keyed digest of 128 bits, whose key is this process's, at a tenth of SHA-256's time.
struct Known {
  using Tag = std::array<unsigned char, crypto_shorthash_siphashx24_BYTES>;
  std::uint64_t table = 0;
  Tag tag{};
  Identity identity;
  std::optional<Timestamp> expires_at;
};
constexpr std::size_t known_max = 8;  // by thread

Known::Tag tag_of(std::string_view token) {
  using Key = std::array<unsigned char, crypto_shorthash_siphashx24_KEYBYTES>;
  static const Key key = [] {
    Key made{};
    randombytes_buf(made.data(), made.size());
    return made;
  }();
  Known::Tag tag{};
  crypto_shorthash_siphashx24(tag.data(), reinterpret_cast<const unsigned char*>(token.data()),
                              token.size(), key.data());
  return tag;
}

}  // namespace

bool may(const Identity& identity, std::string_view permission) {
  if (permission == "open") return true;
  for (const std::string& name : identity.roles)
    if (const RoleRights* role = role_named(name); role && has_word(role->permissions, permission))
      return true;
  return false;
}

std::string roles_with(std::string_view permission) {
  std::string out;
  for (const RoleRights& rights : role_rights)
    if (has_word(rights.permissions, permission))
      out += (out.empty() ? "" : ", ") + std::string(rights.role);
  return out;
}

Result<void> Service::load() {
  const std::lock_guard lock(loading_);
  const auto tokens = TRY(db_.read({.actor = "service:access"}, [](sql::Tx& tx) {
    return sql::select<StoredToken>(
        tx, "SELECT " + columns<StoredToken>() + " FROM tokens WHERE revoked_at IS NULL", {});
  }));
  auto table = std::make_shared<Table>();
  for (const StoredToken& token : tokens)
    table->tokens.emplace(sha256_from_hex(token.digest), token);
  static std::atomic<std::uint64_t> numbers{0};
  const std::uint64_t number = table->number = ++numbers;
  table_.store(std::move(table));
  table_number_.store(number);
  return {};
}

Result<std::optional<std::string>> Service::ensure_admin(
    const std::function<Result<void>(const std::string& token)>& keep) {
  const Call call{.actor = "service:access", .tenant = "default", .project = "default"};
  const CreateInput first{.name = "first admin", .actor = "user:admin", .roles = {"admin"}};
  const auto [stored, token] = made(call, first, clock_.now());
  const bool created =
      TRY(db_.write(call, [&, &row = stored, &text = token](sql::Tx& tx) -> Result<bool> {
        const auto rows = TRY(tx.run("SELECT count(*) FROM tokens", {}));
        if (std::get<std::int64_t>(rows.at(0).at(0)) > 0) return false;
        TRY(store(tx, call, row));
        if (keep) TRY(keep(text));
        return true;
      }));
  if (!created) return std::optional<std::string>();
  TRY(load());
  return std::optional<std::string>(token);
}

Result<CreatedToken> Service::create(const Call& call, const CreateInput& input) {
  TRY(check(input));
  const auto [stored, token] = made(call, input, clock_.now());
  TRY(db_.write(call, [&, &row = stored](sql::Tx& tx) { return store(tx, call, row); }));
  TRY(load());
  return CreatedToken{token, view_of(stored)};
}

Result<TokenList> Service::list(const Call& call) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<TokenList> {
    TokenList out;
    for (const StoredToken& token : TRY(sql::select<StoredToken>(
             tx, "SELECT " + columns<StoredToken>() + " FROM tokens ORDER BY id LIMIT 10000", {})))
      out.tokens.push_back(view_of(token));
    return out;
  });
}

Result<TokenView> Service::revoke(const Call& call, const TokenName& name) {
  const Timestamp now = clock_.now();
  const auto revoked = TRY(db_.write(call, [&](sql::Tx& tx) -> Result<StoredToken> {
    const auto found = TRY(sql::select<StoredToken>(
        tx,
        "UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING " +
            columns<StoredToken>(),
        {name.id, sql::to_sql(now)}));
    if (found.empty())
      return Error{Code::not_found, "there is no token " + name.id + " that is not revoked"};
    TRY(check_an_admin_is_left(tx, now));
    TRY(audit::record(tx, call, now, {"access.token.revoked", "token:" + name.id, {}}));
    return found.front();
  }));
  TRY(load());
  return view_of(revoked);
}

Result<Identity> Service::identify(std::string_view token) const {
  thread_local std::array<Known, known_max> all_known;
  const Known::Tag tag = tag_of(token);
  Known& known = all_known[tag[0] % known_max];
  if (known.table == 0 || known.table != table_number_.load() || known.tag != tag) {
    // Looked up by digest: the time that it takes says nothing of the token.
    const auto table = table_.load();
    const auto found = table->tokens.find(sha256(token));
    if (found == table->tokens.end())
      return Error{Code::unauthenticated,
                   "the token is unknown or revoked; get one with penstock "
                   "tokens create, and send it as Authorization: Bearer"};
    const StoredToken& stored = found->second;
    known = {.table = table->number,
             .tag = tag,
             .identity = {stored.actor, stored.roles, stored.tenant, stored.project},
             .expires_at = stored.expires_at};
  }
  if (known.expires_at && *known.expires_at <= clock_.now())
    return Error{Code::unauthenticated, "the token expired at " + to_rfc3339(*known.expires_at)};
  return known.identity;
}

}  // namespace penstock::access
