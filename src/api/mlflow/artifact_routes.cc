#include "api/mlflow/artifact_routes.h"

#include <algorithm>

#include "api/files.h"
#include "api/mlflow/protocol.h"
#include "api/url_signer.h"
#include "base/percent.h"
#include "tracking/logged_models.h"
#include "tracking/part_uploads.h"
#include "tracking/registered_models.h"
#include "tracking/service.h"

namespace penstock::api {
namespace {

using mlflow::Arguments;
using Object = Result<json::object>;
using Parts = MlflowArtifactParts;
using Handle = std::function<Result<Response>(const Call&, const Request&)>;

constexpr std::string_view artifact_root = "mlflow-artifacts:/";
constexpr const char* bytes_type = "application/octet-stream";
constexpr std::int64_t url_seconds = 300, url_seconds_max = 604'800, upload_seconds = 86'400;
constexpr std::size_t small_upload_max = 10 << 20;

json::array said(const std::vector<tracking::ArtifactEntry>& entries, const std::string& folder) {
  json::array files;
  for (const tracking::ArtifactEntry& entry : entries) {
    json::object file{{"path", folder.empty() ? entry.name : folder + "/" + entry.name},
                      {"is_dir", entry.is_dir}};
    if (!entry.is_dir) file["file_size"] = entry.size;
    files.push_back(std::move(file));
  }
  return files;
}

std::string joined(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : name.empty() ? folder : folder + "/" + name;
}

// The path of what an artifact URI names, where this server keeps it.
Result<std::string> path_of(const std::string& uri, const std::string& below) {
  if (uri.starts_with(artifact_root)) return joined(uri.substr(artifact_root.size()), below);
  return Error{Code::invalid_argument,
               "the artifacts are at " + uri + ", which this server does not keep"};
}

// Scheme and host as the caller wrote them, so that a URL leads back through the same proxy.
std::string base_of(const Request& request) {
  const std::string* proto = request.header("x-forwarded-proto");
  const std::string* host = request.header("host");
  return std::string(proto && *proto == "https" ? "https" : "http") + "://" +
         (host ? *host : "localhost");
}

// ---- routes ----

Response answer(Result<Response> out) {
  return out ? std::move(out).take()
             : mlflow::error_response(out.error(), file_status(out.error()));
}

Response done() { return json_response(json::object{}); }

Route below(const char* root, const char* method, const std::string& path, const char* summary,
            Permission permission) {
  return {.method = method, .path = root + path, .summary = summary, .permission = permission};
}

constexpr std::array roots = {"/api/2.0/", "/ajax-api/2.0/"};

void add(std::vector<Route>& routes, const char* method, const std::string& path,
         const char* summary, Permission permission, const Handle& handle) {
  for (const char* root : roots) {
    routes.push_back(below(root, method, path, summary, permission));
    routes.back().handle = [handle](const Call& call, const Request& request) {
      return answer(handle(call, request));
    };
  }
}

// A handler on JSON that needs the request too.
Handle on_json(std::function<Object(const Call&, const Request&, const Arguments&)> serve) {
  return [serve = std::move(serve)](const Call& call, const Request& request) -> Result<Response> {
    const Arguments in = TRY(Arguments::read(request));
    return json_response(TRY(serve(call, request, in)));
  };
}

Result<std::unique_ptr<Intake>> take_file(const Parts& parts, const std::string& path) {
  return intake_of(
      TRY(parts.artifacts.begin(path)), [parts, path](const Call& call, artifacts::Upload& upload) {
        const auto kept = parts.artifacts.commit(call, path, upload);
        return kept ? done() : mlflow::error_response(kept.error(), file_status(kept.error()));
      });
}

Result<Response> give_file(const Parts& parts, const Call& call, const Request& request,
                           const std::string& path) {
  const auto file = TRY(parts.artifacts.find(call, path));
  return file_response(parts.files, request, file.digest, bytes_type);
}

void add_files(std::vector<Route>& routes, const Parts& parts) {
  const std::string path = "mlflow-artifacts/artifacts/{path*}";
  for (const char* root : roots) {
    routes.push_back(below(root, "PUT", path, "Send an artifact", Permission::write));
    routes.back().receive = [parts](const Call&, const Request& request) {
      return take_file(parts, *request.path_value("path"));
    };
  }
  add(routes, "GET", path, "Fetch an artifact, or a range of it", Permission::read,
      [parts](const Call& call, const Request& request) {
        return give_file(parts, call, request, *request.path_value("path"));
      });
  add(routes, "DELETE", path, "Delete an artifact or a folder of them", Permission::write,
      [parts](const Call& call, const Request& request) -> Result<Response> {
        TRY(parts.artifacts.remove(call, *request.path_value("path")));
        return done();
      });
  add(routes, "GET", "mlflow-artifacts/artifacts", "List artifacts", Permission::read,
      [parts](const Call& call, const Request& request) -> Result<Response> {
        const std::string* folder = request.query_value("path");
        return json_response(json::object{
            {"files", said(TRY(parts.artifacts.list(call, folder ? *folder : "")), "")}});
      });
}

// ---- what runs and models have ----

Object listing(const Parts& parts, const Call& call, const std::string& root,
               const std::string& folder) {
  const std::string path = TRY(path_of(root, folder));
  return json::object{{"root_uri", root},
                      {"files", said(TRY(parts.artifacts.list(call, path)), folder)}};
}

// Old clients say run_uuid.
Result<std::string> run_root(const Parts& parts, const Call& call, const Arguments& in) {
  const std::string id = in.has("run_id")     ? TRY(in.text("run_id"))
                         : in.has("run_uuid") ? TRY(in.text("run_uuid"))
                                              : TRY(in.text("run_id"));
  return TRY(parts.tracking.run(call, id)).run.artifact_uri;
}

Result<std::string> model_root(const Parts& parts, const Call& call, const Arguments& in) {
  return TRY(parts.logged_models.get(call, TRY(in.text("model_id")))).model.artifact_uri;
}

Route page(const char* path, const char* summary, Handle handle) {
  return {.method = "GET",
          .path = path,
          .summary = summary,
          .permission = Permission::read,
          .handle = [handle = std::move(handle)](const Call& call, const Request& request) {
            return answer(handle(call, request));
          }};
}

void add_views(std::vector<Route>& routes, const Parts& parts) {
  mlflow::add(routes, "GET", "artifacts/list", "List artifacts of a run", Permission::read,
              [parts](const Call& call, const Arguments& in) -> Object {
                return listing(parts, call, TRY(run_root(parts, call, in)),
                               TRY(in.text_or("path", "")));
              });
  mlflow::add(routes, "GET", "logged-models/{model_id}/artifacts/directories",
              "List artifacts of a logged model", Permission::read,
              [parts](const Call& call, const Arguments& in) -> Object {
                return listing(parts, call, TRY(model_root(parts, call, in)),
                               TRY(in.text_or("artifact_directory_path", "")));
              });
  add(routes, "GET", "mlflow/logged-models/{model_id}/artifacts/files",
      "Fetch an artifact of a logged model", Permission::read,
      [parts](const Call& call, const Request& request) -> Result<Response> {
        const Arguments in = TRY(Arguments::read(request));
        const std::string root = TRY(model_root(parts, call, in));
        const std::string path = TRY(path_of(root, TRY(in.text("artifact_file_path"))));
        return give_file(parts, call, request, path);
      });
  routes.push_back(page("/get-artifact", "Fetch an artifact of a run",
                        [parts](const Call& call, const Request& request) -> Result<Response> {
                          const Arguments in = TRY(Arguments::read(request));
                          const std::string root = TRY(run_root(parts, call, in));
                          return give_file(parts, call, request,
                                           TRY(path_of(root, TRY(in.text("path")))));
                        }));
  routes.push_back(page(
      "/model-versions/get-artifact", "Fetch an artifact of a model version",
      [parts](const Call& call, const Request& request) -> Result<Response> {
        const Arguments in = TRY(Arguments::read(request));
        const std::int64_t version = TRY(in.whole_or("version", 0));
        const std::string name = TRY(in.text("name")), path = TRY(in.text("path"));
        if (const auto own = TRY(parts.registered_models.own_file(call, name, version, path)))
          return file_response(parts.files, request, *own, bytes_type);
        const std::string root = TRY(parts.registered_models.download_uri(call, name, version));
        return give_file(parts, call, request, TRY(path_of(root, path)));
      }));
  routes.push_back(below("/ajax-api/2.0/", "POST", "mlflow/upload-artifact",
                         "Send a small artifact of a run", Permission::write));
  routes.back().handle = [parts](const Call& call, const Request& request) {
    const auto keep = [&]() -> Result<Response> {
      Request head;
      head.query = request.query;
      const Arguments in = TRY(Arguments::read(head));
      const std::string root = TRY(run_root(parts, call, in));
      if (request.body.empty()) return Error{Code::invalid_argument, "Request must specify data."};
      if (request.body.size() > small_upload_max)
        return Error{Code::invalid_argument, "Artifact size is too large. Max size is 10MB."};
      TRY(parts.artifacts.put(call, TRY(path_of(root, TRY(in.text("path")))), request.body));
      return done();
    };
    return answer(keep());
  };
}

// ---- signed URLs, and uploads in parts ----

class Signed {
 public:
  Signed(const Parts& parts) : parts_(parts), signer_(parts.clock) {}

  // The URL of one use of `path` for `seconds` from now on.
  std::string url(const Request& request, SignedUse use, std::int64_t seconds) const {
    use.until =
        std::chrono::floor<std::chrono::seconds>(parts_.clock.now()).time_since_epoch().count() +
        seconds;
    return base_of(request) + "/api/2.0/mlflow-artifacts/signed/" +
           percent_encoded(use.path, true) + "?" + signer_.query(use);
  }

  // Where to fetch a file without a token: the object store's own URL where there is one.
  Object download(const Call& call, const Request& request, const std::string& path,
                  std::int64_t seconds, const char* name) const {
    if (seconds < 1 || seconds > url_seconds_max)
      return Error{Code::invalid_argument, "expiration must be between 1 and 604800 seconds (got " +
                                               std::to_string(seconds) + ")."};
    const auto file = TRY(parts_.artifacts.find(call, path));
    auto link = parts_.files.presigned(file.digest, std::chrono::seconds(seconds));
    if (!link)
      link = url(request, {.method = "GET", .project = call.project, .path = path}, seconds);
    return json::object{{name, *link}, {"headers", json::object{}}, {"file_size", file.size}};
  }

  Result<Response> give(const Request& request) const {
    const std::string& path = *request.path_value("path");
    const SignedUse use = TRY(signer_.check(request, path));
    return give_file(parts_, {.actor = "service:signed_url", .project = use.project}, request,
                     path);
  }

  Result<std::unique_ptr<Intake>> take(const Request& request) const;

 private:
  const Parts parts_;
  const UrlSigner signer_;
};

class PartIntake final : public Intake {
 public:
  explicit PartIntake(std::unique_ptr<tracking::PartUpload> part) : part_(std::move(part)) {}
  Result<void> take(std::string_view bytes) override { return part_->write(bytes); }
  Response finish(const Call&) override {
    const auto etag = part_->commit();
    if (!etag) return mlflow::error_response(etag.error(), file_status(etag.error()));
    Response response = done();
    response.headers.emplace_back("ETag", *etag);
    return response;
  }

 private:
  const std::unique_ptr<tracking::PartUpload> part_;
};

Result<std::unique_ptr<Intake>> Signed::take(const Request& request) const {
  const std::string& path = *request.path_value("path");
  const SignedUse use = TRY(signer_.check(request, path));
  Call call{.actor = "service:signed_url", .project = use.project};
  if (!use.upload.empty())
    return std::make_unique<PartIntake>(
        TRY(parts_.uploads.begin(call, use.upload, path, use.part)));
  return intake_of(
      TRY(parts_.artifacts.begin(path)),
      [parts = parts_, path, call](const Call& late, artifacts::Upload& upload) mutable {
        call.deadline = late.deadline;
        const auto kept = parts.artifacts.commit(call, path, upload);
        return kept ? done() : mlflow::error_response(kept.error(), file_status(kept.error()));
      });
}

void add_signed(std::vector<Route>& routes, const Parts& parts,
                const std::shared_ptr<const Signed>& links) {
  const std::string path = "mlflow-artifacts/signed/{path*}";
  routes.push_back(
      below("/api/2.0/", "PUT", path, "Send a file or a part by a signed URL", Permission::open));
  routes.back().receive = [links](const Call&, const Request& request) {
    return links->take(request);
  };
  routes.push_back(
      below("/api/2.0/", "GET", path, "Fetch a file by a signed URL", Permission::open));
  routes.back().handle = [links](const Call&, const Request& request) {
    return answer(links->give(request));
  };
  add(routes, "GET", "mlflow-artifacts/presigned/{path*}",
      "Ask for a URL that fetches an artifact without a token", Permission::read,
      on_json([links](const Call& call, const Request& request, const Arguments&) -> Object {
        return links->download(call, request, *request.path_value("path"), url_seconds, "url");
      }));
  add(routes, "POST", "mlflow/artifacts/presigned-download-url",
      "Ask for a URL that fetches an artifact of a run", Permission::read,
      on_json([parts, links](const Call& call, const Request& request,
                             const Arguments& in) -> Object {
        const std::string root = TRY(run_root(parts, call, in));
        const std::string file = TRY(path_of(root, TRY(in.text("path"))));
        return links->download(call, request, file,
                               TRY(in.whole("expiration")).value_or(url_seconds), "presigned_url");
      }));
  add(routes, "POST", "mlflow/artifacts/presigned-upload-url",
      "Ask for a URL that sends an artifact of a run or logged model", Permission::write,
      on_json(
          [parts, links](const Call& call, const Request& request, const Arguments& in) -> Object {
            if (in.has("run_id") == in.has("model_id"))
              return Error{Code::invalid_argument,
                           "Exactly one of run_id and model_id must be provided."};
            const std::string root = in.has("run_id") ? TRY(run_root(parts, call, in))
                                                      : TRY(model_root(parts, call, in));
            const std::string file = TRY(path_of(root, TRY(in.text("path"))));
            TRY(parts.artifacts.begin(file));
            const std::int64_t seconds = TRY(in.whole("expiration")).value_or(900);
            if (seconds < 1 || seconds > url_seconds_max)
              return Error{Code::invalid_argument,
                           "expiration must be between 1 and 604800 seconds (got " +
                               std::to_string(seconds) + ")."};
            const SignedUse use{.method = "PUT", .project = call.project, .path = file};
            return json::object{{"presigned_url", links->url(request, use, seconds)},
                                {"headers", json::object{}}};
          }));
}

// The body's "path" is a file's name on the caller's machine, of which only the last part counts.
// The path of the URL has the same name, so the body is read alone.
Handle on_upload(
    std::function<Object(const Call&, const Request&, const std::string& path, const Arguments&)>
        serve) {
  return [serve = std::move(serve)](const Call& call, const Request& request) -> Result<Response> {
    Request alone;
    alone.body = request.body;
    const Arguments in = TRY(Arguments::read(alone));
    const std::string local = TRY(in.text("path"));
    const std::string path =
        joined(*request.path_value("path"), local.substr(local.rfind('/') + 1));
    return json_response(TRY(serve(call, request, path, in)));
  };
}

void add_uploads(std::vector<Route>& routes, const Parts& parts,
                 const std::shared_ptr<const Signed>& links) {
  const std::string mpu = "mlflow-artifacts/mpu/";
  add(routes, "POST", mpu + "create/{path*}", "Begin an upload in parts", Permission::write,
      on_upload([parts, links](const Call& call, const Request& request, const std::string& path,
                               const Arguments& in) -> Object {
        const std::int64_t count = TRY(in.whole_or("num_parts", 1));
        if (count < 1 || count > tracking::PartUploads::parts_max)
          return Error{Code::invalid_argument,
                       "Invalid value for parameter 'num_parts': it must be 1 to " +
                           std::to_string(tracking::PartUploads::parts_max)};
        const std::string id = TRY(parts.uploads.create(call, path));
        json::array credentials;
        for (std::int64_t part = 1; part <= count; ++part) {
          const SignedUse use{
              .method = "PUT", .project = call.project, .path = path, .upload = id, .part = part};
          credentials.push_back(json::object{{"url", links->url(request, use, upload_seconds)},
                                             {"part_number", part},
                                             {"headers", json::object{}}});
        }
        return json::object{{"upload_id", id}, {"credentials", std::move(credentials)}};
      }));
  add(routes, "POST", mpu + "complete/{path*}", "Join the parts of an upload", Permission::write,
      on_upload([parts](const Call& call, const Request&, const std::string& path,
                        const Arguments& in) -> Object {
        std::vector<tracking::UploadedPart> sent;
        for (const Arguments& one : TRY(in.objects("parts")))
          sent.push_back({TRY(one.whole_or("part_number", 0)), TRY(one.text_or("etag", ""))});
        TRY(parts.uploads.complete(call, TRY(in.text("upload_id")), path, sent));
        return json::object{};
      }));
  add(routes, "POST", mpu + "abort/{path*}", "Give up an upload in parts", Permission::write,
      on_upload([parts](const Call& call, const Request&, const std::string& path,
                        const Arguments& in) -> Object {
        TRY(parts.uploads.abort(call, TRY(in.text("upload_id")), path));
        return json::object{};
      }));
}

}  // namespace

std::vector<Route> mlflow_artifact_routes(const MlflowArtifactParts& parts) {
  std::vector<Route> routes;
  const auto links = std::make_shared<const Signed>(parts);
  add_files(routes, parts);
  add_views(routes, parts);
  add_signed(routes, parts, links);
  add_uploads(routes, parts, links);
  return routes;
}

}  // namespace penstock::api
