#include "api/http/evidence_routes.h"

namespace penstock::api {
namespace {

// A file, bounded by evidence::archive_max.
Response bundle(evidence::Service& evidence, const Call& call, const Request& request) {
  using registry::VersionInput;
  const auto value = request_value(request, text_fields<VersionInput>());
  if (!value) return problem(value.error());
  const auto input = decode<VersionInput>(*value);
  if (!input) return problem(input.error());
  auto archive = evidence.bundle(call, *input);
  if (!archive) return problem(archive.error());
  return {.body = std::move(archive).take(),
          .content_type = "application/zip",
          .headers = {{"Content-Disposition", "attachment; filename=\"evidence.zip\""}}};
}

}  // namespace

std::vector<Route> evidence_routes(evidence::Service& evidence) {
  return {
      {.method = "GET",
       .path = "/api/v1/models/{model}/versions/{version}/evidence",
       .summary = "Write all that is known of a version into a signed archive (ZIP)",
       .permission = Permission::read,
       .handle = [&](const Call& call,
                     const Request& request) { return bundle(evidence, call, request); },
       .input_schema = [] { return json::value(schema<registry::VersionInput>()); }},
  };
}

}  // namespace penstock::api
