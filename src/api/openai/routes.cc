#include "api/openai/routes.h"

#include <map>

namespace penstock::api::openai {
namespace {

bool speaks(const serving::LiveRoute& route) {
  for (const serving::LiveTarget& target : route.targets)
    if (target.arm != serving::Arm::shadow && target.deployment->remote &&
        target.deployment->remote->protocol == serving::UpstreamProtocol::openai)
      return true;
  return false;
}

// Nothing here knows when a route was made; the clients want a number.
json::object model_of(const serving::LiveRoute& route) {
  return {{"id", route.declaration.name},
          {"object", "model"},
          {"created", 0},
          {"owned_by", route.declaration.owner}};
}

Response list_models(const Plane& plane, const Call& call) {
  const auto table = plane.table.get();
  std::map<std::string_view, const serving::LiveRoute*> found;  // by name
  for (const auto& [key, route] : table->routes)
    if (route->project == call.project && speaks(*route))
      found[route->declaration.name] = route.get();
  json::array models;
  for (const auto& [name, route] : found) models.push_back(model_of(*route));
  return json_response(json::object{{"object", "list"}, {"data", std::move(models)}});
}

Response one_model(const Plane& plane, const Call& call, const std::string& name) {
  const auto table = plane.table.get();
  const auto found = table->routes.find(serving::route_key(call.project, name));
  if (found != table->routes.end() && speaks(*found->second))
    return json_response(model_of(*found->second));
  Failure none = failure_of(Error{Code::not_found, "the model " + name +
                                                       " does not exist; GET /v1/models lists "
                                                       "those that do"});
  none.param = "model";
  none.code = "model_not_found";
  return response_of(none);
}

}  // namespace

std::vector<Route> routes(const Plane& plane) {
  std::vector<Route> out;
  const auto add = [&](Task task, std::string summary) {
    out.push_back({.method = "POST",
                   .path = "/v1" + std::string(path_of(task)),
                   .summary = std::move(summary),
                   .permission = Permission::infer,
                   .forward = [&plane, task](const Call& call, Request& request) {
                     return std::make_shared<Exchange>(plane, task, call, request);
                   }});
  };
  add(Task::chat, "Answer a chat by the route that model names, as OpenAI's API does");
  add(Task::completions, "Complete a text by the route that model names");
  add(Task::embeddings, "Embed texts by the route that model names");
  add(Task::responses, "Answer by OpenAI's responses API, where the upstream speaks it");
  out.push_back(
      {.method = "GET",
       .path = "/v1/models",
       .summary = "Routes that language models answer, as OpenAI lists models",
       .permission = Permission::read,
       .handle = [&plane](const Call& call, const Request&) { return list_models(plane, call); },
       .on_loop = true});
  out.push_back({.method = "GET",
                 .path = "/v1/models/{model}",
                 .summary = "One such route",
                 .permission = Permission::read,
                 .handle =
                     [&plane](const Call& call, const Request& request) {
                       return one_model(plane, call, *request.path_value("model"));
                     },
                 .on_loop = true});
  return out;
}

}  // namespace penstock::api::openai
