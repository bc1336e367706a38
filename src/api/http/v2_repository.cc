#include "api/http/v2_repository.h"

#include "api/http/v2_codec.h"
#include "api/repository.h"

namespace penstock::api {
namespace {

// Bodies are optional, and what is not known in them is left unread, as KServe leaves it.
Result<json::object> fields_of(const Request& request) {
  if (request.body.empty()) return json::object();
  boost::system::error_code fault;
  json::value body = json::parse(request.body, fault);
  if (fault) return Error{Code::invalid_argument, "the body is no JSON: " + fault.message()};
  if (!body.is_object()) return Error{Code::invalid_argument, "the body must be an object"};
  return std::move(body).as_object();
}

Result<Response> index(serving::Service& service, const Call& call, const Request& request) {
  const json::object fields = TRY(fields_of(request));
  bool ready = false;
  if (const json::value* asked = fields.if_contains("ready")) {
    if (!asked->is_bool()) return Error{Code::invalid_argument, "ready must be true or false"};
    ready = asked->as_bool();
  }
  json::array list;
  for (const v2::IndexEntry& entry : TRY(v2::repository_index(service, call, ready))) {
    json::object said{{"name", entry.name}};
    if (!entry.version.empty()) said["version"] = entry.version;
    said["state"] = entry.state;
    if (!entry.reason.empty()) said["reason"] = entry.reason;
    list.push_back(std::move(said));
  }
  return json_response(std::move(list));
}

Result<Response> load(serving::Service& service, const Call& call, const Request& request) {
  const json::object fields = TRY(fields_of(request));
  const json::value* given = fields.if_contains("parameters");
  if (given && given->is_object() && !given->get_object().empty())
    return Error{Code::invalid_argument,
                 "parameters " + std::string(given->get_object().begin()->key()) +
                     " is not offered: a version's files are those that were registered"};
  TRY(v2::repository_load(service, call, *request.path_value("model")));
  return json_response(json::object());
}

Result<Response> unload(serving::Service& service, const Call& call, const Request& request) {
  TRY(v2::repository_unload(service, call, *request.path_value("model")));
  return json_response(json::object());
}

using Serve = Result<Response> (*)(serving::Service&, const Call&, const Request&);

}  // namespace

std::vector<Route> v2_repository_routes(serving::Service& service) {
  const auto post = [&service](std::string path, std::string summary, Permission permission,
                               Serve serve) {
    return Route{.method = "POST",
                 .path = std::move(path),
                 .summary = std::move(summary),
                 .permission = permission,
                 .handle = [&service, serve](const Call& call, const Request& request) {
                   auto response = serve(service, call, request);
                   return response ? std::move(*response) : v2::refusal(response.error());
                 }};
  };
  const std::string one = "/v2/repository/models/{model}/";
  return {
      post("/v2/repository/index", "Routes and versions with their state", Permission::read, index),
      post(one + "load", "Load what of a route is not loaded", Permission::operate, load),
      post(one + "unload", "Refused while a route is in service", Permission::operate, unload)};
}

}  // namespace penstock::api
