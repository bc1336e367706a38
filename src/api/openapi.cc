#include "api/openapi.h"

#include <algorithm>
#include <cctype>

namespace penstock::api {
namespace {

// Names in braces, without the star of a rest.
std::vector<std::string> path_names(const std::string& path) {
  std::vector<std::string> names;
  for (std::size_t open = path.find('{'); open != std::string::npos;
       open = path.find('{', open + 1)) {
    std::string name = path.substr(open + 1, path.find('}', open) - open - 1);
    if (name.ends_with('*')) name.pop_back();
    names.push_back(name);
  }
  return names;
}

std::string without_star(std::string path) {
  std::erase(path, '*');
  return path;
}

json::object content(const json::value& schema) {
  return {{"application/json", json::object{{"schema", schema}}}};
}

// "get_api_v1_tokens_id" of GET /api/v1/tokens/{id}: what generated clients name their functions
// by.
std::string operation_id(const Route& route) {
  std::string id;
  for (const char letter : route.method) id += static_cast<char>(std::tolower(letter));
  for (const char letter : route.path)
    if (std::isalnum(static_cast<unsigned char>(letter)))
      id += letter;
    else if (id.back() != '_')
      id += '_';
  while (id.ends_with('_')) id.pop_back();
  return id;
}

// "tokens" of /api/v1/tokens/{id}, "v2" of /v2/models.
std::string tag_of(std::string_view path) {
  if (path.starts_with("/api/v1")) path.remove_prefix(7);
  if (path.starts_with('/')) path.remove_prefix(1);
  return std::string(path.substr(0, std::min(path.find_first_of("/:{"), path.size())));
}

// The input's fields stand in the path, the query (GET, DELETE) or the body.
void add_input(const Route& route, json::object& operation) {
  json::object body = route.input_schema ? route.input_schema().as_object() : json::object{};
  const auto names = path_names(route.path);
  json::array parameters;
  json::object properties =
      body.contains("properties") ? body["properties"].as_object() : json::object{};
  json::array required = body.contains("required") ? body["required"].as_array() : json::array{};
  for (const std::string& name : names) {
    json::value schema = json::object{{"type", "string"}};
    if (const json::value* known = properties.if_contains(name)) schema = *known;
    parameters.push_back({{"name", name}, {"in", "path"}, {"required", true}, {"schema", schema}});
    properties.erase(name);
  }
  const auto is_path = [&](const json::value& name) {
    return std::find(names.begin(), names.end(), std::string(name.as_string())) != names.end();
  };
  json::array rest;
  for (const json::value& name : required)
    if (!is_path(name)) rest.push_back(name);
  if (route.method == "GET" || route.method == "DELETE") {
    for (const auto& property : properties)
      parameters.push_back({{"name", property.key()},
                            {"in", "query"},
                            {"required", std::find(rest.begin(), rest.end(),
                                                   json::value(property.key())) != rest.end()},
                            {"schema", property.value()}});
  } else if (route.input_schema) {
    body["properties"] = std::move(properties);
    body["required"] = std::move(rest);
    operation["requestBody"] = {{"required", true}, {"content", content(body)}};
  } else {
    operation["requestBody"] = {
        {"content", json::object{{"application/octet-stream", json::object{}}}}};
  }
  if (!parameters.empty()) operation["parameters"] = std::move(parameters);
}

json::object problem_schema() {
  return json::parse(R"({"type": "object", "required": ["type", "title", "status", "detail"],
    "properties": {"type": {"type": "string"}, "title": {"type": "string"},
      "status": {"type": "integer"}, "detail": {"type": "string"},
      "violations": {"type": "array", "items": {"type": "object",
        "properties": {"field": {"type": "string"}, "problem": {"type": "string"}}}}}})")
      .as_object();
}

}  // namespace

json::object openapi(const std::vector<Route>& routes, std::string_view version) {
  json::object paths;
  for (const Route& route : routes) {
    json::object operation{{"operationId", operation_id(route)},
                           {"summary", route.summary},
                           {"tags", json::array{tag_of(route.path)}},
                           {"x-permission", name_of(route.permission)}};
    add_input(route, operation);
    json::object ok{{"description", "Done"}};
    if (route.output_schema) ok["content"] = content(route.output_schema());
    operation["responses"] = {
        {"200", std::move(ok)},
        {"default",
         json::object{
             {"description", "Refused, with the reason"},
             {"content",
              json::object{
                  {"application/problem+json",
                   json::object{
                       {"schema", json::object{{"$ref", "#/components/schemas/Problem"}}}}}}}}}};
    if (route.permission == Permission::open) operation["security"] = json::array{};
    std::string method = route.method;
    for (char& letter : method) letter = static_cast<char>(std::tolower(letter));
    json::value& path = paths[without_star(route.path)];
    if (path.is_null()) path = json::object{};
    path.as_object()[method] = std::move(operation);
  }
  return {
      {"openapi", "3.1.0"},
      {"info", json::object{{"title", "Penstock"}, {"version", version}}},
      {"security",
       json::array{json::object{{"token", json::array{}}}, json::object{{"basic", json::array{}}}}},
      {"paths", std::move(paths)},
      {"components",
       json::object{{"securitySchemes",
                     json::object{{"token", json::object{{"type", "http"}, {"scheme", "bearer"}}},
                                  {"basic", json::object{{"type", "http"}, {"scheme", "basic"}}}}},
                    {"schemas", json::object{{"Problem", problem_schema()}}}}}};
}

}  // namespace penstock::api
