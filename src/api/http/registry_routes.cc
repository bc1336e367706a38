#include "api/http/registry_routes.h"

#include "api/files.h"
#include "base/urn.h"

namespace penstock::api {
namespace {

// An upload is one PUT a file and one commit, so a half-sent model is never visible.
Result<std::string> upload_of(const Request& request) {
  const std::string* upload = request.path_value("upload");
  if (upload && !upload->empty() && upload->size() <= 100 &&
      upload->find_first_not_of(
          "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-") == std::string::npos)
    return *upload;
  return Error{Code::invalid_argument,
               "the upload's name must be 1 to 100 letters, digits or -",
               {{"upload", "must be 1 to 100 letters, digits or -"}}};
}

// Uploads of two projects never meet, whatever they are called.
Result<std::unique_ptr<Intake>> stage_file(registry::Artifacts& artifacts, const Call& call,
                                           const Request& request) {
  const std::string upload = call.project + "-" + TRY(upload_of(request));
  const std::string file = *request.path_value("file");
  return intake_of(TRY(artifacts.begin(upload, file)),
                   [&artifacts, upload, file](const Call&, artifacts::Upload& sent) {
                     const auto staged = artifacts.stage(upload, file, sent);
                     return staged ? json_response(json::object{})
                                   : problem(staged.error(), file_status(staged.error()));
                   });
}

Response commit_upload(registry::Artifacts& artifacts, const Call& call, const Request& request) {
  const auto upload = upload_of(request);
  if (!upload) return problem(upload.error());
  const auto artifact = artifacts.commit(call.project + "-" + *upload);
  return artifact ? json_response(encode(*artifact)) : problem(artifact.error());
}

}  // namespace

std::vector<Route> artifact_routes(artifacts::Collector& collector) {
  using artifacts::CollectInput, artifacts::Collected;
  return {route<CollectInput, Collected>(
      "POST", "/api/v1/artifacts:collect", "Free the files that nothing refers to",
      Permission::administer,
      [&](const Call& call, const CollectInput& in) { return collector.run(call, in); })};
}

std::vector<Route> registry_routes(registry::Service& registry, registry::Artifacts& artifacts) {
  using namespace registry;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<Record, ModelVersion>(
          "POST", "/api/v1/models:register", "Register a model version with its record",
          Permission::write,
          [&](const Call& call, const Record& in) { return registry.register_version(call, in); }),
      route<ListInput, VersionList>(
          "GET", "/api/v1/models", "List model versions", Permission::read,
          [&](const Call& call, const ListInput& in) { return registry.list(call, in); }),
      route<ApproveInput, approvals::Approval>(
          "POST", "/api/v1/models/{model}/versions/{version}:approve",
          "Approve a model version for a scope", Permission::approve,
          [&](const Call& call, const ApproveInput& in) { return registry.approve(call, in); }),
      route<VersionInput, Packages>(
          "GET", "/api/v1/models/{model}/versions/{version}/packages",
          "The packages that a version says it needs", Permission::read,
          [&](const Call& call, const VersionInput& in) -> Result<Packages> {
            return artifacts.packages(TRY(registry.get(call, in)).version.record.artifact_uri);
          }),
      {.method = "PUT",
       .path = "/api/v1/uploads/{upload}/files/{file*}",
       .summary = "Send one file of a model",
       .permission = Permission::write,
       .receive = [&](const Call& call,
                      const Request& request) { return stage_file(artifacts, call, request); }},
      {.method = "POST",
       .path = "/api/v1/uploads/{upload}:commit",
       .summary = "Make the files of an upload one artifact",
       .permission = Permission::write,
       .handle = [&](const Call& call,
                     const Request& request) { return commit_upload(artifacts, call, request); },
       .output_schema = [] { return json::value(schema<Artifact>()); }},
  };
}

}  // namespace penstock::api
