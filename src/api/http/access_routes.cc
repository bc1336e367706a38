#include "api/http/access_routes.h"

#include "access/service.h"

namespace penstock::api {
namespace {

struct Who {
  std::string actor;
  std::vector<std::string> roles;
  std::string tenant, project;
};
BOOST_DESCRIBE_STRUCT(Who, (), (actor, roles, tenant, project))

}  // namespace

std::vector<Route> access_routes(access::Service& service) {
  using namespace access;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<CreateInput, CreatedToken>(
          "POST", "/api/v1/tokens", "Make a token; it is said once", Permission::administer,
          [&](const Call& call, const CreateInput& in) { return service.create(call, in); }),
      route<Empty, TokenList>("GET", "/api/v1/tokens", "List tokens, without their texts",
                              Permission::administer,
                              [&](const Call& call, const Empty&) { return service.list(call); }),
      route<TokenName, TokenView>(
          "DELETE", "/api/v1/tokens/{id}", "Revoke a token", Permission::administer,
          [&](const Call& call, const TokenName& in) { return service.revoke(call, in); }),
      route<Empty, Who>("GET", "/api/v1/whoami", "Say who the token is", Permission::read,
                        [](const Call& call, const Empty&) -> Result<Who> {
                          return Who{call.actor, call.roles, call.tenant, call.project};
                        }),
  };
}

}  // namespace penstock::api
