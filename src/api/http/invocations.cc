#include "api/http/invocations.h"

#include "api/http/rows.h"
#include "api/http/v2_codec.h"
#include "api/mlflow/protocol.h"
#include "serving/text.h"

namespace penstock::api {
namespace {

using serving::Gateway;

Result<std::string> route_of(const Gateway& gateway, const Call& call, const Request& request) {
  if (const std::string* route = request.path_value("route")) return *route;
  if (const std::string* route = request.header("x-penstock-route")) return *route;
  const auto routes = gateway.routes(call);
  if (routes.size() == 1) return routes.front()->declaration.name;
  std::string names;
  for (const auto& route : routes) names += (names.empty() ? "" : ", ") + route->declaration.name;
  return Error{Code::invalid_argument,
               routes.empty() ? "project " + call.project + " has no route in service"
                              : "say which route: POST /routes/NAME/invocations, or the header "
                                "X-Penstock-Route; in service are " +
                                    names};
}

bool is_csv(const Request& request) {
  const std::string* type = request.header("content-type");
  return type && type->starts_with("text/csv");
}

Result<Response> invoke(Gateway& gateway, const Call& call, const Request& request) {
  const std::string route = TRY(route_of(gateway, call, request));
  const v2::ModelDescription model = TRY(v2::describe(gateway, call, route, ""));
  v2::InferBody body;
  if (is_csv(request))
    body.inputs = TRY(rows::tensors_of(TRY(rows::read_csv(request.body)), model));
  else
    body = TRY(rows::read_json(TRY(serving::parse_exact(request.body)), model));
  body.header = lookup_of(request);
  v2::InferReply reply = TRY(v2::infer(gateway, call, route, "", body, request.body.size()));
  Response response{.body = TRY(rows::answer_text(reply, model))};
  v2::name_arm(reply, response);
  response.after = std::move(reply.after);
  if (!reply.cached.empty()) response.headers.emplace_back("x-penstock-cached", reply.cached);
  return response;
}

}  // namespace

std::vector<Route> invocation_routes(Gateway& gateway) {
  const auto handle = [&gateway](const Call& call, const Request& request) {
    const std::string* type = request.header("content-type");
    const bool known = !type || type->starts_with("application/json") || is_csv(request) ||
                       type->starts_with("application/x-www-form-urlencoded");  // curl's own
    if (!known)
      return mlflow::error_response(
          {Code::invalid_argument,
           "content type " + *type + " is not read; send application/json or text/csv"},
          415);
    auto response = invoke(gateway, call, request);
    return response ? std::move(*response) : mlflow::error_response(response.error());
  };
  std::vector<Route> routes = {
      {.method = "GET",
       .path = "/ping",
       .summary = "Whether the server runs, as MLflow's scoring server says it",
       .permission = Permission::open,
       .handle =
           [](const Call&, const Request&) {
             return Response{.body = "\n", .content_type = "text/plain"};
           },
       .on_loop = true}};
  for (const char* path : {"/invocations", "/routes/{route}/invocations"})
    routes.push_back({.method = "POST",
                      .path = path,
                      .summary = "Predict as `mlflow models serve` does",
                      .permission = Permission::infer,
                      .handle = handle,
                      .brief = true,
                      .brief_for = [&gateway](const Call& call, const Request& request) {
                        const std::string* route = request.path_value("route");
                        return route && gateway.is_brief(call, *route);
                      }});
  return routes;
}

}  // namespace penstock::api
