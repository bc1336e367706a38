#include "api/http/audit_routes.h"

namespace penstock::api {
namespace {

struct Key {
  std::string key;
};
BOOST_DESCRIBE_STRUCT(Key, (), (key))

// Lines, not one document: whoever reads them keeps what came as it came.
Response export_lines(audit::Service& service, const Call& call, const Request& request) {
  const auto value = request_value(request);
  if (!value) return problem(value.error());
  const auto in = decode<audit::ExportInput>(*value);
  if (!in) return problem(in.error());
  auto lines = service.export_lines(call, *in);
  if (!lines) return problem(lines.error());
  return {.body = std::move(lines).take(), .content_type = "application/x-ndjson"};
}

}  // namespace

std::vector<Route> audit_routes(audit::Service& service) {
  using namespace audit;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<Query, Page>("GET", "/api/v1/audit/events", "List audit events", Permission::read,
                         [&](const Call& call, const Query& in) { return service.list(call, in); }),
      route<Empty, Verification>(
          "POST", "/api/v1/audit:verify",
          "Compare the audit log with itself and with what was signed", Permission::read,
          [&](const Call& call, const Empty&) { return service.verify(call); }),
      route<Empty, Key>("GET", "/api/v1/audit/key", "Show the key that signs the audit log",
                        Permission::read,
                        [&](const Call&, const Empty&) -> Result<Key> {
                          return Key{service.public_key().text()};
                        }),
      route<Empty, Checkpoint>(
          "GET", "/api/v1/audit/checkpoint", "Show the newest signed head", Permission::read,
          [&](const Call& call, const Empty&) { return service.latest(call); }),
      route<Empty, Checkpoint>(
          "POST", "/api/v1/audit:checkpoint", "Sign the audit log as it stands",
          Permission::operate,
          [&](const Call& call, const Empty&) { return service.checkpoint(call); }),
      route<InclusionInput, Inclusion>("GET", "/api/v1/audit/proof/inclusion",
                                       "Prove that an event is in the signed log", Permission::read,
                                       [&](const Call& call, const InclusionInput& in) {
                                         return service.prove_inclusion(call, in);
                                       }),
      route<ConsistencyInput, Consistency>("GET", "/api/v1/audit/proof/consistency",
                                           "Prove that a later head continues an earlier one",
                                           Permission::read,
                                           [&](const Call& call, const ConsistencyInput& in) {
                                             return service.prove_consistency(call, in);
                                           }),
      {.method = "GET",
       .path = "/api/v1/audit/export",
       .summary =
           "Read events of all projects, with their leaves and checkpoints, as lines of JSON",
       .permission = Permission::administer,
       .handle = [&](const Call& call,
                     const Request& request) { return export_lines(service, call, request); }},
  };
}

}  // namespace penstock::api
