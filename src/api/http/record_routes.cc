#include "api/http/record_routes.h"

namespace penstock::api {
namespace {

Response card(record::Service& record, const Call& call, const Request& request) {
  const auto value = request_value(request, text_fields<record::CardInput>());
  if (!value) return problem(value.error());
  const auto input = decode<record::CardInput>(*value);
  if (!input) return problem(input.error());
  auto text = record.card(call, *input);
  if (!text) return problem(text.error());
  return {.body = std::move(*text),
          .content_type = input->format == "html" ? "text/html; charset=utf-8"
                                                  : "text/markdown; charset=utf-8"};
}

}  // namespace

std::vector<Route> record_routes(record::Service& record, registry::Signatures& signatures) {
  using namespace record;  // NOLINT(google-build-using-namespace): the types of one component
  using registry::CheckedSignature, registry::SignatureList, registry::SignInput;
  using registry::VersionInput;
  return {
      route<VersionInput, Facts>(
          "GET", "/api/v1/models/{model}/versions/{version}",
          "Show a model version and all that is known of it", Permission::read,
          [&](const Call& call, const VersionInput& in) { return record.facts(call, in); }),
      {.method = "GET",
       .path = "/api/v1/models/{model}/versions/{version}/card",
       .summary = "Show the model card, as Markdown or HTML",
       .permission = Permission::read,
       .handle = [&](const Call& call,
                     const Request& request) { return card(record, call, request); },
       .input_schema = [] { return json::value(schema<CardInput>()); }},
      route<VersionInput, json::object>(
          "GET", "/api/v1/models/{model}/versions/{version}/bom",
          "Show the bill of materials (CycloneDX)", Permission::read,
          [&](const Call& call, const VersionInput& in) { return record.bom(call, in); }),
      route<DiffInput, Diff>(
          "GET", "/api/v1/models/{model}/versions/{version}/diff",
          "Show what differs between two versions", Permission::read,
          [&](const Call& call, const DiffInput& in) { return record.diff(call, in); }),
      route<VersionInput, SignatureList>(
          "GET", "/api/v1/models/{model}/versions/{version}/signatures",
          "List the signatures of a version's files, each checked now", Permission::read,
          [&](const Call& call, const VersionInput& in) {
            return signatures.list(call, in.model, in.version);
          }),
      route<SignInput, CheckedSignature>(
          "POST", "/api/v1/models/{model}/versions/{version}:sign",
          "Keep a signature (OpenSSF Model Signing) over a version's files", Permission::write,
          [&](const Call& call, const SignInput& in) { return signatures.add(call, in); }),
  };
}

}  // namespace penstock::api
