#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "access/token.h"
#include "base/call.h"
#include "base/digest.h"
#include "ports/sql.h"

namespace penstock::access {

struct CreateInput {
  std::string name, actor;
  std::vector<std::string> roles;
  std::string tenant, project;  // empty: those of the caller
  std::optional<Micros> expires_in;
};
BOOST_DESCRIBE_STRUCT(CreateInput, (), (name, actor, roles, tenant, project, expires_in))
constexpr auto rules_of(const CreateInput&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 200},
      Rule{.field = "actor", .doc = "user:NAME or service:NAME", .min = 3, .max = 200},
      Rule{.field = "roles", .min = 1, .max = 5},
      Rule{.field = "tenant", .max = 200, .may_miss = true},
      Rule{.field = "project", .max = 200, .may_miss = true}};
}
struct TokenView {
  std::string id, name, actor;
  std::vector<std::string> roles;
  std::string tenant, project;
  Timestamp created_at;
  std::optional<Timestamp> expires_at, revoked_at;
};
BOOST_DESCRIBE_STRUCT(TokenView, (),
                      (id, name, actor, roles, tenant, project, created_at, expires_at, revoked_at))
struct CreatedToken {
  std::string token;  // said this once and never again
  TokenView view;
};
BOOST_DESCRIBE_STRUCT(CreatedToken, (), (token, view))
struct TokenList {
  std::vector<TokenView> tokens;
};
BOOST_DESCRIBE_STRUCT(TokenList, (), (tokens))
struct TokenName {
  std::string id;
};
BOOST_DESCRIBE_STRUCT(TokenName, (), (id))

class Service {
 public:
  Service(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  // At start: reads every token into memory, so that a request needs no SQL.
  Result<void> load();
  // The first admin's token, if there is no token at all yet; nothing otherwise. `keep` puts it
  // where its owner finds it, before the token is committed: a crash between the two must not lock
  // everybody out.
  Result<std::optional<std::string>> ensure_admin(
      const std::function<Result<void>(const std::string& token)>& keep = {});

  Result<CreatedToken> create(const Call& call, const CreateInput& input);
  Result<TokenList> list(const Call& call);
  // failed_precondition where it is the last admin's: nobody could make another.
  Result<TokenView> revoke(const Call& call, const TokenName& name);

  // unauthenticated where the token is unknown, expired or revoked. Safe from any thread; no lock.
  Result<Identity> identify(std::string_view token) const;

 private:
  struct Table {
    std::map<Sha256, StoredToken> tokens;  // by digest
    std::uint64_t number = 0;              // no other table of the process has it
  };
  sql::Database& db_;
  const Clock& clock_;
  std::mutex loading_;  // a slower load must not put back what a later one has dropped
  std::atomic<std::shared_ptr<const Table>> table_{std::make_shared<const Table>()};
  std::atomic<std::uint64_t> table_number_{0};  // of table_
};

}  // namespace penstock::access
