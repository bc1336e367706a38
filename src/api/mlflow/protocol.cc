#include "api/mlflow/protocol.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <simdjson.h>

#include "traffic/ask.h"

namespace penstock::api::mlflow {
namespace {

namespace dom = simdjson::dom;

struct Said {
  const char* word;
  int status;
};
// MLflow's words, and the statuses that its server sends with them.
Said said(Code code) {
  switch (code) {
    case Code::invalid_argument: return {"INVALID_PARAMETER_VALUE", 400};
    case Code::unauthenticated: return {"UNAUTHENTICATED", 401};
    case Code::permission_denied: return {"PERMISSION_DENIED", 403};
    case Code::not_found: return {"RESOURCE_DOES_NOT_EXIST", 404};
    case Code::already_exists: return {"RESOURCE_ALREADY_EXISTS", 400};
    case Code::failed_precondition: return {"RESOURCE_CONFLICT", 409};
    case Code::resource_exhausted: return {"REQUEST_LIMIT_EXCEEDED", 429};
    case Code::deadline_exceeded: return {"DEADLINE_EXCEEDED", 504};
    case Code::unavailable: return {"TEMPORARILY_UNAVAILABLE", 503};
    case Code::data_loss: return {"DATA_LOSS", 500};
    case Code::internal: return {"INTERNAL_ERROR", 500};
  }
  return {"INTERNAL_ERROR", 500};
}

Error wrong(std::string_view name, const std::string& problem) {
  const std::string field(name);
  return {Code::invalid_argument,
          "Invalid value for parameter '" + field + "': it " + problem,
          {{field, problem}}};
}

// Read by simdjson, whose doubles are exact to the last bit.
json::value copy(const dom::element& value, const json::storage_ptr& memory) {
  switch (value.type()) {
    case dom::element_type::ARRAY: {
      const dom::array all(value);
      json::array out(memory);
      out.reserve(all.size());
      for (const dom::element& one : all) out.push_back(copy(one, memory));
      return out;
    }
    case dom::element_type::OBJECT: {
      const dom::object all(value);
      json::object out(all.size(), memory);
      for (const auto& [key, one] : all) out.insert_or_assign(key, copy(one, memory));
      return out;
    }
    case dom::element_type::INT64: return std::int64_t(value);
    case dom::element_type::UINT64: return std::uint64_t(value);
    case dom::element_type::DOUBLE: return double(value);
    case dom::element_type::STRING: return json::string(std::string_view(value), memory);
    case dom::element_type::BOOL: return bool(value);
    case dom::element_type::NULL_VALUE: return nullptr;
  }
  return nullptr;
}

Result<json::object> body_of(const std::string& body) {
  if (body.empty()) return json::object{};
  thread_local dom::parser parser;
  dom::element parsed;
  if (const auto fault = parser.parse(body).get(parsed))
    return Error{Code::invalid_argument,
                 "the body is no JSON: " + std::string(simdjson::error_message(fault))};
  if (!parsed.is_object()) return Error{Code::invalid_argument, "the body must be a JSON object"};
  // Let go as a whole with the request, which may have a thousand objects.
  const auto memory = json::make_shared_resource<json::monotonic_resource>(2 * body.size());
  return std::move(copy(parsed, memory).as_object());
}

}  // namespace

bool owns(std::string_view path) {
  for (const std::string_view prefix : {"/api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/",
                                        "/get-artifact", "/model-versions/", "/v1/traces"})
    if (path.starts_with(prefix)) return true;
  return false;
}

Response error_response(const Error& error, int status) {
  const Said words = said(error.code);
  Response response =
      json_response(json::object{{"error_code", status == 404 && error.code != Code::not_found
                                                    ? "ENDPOINT_NOT_FOUND"
                                                    : words.word},
                                 {"message", error.message}},
                    status ? status : words.status);
  if (const auto seconds = traffic::retry_after_of(error))
    response.headers.emplace_back("Retry-After", std::to_string(*seconds));
  return response;
}

Result<Arguments> Arguments::read(const Request& request) {
  json::object fields = TRY(body_of(request.body));
  const auto put = [&](const std::string& name, const std::string& value) {
    // A name that comes again is a list, as proto's repeated fields are sent in a query.
    json::value* before = fields.if_contains(name);
    if (!before)
      fields[name] = value;
    else if (before->is_array())
      before->as_array().emplace_back(value);
    else
      *before = json::array{*before, json::value(value)};
  };
  for (const auto& [name, value] : request.query) put(name, value);
  for (const auto& [name, value] : request.path_values) fields[name] = value;
  return Arguments(std::move(fields));
}

const json::value* Arguments::find(std::string_view name) const {
  const json::value* found = fields_->if_contains(name);
  return found && found->is_null() ? nullptr : found;
}

Result<std::string> Arguments::text(std::string_view name) const {
  std::string out = TRY(text_or(name, ""));
  if (out.empty())
    return Error{Code::invalid_argument,
                 "Missing value for required parameter '" + std::string(name) + "'",
                 {{std::string(name), "is missing"}}};
  return out;
}

Result<std::string> Arguments::text_or(std::string_view name, std::string_view otherwise) const {
  const json::value* value = find(name);
  if (!value) return std::string(otherwise);
  if (!value->is_string()) return wrong(name, "must be a string");
  return std::string(value->as_string());
}

Result<std::optional<std::int64_t>> Arguments::whole(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return std::optional<std::int64_t>();
  if (value->is_int64()) return std::optional(value->as_int64());
  if (value->is_double() && std::abs(value->as_double()) < 9e15 &&
      value->as_double() == std::floor(value->as_double()))
    return std::optional(static_cast<std::int64_t>(value->as_double()));
  if (value->is_string()) {
    const std::string_view text = value->as_string();
    std::int64_t number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (!text.empty() && read.ec == std::errc() && read.ptr == text.data() + text.size())
      return std::optional(number);
  }
  return wrong(name, "must be a whole number");
}

Result<std::int64_t> Arguments::whole_or(std::string_view name, std::int64_t otherwise) const {
  return TRY(whole(name)).value_or(otherwise);
}

Result<bool> Arguments::flag_or(std::string_view name, bool otherwise) const {
  const json::value* value = find(name);
  if (!value) return otherwise;
  if (value->is_bool()) return value->as_bool();
  for (const auto& [text, flag] : {std::pair("true", true), std::pair("True", true),
                                   std::pair("false", false), std::pair("False", false)})
    if (value->is_string() && value->as_string() == text) return flag;
  return wrong(name, "must be true or false");
}

Result<double> Arguments::real(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return wrong(name, "is missing");
  if (value->is_double()) return value->as_double();
  if (value->is_int64()) return static_cast<double>(value->as_int64());
  if (value->is_uint64()) return static_cast<double>(value->as_uint64());
  if (value->is_string()) {
    const std::string_view text = value->as_string();
    if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (text == "Infinity") return std::numeric_limits<double>::infinity();
    if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
    double number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (!text.empty() && read.ec == std::errc() && read.ptr == text.data() + text.size())
      return number;
  }
  return wrong(name, "must be a number");
}

Result<std::vector<std::string>> Arguments::texts(std::string_view name) const {
  std::vector<std::string> out;
  const json::value* value = find(name);
  if (!value) return out;
  if (value->is_string()) return std::vector{std::string(value->as_string())};
  if (!value->is_array()) return wrong(name, "must be a list of strings");
  for (const json::value& one : value->as_array()) {
    if (!one.is_string()) return wrong(name, "must be a list of strings");
    out.emplace_back(one.as_string());
  }
  return out;
}

Result<std::vector<Arguments>> Arguments::objects(std::string_view name) const {
  std::vector<Arguments> out;
  const json::value* value = find(name);
  if (!value) return out;
  if (!value->is_array()) return wrong(name, "must be a list of objects");
  for (const json::value& one : value->as_array()) {
    if (!one.is_object()) return wrong(name, "must be a list of objects");
    out.push_back(Arguments(root_, one.as_object()));
  }
  return out;
}

Result<Arguments> Arguments::object(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return Arguments(json::object{});
  if (!value->is_object()) return wrong(name, "must be an object");
  return Arguments(root_, value->as_object());
}

Result<std::int64_t> experiment_of(const Arguments& in) {
  const auto id = TRY(in.whole("experiment_id"));
  if (!id) TRY(in.text("experiment_id"));  // says that it is missing
  return id.value_or(0);
}

void add(std::vector<Route>& routes, std::string method, const std::string& path,
         std::string summary, Permission permission, Handler handler, const std::string& version) {
  const auto handle = [handler = std::move(handler)](const Call& call, const Request& request) {
    const auto arguments = Arguments::read(request);
    if (!arguments) return error_response(arguments.error());
    const auto out = handler(call, *arguments);
    return out ? json_response(*out) : error_response(out.error());
  };
  for (const char* root : {"/api/", "/ajax-api/"})
    routes.push_back({.method = method,
                      .path = root + version + "/mlflow/" + path,
                      .summary = summary,
                      .permission = permission,
                      .handle = handle});
}

}  // namespace penstock::api::mlflow
